"""The code that is checked: where it is, what it says, and how it is run."""
