"""Tokenizers for images, series and tables: data to tokens, and where each token lies."""

from headwise.tokenizers.images import PERMUTATIONS, TOKENIZERS, ImageTokenizer, Patches, PermutedPixels, get_tokenizer
from headwise.tokenizers.series import Standardizer, pad_series, valid_mask
from headwise.tokenizers.tabular import ColumnEncoder, column_std, is_missing

__all__ = [
    "PERMUTATIONS",
    "TOKENIZERS",
    "ColumnEncoder",
    "ImageTokenizer",
    "Patches",
    "PermutedPixels",
    "Standardizer",
    "column_std",
    "get_tokenizer",
    "is_missing",
    "pad_series",
    "valid_mask",
]
