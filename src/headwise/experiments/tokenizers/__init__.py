"""The tokenizer experiment: the same transformer with several ways to split an image into tokens."""
