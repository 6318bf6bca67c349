"""Data cut into tokens, each with its place."""

from headwise.tokenizers.images import ImageTokenizer, Patches, PermutedPixels, get_tokenizer

__all__ = ["ImageTokenizer", "Patches", "PermutedPixels", "get_tokenizer"]
