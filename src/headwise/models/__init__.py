"""Small transformers."""
