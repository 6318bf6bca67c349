"""A checkpoint as every reader returns it: tensors that are read when they are needed, and the configuration.

Every option of the configuration must be understood, so that none changes the computation unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwise.errors import CheckpointError
from headwise.shapes import Array

_ABSENT = object()
_MAX_LAYERS = 10_000  # a damaged file may state billions, and parameters are listed before they are looked for

# options that concern training, generation, saving or labels, but not the forward pass
_HARMLESS = frozenset(
    {
        "_commit_hash", "_name_or_path", "_sliding_window_pattern", "architectures", "attention_dropout",
        "attention_probs_dropout_prob", "attn_implementation", "attn_pdrop", "auto_map", "bad_words_ids",
        "begin_suppress_tokens", "bos_token_id", "cache_implementation", "chunk_size_feed_forward",
        "classifier_dropout", "classifier_dropout_prob", "cls_token_id", "cross_attention_hidden_size",
        "custom_pipelines", "decoder_start_token_id", "directionality", "diversity_penalty", "do_sample", "dropout",
        "dtype", "early_stopping", "embd_pdrop", "encoder_no_repeat_ngram_size", "encoder_stride", "eos_token_id",
        "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_decoder_ids",
        "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout", "hidden_dropout_prob", "id2label",
        "init_std", "initializer_factor", "initializer_range", "is_llama_config", "label2id", "label_descriptions",
        "label_names", "labels", "length_penalty", "mask_token_id", "max_length", "min_length", "model_type",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels", "num_return_sequences",
        "output_attentions", "output_hidden_states", "output_past", "output_scores", "pad_token_id", "prefix",
        "problem_type", "qa_dropout", "remove_invalid_values", "repetition_penalty", "resid_pdrop", "return_dict",
        "return_dict_in_generate", "sep_token_id", "seq_classif_dropout", "suppress_tokens", "task_specific_params",
        "temperature", "tf_legacy_loss", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype",
        "torchscript", "transformers.js_config", "transformers_version", "typical_p", "unk_token_id",
        "unsloth_version", "use_bfloat16", "use_cache", "vocab_size",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file."""

    shape: tuple[int, ...]
    read: Callable[[], Array]  # returns the array; float16 and bfloat16 are widened to float32

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk."""

    path: Path  # the folder or file
    # as config.json has it; what a .gguf file says in its metadata is translated to the same names
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    # what the file itself contains of a tokenizer; None for folders, which have separate files for it
    tokenizer: Any = field(default=None, repr=False)

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name.

        Raises CheckpointError if there is none.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.path}: it has no tensor {name!r}, which its configuration calls for.")
        return self.tensors[name]


class Config:
    """The options of a model, which notes which of them were read.

    `where`: what an error message calls the source.

    Examples
    --------
    >>> config = Config({"hidden_size": 24, "rotary_dim": 8}, "config.json")
    >>> config.get("hidden_size")
    24
    >>> config.finish()
    Traceback (most recent call last):
    ...
    headwise.errors.CheckpointError: config.json: unknown option rotary_dim = 8, which may change the computation.
    """

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self._fields = dict(fields)
        self._where = where
        self._read: set[str] = set()

    def get(self, name: str, default: Any = _ABSENT) -> Any:
        """The value of an option, or its default.

        Raises CheckpointError if the option is missing and has no default.
        """
        self._read.add(name)
        if name in self._fields:
            return self._fields[name]
        if default is _ABSENT:
            raise self.error(name, "is missing")
        return default

    def count(self, name: str, default: Any = _ABSENT) -> int:
        """The value of an option that must be a whole number from 1."""
        value = self.get(name, default)
        if type(value) is not int or value < 1:
            raise self.error(name, f"expected a whole number, 1 or more; got {value!r}")
        if "layer" in name and value > _MAX_LAYERS:
            raise self.error(name, f"expected at most {_MAX_LAYERS} layers; got {value}")
        return value

    def divisor(self, name: str, default: Any, other: str, size: int) -> int:
        """The value of an option that must divide another, such as the heads and the width."""
        value = self.count(name, default)
        if size % value:
            raise self.error(name, f"expected a divisor of {other} {size}; got {value}")
        return value

    def number(self, name: str, default: Any = _ABSENT) -> float:
        """The value of an option that must be a number."""
        value = self.get(name, default)
        if type(value) not in (int, float):
            raise self.error(name, f"expected a number; got {value!r}")
        return float(value)

    def expect(self, name: str, *allowed: Any) -> None:
        """Refuse any other value than these, of which the first is the default."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise self.error(name, f"only {' or '.join(map(repr, allowed))} can be loaded; got {value!r}")

    def set(self, name: str, value: Any) -> None:
        """Set an option that the file leaves out."""
        self._fields[name] = value

    def ignore(self, *names: str) -> None:
        """Declare options that do not concern the forward pass of this family."""
        self._read.update(names)

    def section(self, name: str) -> Config:
        """The options of a part, such as ``text_config``."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.error(name, f"expected a group of options; got {value!r}")
        return Config(value, f"{self._where}: {name}")

    def error(self, name: str, problem: str) -> CheckpointError:
        """An error about one option."""
        return CheckpointError(f"{self._where}: {name}: {problem}.")

    def finish(self) -> None:
        """Raise CheckpointError for options that nothing has read, unless they are null, false or empty."""
        for name, value in self._fields.items():
            if name not in self._read and name not in _HARMLESS and value not in (None, False, [], {}, ""):
                raise CheckpointError(
                    f"{self._where}: unknown option {name} = {value!r}, which may change the computation."
                )
