"""Sentence embeddings: how a folder of sentence-transformers pools the tokens of a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headwise.errors import CheckpointError
from headwise.models.files.safetensors_files import read_json
from headwise.shapes import Array, IntArray

_MODES = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")


@dataclass(frozen=True)
class SentencePooling:
    """How hidden states become one vector."""

    mode: str = "mean_tokens"
    normalize: bool = False  # whether the vector is scaled to length one

    @classmethod
    def from_folder(cls, path: Path) -> SentencePooling:
        """As modules.json describes it.

        Raises CheckpointError if the folder has none, or names modules that cannot be loaded.
        """
        if not (path / "modules.json").is_file():
            raise CheckpointError(f"{path}: it has no modules.json, so it is no model of sentence-transformers.")
        mode, normalize = None, False
        for module in read_json(path / "modules.json"):
            kind = module["type"].rsplit(".", 1)[-1]
            if kind == "Pooling":
                mode = _mode(path / module["path"] / "config.json")
            elif kind == "Normalize":
                normalize = True
            elif kind != "Transformer":
                raise CheckpointError(f"{path / 'modules.json'}: module {kind!r} cannot be loaded.")
        return cls(mode or "mean_tokens", normalize)

    def pool(self, hidden: Array, attention_mask: IntArray) -> Array:
        """One vector of each text (B, D) from hidden states (B, N, D)."""
        mask = np.asarray(attention_mask, hidden.dtype)[..., None]
        if self.mode == "cls_token":
            pooled = hidden[:, 0]
        elif self.mode == "lasttoken":
            pooled = hidden[np.arange(len(hidden)), attention_mask.sum(axis=1) - 1]
        elif self.mode == "max_tokens":
            pooled = np.where(mask > 0, hidden, -np.inf).max(axis=1).astype(hidden.dtype)
        else:
            pooled = (hidden * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1e-9)
        if self.normalize:
            pooled = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return np.asarray(pooled)


def _mode(path: Path) -> str:
    """The one mode that is switched on."""
    options = read_json(path)
    stated = options.get("pooling_mode")
    modes = [stated] if isinstance(stated, str) else [
        name.removeprefix("pooling_mode_") for name, value in options.items()
        if name.startswith("pooling_mode_") and value is True
    ]  # fmt: skip
    short = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    modes = [short.get(mode, mode) for mode in modes]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise CheckpointError(f"{path}: pooling_mode: expected one of {', '.join(_MODES)}; got {', '.join(modes)}.")
    return modes[0]
