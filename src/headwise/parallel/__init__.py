"""TODO parallel."""
