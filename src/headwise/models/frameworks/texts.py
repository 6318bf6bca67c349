"""Texts for models of other frameworks, by the tokenizer that the user passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, require_extra
from headwise.files import check_file
from headwise.models.preprocess.texts import TextPreprocessor, Tokenized, tokenized
from headwise.shapes import IntArray

_ARGUMENTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, eq=False)
class TextReader:
    """Texts as token ids."""

    tokenizer: Any  # of transformers, of the library tokenizers, or any function that returns the token ids of a text

    def read(
        self, text: str | tuple[str, str], names: Sequence[str]
    ) -> tuple[dict[str, npt.NDArray[Any]], Tokenized | None]:
        """Arrays for those of the usual arguments that a model has, or for its first; and the tokens."""
        arrays, tokens = self._encode(text)
        passed = {name: array[None] for name, array in arrays.items() if name in names or not names}
        if "input_ids" not in passed:
            passed = {names[0]: arrays["input_ids"][None], **passed}
        return passed, tokens

    @property
    def replacement(self) -> int | None:
        """The id of a token that can stand in for a missing one: mask, else unknown, else padding."""
        for kind, spelled in (("mask", "[MASK]"), ("unk", "[UNK]"), ("pad", "[PAD]")):
            number = getattr(self.tokenizer, f"{kind}_token_id", None)
            if number is None and (library := self._library()) is not None:
                number = library.tokenizer.token_to_id(spelled)
            if number is not None:
                return int(number)
        return None

    def tokens_of_ids(self, ids: IntArray) -> Tokenized:
        """Names of token ids (N,), and which are special; without a text to point to."""
        nowhere = np.zeros((len(ids), 2), np.int64)
        names, special = tuple(map(str, ids)), np.zeros(len(ids), bool)
        if hasattr(self.tokenizer, "convert_ids_to_tokens"):
            names = tuple(map(str, self.tokenizer.convert_ids_to_tokens([int(i) for i in ids])))
            special = np.isin(ids, self.tokenizer.all_special_ids)
        elif (library := self._library()) is not None:
            names, special = library.labels(ids), library.is_special(ids)
        return Tokenized(names, nowhere, special)

    def _encode(self, text: str | tuple[str, str]) -> tuple[dict[str, IntArray], Tokenized]:
        texts = (text,) if isinstance(text, str) else text
        if hasattr(self.tokenizer, "all_special_ids"):
            return self._encode_by_transformers(texts, text)
        if (library := self._library()) is not None:
            encoded = library.tokenizer.encode(*texts)
            arrays = zip(_ARGUMENTS, (encoded.ids, encoded.attention_mask, encoded.type_ids), strict=True)
            return {name: np.array(values) for name, values in arrays}, tokenized(encoded, text)
        ids = self.tokenizer(*texts)
        ids = np.asarray(ids["input_ids"] if isinstance(ids, Mapping) else ids).reshape(-1)
        if ids.dtype.kind not in "iu" or not ids.size:
            raise DataError(f"tokenizer: expected a function that returns token ids; it returned {ids.dtype}.")
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}, self.tokens_of_ids(ids)

    def _encode_by_transformers(
        self, texts: Sequence[str], text: str | tuple[str, str]
    ) -> tuple[dict[str, IntArray], Tokenized]:
        encoded = self.tokenizer(*texts, return_special_tokens_mask=True)
        ids, special = np.array(encoded["input_ids"]), np.array(encoded["special_tokens_mask"], bool)
        arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        arrays |= {name: np.array(encoded[name]) for name in _ARGUMENTS[1:] if name in encoded}
        if encoded.encodings:  # the tokenizer is one of the library tokenizers inside
            return arrays, tokenized(encoded.encodings[0], text)
        return arrays, Tokenized(self.tokens_of_ids(ids).labels, np.zeros((len(ids), 2), np.int64), special)

    def _library(self) -> TextPreprocessor | None:
        """The preprocessor around a tokenizer of the library tokenizers."""
        if isinstance(self.tokenizer, TextPreprocessor):
            return self.tokenizer
        if hasattr(self.tokenizer, "encode_batch"):
            return TextPreprocessor(self.tokenizer, 0, None, True)
        return None


def read_tokenizer(path: Path | str) -> Any:
    """A tokenizer.json, or that of a folder.

    Raises DataError if there is none that can be read.
    """
    with require_extra("Preprocessing texts", "tokenizers", "models"):
        import tokenizers
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    check_file(file, "tokenizer: ")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise DataError(f"{file}: {error}.") from None
    tokenizer.no_padding()
    return tokenizer
