"""Calling a function: what is passed as which argument, and what it returned."""
