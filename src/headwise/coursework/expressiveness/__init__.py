"""TODO expressiveness."""
