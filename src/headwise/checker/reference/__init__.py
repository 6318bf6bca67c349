"""Attention by its definition, in stages that conventions and mistakes replace, and how far an output is from it."""
