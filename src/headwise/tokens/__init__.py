"""Data cut into tokens, each with its place."""

from headwise.tokens.images import Patches, Rearranged, Tokeniser, tokeniser

__all__ = ["Patches", "Rearranged", "Tokeniser", "tokeniser"]
