"""TODO compiled."""
