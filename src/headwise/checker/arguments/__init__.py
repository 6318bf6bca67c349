"""What the arguments of a function are, by names, documentation and code, and the forms in which arrays come."""
