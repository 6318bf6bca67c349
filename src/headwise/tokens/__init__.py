"""Data cut into tokens, each with its place."""

from headwise.tokens.images import Patches, tokeniser

__all__ = ["Patches", "tokeniser"]
