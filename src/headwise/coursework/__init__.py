"""TODO coursework."""
