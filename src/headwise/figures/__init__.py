"""Figures of attention and the captions measured from their arrays."""
