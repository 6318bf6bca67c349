"""Texts to input_ids and attention_mask, by the library tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import CheckpointError, DataError, require_extra
from headwise.models.files import Checkpoint
from headwise.models.files.safetensors_files import read_json
from headwise.shapes import BoolArray, IntArray

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PRE_TOKENIZERS = {
    "gpt-2": None,
    "default": None,
    "smollm": "digits",
    "llama-bpe": _SPLIT % "{1,3}",
    "qwen2": _SPLIT % "",
}
_CONTROL, _USER_DEFINED = 3, 4  # kinds of token in a .gguf file


@dataclass(frozen=True, eq=False)
class Tokenized:
    """A text's tokens."""

    labels: tuple[str, ...]  # each token's text
    spans: IntArray  # (N, 2): the first character of each token, and one past the last; zeros for special tokens
    special: BoolArray  # (N,)
    text: str = ""  # what the spans refer to; the two texts of a pair are joined by a line break


@dataclass(frozen=True)
class TextPreprocessor:
    """How texts become arrays."""

    tokenizer: Any = field(repr=False)
    padding_id: int
    max_length: int | None  # longer texts are cut
    token_types: bool  # whether the model distinguishes the two texts of a pair

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, max_length: int | None, token_types: bool) -> TextPreprocessor:
        """The tokenizer of a folder or .gguf file.

        Raises CheckpointError if there is none that can be read.
        """
        with require_extra("Preprocessing texts", "tokenizers", "models"):
            import tokenizers
        options: Mapping[str, Any] = {}
        if checkpoint.tokenizer is not None:
            tokenizer = _from_gguf(checkpoint.path, checkpoint.tokenizer)
        else:
            tokenizer, options = _from_folder(checkpoint.path)
        sentence = checkpoint.path / "sentence_bert_config.json"
        stated = read_json(sentence).get("max_seq_length") if sentence.is_file() else options.get("model_max_length")
        limits = [n for n in (stated, max_length) if isinstance(n, int) and n < 10**9]
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if limits:
            tokenizer.enable_truncation(min(limits))
        padding = checkpoint.config.get("pad_token_id")
        if padding is None and (token := _content(options.get("pad_token"))) is not None:
            padding = tokenizer.token_to_id(token)
        assert isinstance(tokenizer, tokenizers.Tokenizer)
        return cls(tokenizer, int(padding or 0), min(limits, default=None), token_types)

    def __call__(
        self, texts: str | tuple[str, str] | list[Any], pairs: str | list[str] | None = None
    ) -> dict[str, IntArray]:
        """Tokenise texts, with special tokens, padded on the right to the longest.

        `texts`: a tuple is one pair of texts.
        `pairs`: the second text of each pair.
        Returns ``input_ids`` and ``attention_mask`` (B, N), and ``token_type_ids`` if the model has them.
        """
        encoded = self._encode(texts, pairs)
        longest = max(len(item.ids) for item in encoded)
        arrays = {
            "input_ids": np.full((len(encoded), longest), self.padding_id),
            "attention_mask": np.zeros((len(encoded), longest), np.int64),
            "token_type_ids": np.zeros((len(encoded), longest), np.int64),
        }
        for i, item in enumerate(encoded):
            n = len(item.ids)
            arrays["input_ids"][i, :n], arrays["attention_mask"][i, :n] = item.ids, 1
            arrays["token_type_ids"][i, :n] = item.type_ids
        if not self.token_types:
            del arrays["token_type_ids"]
        return arrays

    def tokens(self, text: Any) -> Tokenized:
        """The tokens of one text, or of a pair, with their place in it."""
        if isinstance(text, list | tuple) and len(text) != (2 if isinstance(text, tuple) else 1):
            raise DataError(f"text: expected one, or a pair as a tuple; got {len(text)}. Pass them one by one.")
        (encoded,) = self._encode(text, None)
        return tokenized(encoded, text)

    def labels(self, ids: IntArray) -> tuple[str, ...]:
        """The text of each token id (N,)."""
        return tuple((self.tokenizer.id_to_token(int(i)) if i >= 0 else "") or str(i) for i in ids)

    def is_special(self, ids: IntArray) -> BoolArray:
        """Which token ids (N,) stand for no part of a text."""
        added = self.tokenizer.get_added_tokens_decoder()
        return np.isin(ids, [i for i, token in added.items() if token.special])

    def decode(self, ids: Any) -> str:
        """The text of token ids (N,), without special tokens."""
        return str(self.tokenizer.decode([int(i) for i in np.asarray(ids).ravel()]))

    def _encode(self, texts: str | tuple[str, str] | list[Any], pairs: str | list[str] | None) -> list[Any]:
        if isinstance(texts, tuple) and len(texts) == 2 and pairs is None:
            texts, pairs = texts
        first = [texts] if isinstance(texts, str) else texts
        second = [pairs] if isinstance(pairs, str) else pairs
        if not isinstance(first, list | tuple) or not first or not all(isinstance(text, str) for text in first):
            raise DataError(f"texts: this model reads texts; expected one, or a list of them; got {str(texts)[:80]}.")
        if second is not None and len(second) != len(first):
            raise DataError(f"pairs: expected {len(first)} texts; got {len(second)}.")
        batch = first if second is None else list(zip(first, second, strict=True))
        return list(self.tokenizer.encode_batch(batch))


def tokenized(encoded: Any, text: str | tuple[str, str]) -> Tokenized:
    """The tokens of an ``Encoding`` of the library tokenizers."""
    special = np.array(encoded.special_tokens_mask, bool)
    spans = np.array(encoded.offsets, np.int64).reshape(-1, 2)
    joined = text
    if not isinstance(text, str):
        second = np.array([part == 1 for part in encoded.sequence_ids], bool)
        spans[second & ~special] += len(text[0]) + 1
        joined = "\n".join(text)
    assert isinstance(joined, str)  # two texts were joined
    spans = np.where(special[:, None], 0, spans)
    return Tokenized(token_labels(encoded.tokens, spans, joined), spans, special, joined)


def token_labels(tokens: Sequence[str], spans: IntArray, text: str) -> tuple[str, ...]:
    """Names of tokens: as the tokenizer spells them, or as the text does where the spelling encodes bytes."""
    slices = [text[start:stop] for start, stop in spans]
    marks = ("##", "\u2581")  # of a piece within a word, and of a word's beginning
    plain = [token.removeprefix(marks[0]).removeprefix(marks[1]).lower() for token in tokens]
    return tuple(
        token if not written or written.strip().lower() == spelled else written
        for token, spelled, written in zip(tokens, plain, slices, strict=True)
    )


def _from_folder(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """The tokenizer of tokenizer.json, or BERT's from vocab.txt; and the folder's options."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    config = path / "tokenizer_config.json"
    options = read_json(config) if config.is_file() else {}
    if (path / "tokenizer.json").is_file():
        try:
            return Tokenizer.from_file(str(path / "tokenizer.json")), options
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path / 'tokenizer.json'}: {error}.") from None
    if not (path / "vocab.txt").is_file():
        raise CheckpointError(f"{path}: it has no tokenizer.json. Call the model with input_ids of your own.")
    vocab = {word: i for i, word in enumerate((path / "vocab.txt").read_text(encoding="utf-8").splitlines())}
    if missing := {"[UNK]", "[CLS]", "[SEP]"} - vocab.keys():
        raise CheckpointError(f"{path / 'vocab.txt'}: expected the tokens {', '.join(sorted(missing))}.")
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=options.get("do_lower_case", True))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, options


def _from_gguf(path: Path, metadata: Mapping[str, Any]) -> Any:
    """Byte-level BPE from the metadata of a .gguf file."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise CheckpointError(
            f"{path}: its tokenizer is {kind!r} with {pre!r}; only 'gpt2' with {', '.join(_PRE_TOKENIZERS)} can be "
            "read. Call the model with input_ids of your own."
        )
    words = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    kinds = metadata.get("tokenizer.ggml.token_type", [])
    for kind, add in ((_CONTROL, tokenizer.add_special_tokens), (_USER_DEFINED, tokenizer.add_tokens)):
        add([AddedToken(w, normalized=False) for w, t in zip(words, kinds, strict=False) if t == kind])
    split = _PRE_TOKENIZERS[pre]
    steps: list[Any] = []
    if split == "digits":
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    elif split is not None:
        steps.append(pre_tokenizers.Split(Regex(split), "isolated"))
    by_regex = split is None or split == "digits"
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=by_regex))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if metadata.get("tokenizer.ggml.add_bos_token", False):
        start = metadata["tokenizer.ggml.bos_token_id"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{words[start]} $A", pair=f"{words[start]} $A $B", special_tokens=[(words[start], start)]
        )
    return tokenizer


def _content(token: Any) -> str | None:
    """The text of a special token, which older files write as an object."""
    return token.get("content") if isinstance(token, dict) else token
