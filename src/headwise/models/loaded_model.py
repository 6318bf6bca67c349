"""A model with weights from a file, run by NumPy alone: outputs, exact gradients, and attention of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.models.base import CAPABILITIES, Capability, Tokens
from headwise.models.call_record import record_call
from headwise.models.encoder import AudioEmbedding, ImageEmbedding
from headwise.models.encoder.attention_pooling import AttentionPoolingCache
from headwise.models.encoder.inputs import NetworkInputs
from headwise.models.encoder.network import NetworkCache, attention_gradients, network_backward, network_forward
from headwise.models.families.architecture import Architecture
from headwise.models.files import Checkpoint
from headwise.models.preprocess.audio import AudioPreprocessor
from headwise.models.preprocess.images import ImagePreprocessor
from headwise.models.preprocess.texts import TextPreprocessor
from headwise.models.sentence import SentencePooling
from headwise.models.single_input import arrays_of, missing_of, score_gradient, scores_of, tokens_of
from headwise.nn.params import Params
from headwise.recorder import Capture
from headwise.shapes import Array, BoolArray

_RANDOM_TOKENS = 32
_INPUTS = {"text": "inputs_embeds", "image": "pixel_values", "audio": "input_features"}


class ModelOutput(dict[str, Any]):
    """Arrays by name, also as attributes: ``output["logits"]`` or ``output.logits``.

    Examples
    --------
    >>> ModelOutput(last_hidden_state=0).last_hidden_state
    0
    >>> ModelOutput(last_hidden_state=0).logits
    Traceback (most recent call last):
    ...
    AttributeError: this model has no output 'logits'; it has last_hidden_state.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this model has no output {name!r}; it has {', '.join(self)}.") from None


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a sum of outputs.

    Attributes
    ----------
    inputs : dict of ndarray
        With respect to ``pixel_values``, ``input_features`` or ``inputs_embeds`` (the words' embeddings).
    tensors : dict of ndarray
        With respect to each tensor of the file, by its name and in its shape there.
    attention : tuple of ndarray of shape (B, H, N, N)
        With respect to the attention weights of each layer.
    """

    inputs: dict[str, Array]
    tensors: dict[str, Array]
    attention: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its parameters; call it with arrays by transformers' argument names.

    Attributes
    ----------
    checkpoint : Checkpoint
        Where it was loaded from.
    architecture : Architecture
        Family, options, and the place of each parameter in the file.
    params : dict of ndarray
        By dotted name; weight matrices are (out, in).

    Examples
    --------
    >>> model = hw.load("all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> model(**model.preprocess(["a sentence", "another"])).last_hidden_state.shape  # doctest: +SKIP
    (2, 4, 384)
    """

    checkpoint: Checkpoint
    architecture: Architecture
    params: Params

    def __repr__(self) -> str:
        tensors = {source.tensor for source in self.architecture.sources.values()}
        numbers = sum(self.checkpoint.tensor(name).size for name in tensors)
        blocks = len(self.architecture.network.trunk.blocks)
        return f"<LoadedModel {self.family}: {blocks} layers, {numbers:,} parameters, {self.dtype}>"

    @property
    def path(self) -> Path:
        """Where it was loaded from."""
        return self.checkpoint.path

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration as it was read."""
        return self.checkpoint.config

    @property
    def family(self) -> str:
        """Such as ``"bert"``."""
        return self.architecture.family

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the parameters, in which everything is computed."""
        return next(iter(self.params.values())).dtype

    def astype(self, dtype: npt.DTypeLike) -> LoadedModel:
        """The same model in another type, such as float64 for exact gradients."""
        shared: dict[int, Array] = {}
        params = {}
        for name, array in self.params.items():
            if id(array) not in shared:
                shared[id(array)] = array.astype(dtype, copy=False)
            params[name] = shared[id(array)]
        return replace(self, params=params)

    def __call__(
        self, *, output_hidden_states: bool = False, output_attentions: bool = False, **arrays: npt.ArrayLike | None
    ) -> ModelOutput:
        """Run the model.

        Parameters
        ----------
        output_hidden_states : bool
            Also return ``hidden_states``: the embedding and the output of each block.
        output_attentions : bool
            Also return ``attentions``: the weights (B, H, N, N) of each block.
        **arrays
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, pixel_values or input_features, as
            in transformers.

        Returns
        -------
        ModelOutput
            ``last_hidden_state`` (B, N, D); ``pooler_output`` and ``logits`` if the model has such heads.

        Raises
        ------
        HeadwiseError
            If an array does not fit the model.
        """
        output, cache = self._run(arrays, keep=output_hidden_states, return_weights=output_attentions)
        return self._with_states(output, cache, output_hidden_states, output_attentions)

    def preprocess(self, input: Any, **options: Any) -> dict[str, Any]:
        """The arrays to call the model with.

        Parameters
        ----------
        input
            A text, a pair of texts as a tuple, or a list of texts; an image (path, PIL image or uint8 array) or a list
            of images of one size; or sound, an array of floats.
        **options
            ``pairs`` for the second text of each pair, ``sampling_rate`` of a sound.

        Returns
        -------
        dict of ndarray

        Raises
        ------
        HeadwiseError
            If the folder does not describe how, or the input is of another kind.
        """
        arrays: dict[str, Any] = self.preprocessor(input, **options)
        return {name: array.astype(self.dtype) if array.dtype.kind == "f" else array for name, array in arrays.items()}

    def arrays(self, input: Any) -> dict[str, Any]:
        """The arrays of one input of the `Model` protocol, batch size 1."""
        return arrays_of(self, input)

    def random_arrays(self, rng: np.random.Generator) -> dict[str, Any]:
        """Arrays of one random input of the size that the model was made for, to compare it with another."""
        embedding = self.architecture.network.embedding
        if isinstance(embedding, ImageEmbedding):
            size = [cells * patch for cells, patch in zip(embedding.grid, embedding.patch, strict=True)]
            return {"pixel_values": rng.normal(size=(1, embedding.channels, *size)).astype(self.dtype)}
        if isinstance(embedding, AudioEmbedding):
            return {"input_features": rng.normal(size=(1, embedding.channels, embedding.frames)).astype(self.dtype)}
        table = self.params.get("embedding.position")
        longest = _RANDOM_TOKENS if table is None else min(_RANDOM_TOKENS, len(table) - 4)
        return {"input_ids": rng.integers(3, len(self.params["embedding.word"]) - 1, (1, longest))}

    @cached_property
    def preprocessor(self) -> ImagePreprocessor | TextPreprocessor | AudioPreprocessor:
        """How an input becomes arrays, as the folder describes it."""
        embedding = self.architecture.network.embedding
        if isinstance(embedding, ImageEmbedding):
            return ImagePreprocessor.from_checkpoint(self.checkpoint, embedding.channels)
        if isinstance(embedding, AudioEmbedding):
            return AudioPreprocessor.from_checkpoint(self.checkpoint, embedding.channels, embedding.frames)
        table = self.params.get("embedding.position")
        offset = 0 if embedding.padding_id is None else embedding.padding_id + 1
        longest = None if table is None else len(table) - offset
        return TextPreprocessor.from_checkpoint(self.checkpoint, longest, "embedding.type" in self.params)

    def encode(self, texts: str | list[str]) -> Array:
        """Embeddings of sentences (B, D), of a folder of sentence-transformers."""
        arrays = self.preprocess(texts)
        pooling = SentencePooling.from_folder(self.path)
        return pooling.pool(self(**arrays).last_hidden_state, arrays["attention_mask"])

    def forward(self, **arrays: npt.ArrayLike | None) -> tuple[ModelOutput, NetworkCache]:
        """Run the model and keep what `backward` needs; see `__call__` for the arguments."""
        return self._run(arrays, keep=True, return_weights=False)

    def backward(self, douts: Mapping[str, npt.ArrayLike], cache: NetworkCache) -> Gradients:
        """Gradients of ``sum(d * output)``, summed over the outputs by name.

        Parameters
        ----------
        douts : mapping of str to array_like
            Gradient with respect to each output, such as ``{"logits": d}``, in its shape.
        cache : NetworkCache
            From `forward`.
        """
        arrays = {name: np.asarray(value, self.dtype) for name, value in douts.items()}
        grads = network_backward(arrays, cache)
        tensors: dict[str, Array] = {}
        for parameter, gradient in grads.params.items():
            source = self.architecture.sources[parameter]
            if source.tensor not in tensors:
                tensors[source.tensor] = np.zeros(self.checkpoint.tensor(source.tensor).shape, gradient.dtype)
            source.add(gradient, tensors[source.tensor])
        return Gradients({_INPUTS[self.architecture.kind]: grads.input}, tensors, attention_gradients(grads, cache))

    def record(self, **arrays: npt.ArrayLike | None) -> Capture:
        """Run the model once and return every attention call; see `__call__` for the arguments."""
        output, cache = self._run(arrays, keep=True, return_weights=False)
        heads = {name: head for name, head in cache.heads.items() if isinstance(head, AttentionPoolingCache)}
        names = (*self.architecture.attention_names, *(f"heads.{name}" for name in heads))
        calls = [*(block.attention for block in cache.trunk.blocks), *(head.attention for head in heads.values())]
        pairs = enumerate(zip(names, calls, strict=True))
        layers = tuple(record_call(name, call.attention, call.o, i) for i, (name, call) in pairs)
        return Capture(output, layers)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which methods of the `Model` protocol can be called: scores need a head of classes or of the next token."""
        return frozenset(CAPABILITIES) - self.missing.keys()

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Why the other methods cannot be called."""
        return missing_of(self)

    def tokens(self, input: Any) -> Tokens:
        """The tokens of one text, image or sound, or of arrays for one item, and their places in it."""
        return tokens_of(self, input)

    def look(self, input: Any) -> Capture:
        """What the model attends to in one input."""
        return self.record(**arrays_of(self, input))

    def predict(self, input: Any, keep: BoolArray | None = None) -> Array:
        """Scores (C,) of one input; with `keep` (S, T) scores (S, C) with the other tokens hidden from every token."""
        return scores_of(self, input, keep)

    def gradients(self, input: Any, target: int) -> tuple[Array, ...]:
        """Gradients of the target's score with respect to the weights of each layer, (1, H, N, M) each."""
        return score_gradient(self, input, target)

    def _run(
        self, arrays: Mapping[str, npt.ArrayLike | None], keep: bool, return_weights: bool
    ) -> tuple[ModelOutput, NetworkCache]:
        inputs, network = NetworkInputs.from_arrays(self.dtype, dict(arrays)), self.architecture.network
        outputs, cache = network_forward(inputs, self.params, network, keep=keep, return_weights=return_weights)
        return ModelOutput(outputs), cache

    def _with_states(self, output: ModelOutput, cache: NetworkCache, states: bool, attentions: bool) -> ModelOutput:
        if states:
            hidden = cache.trunk.hidden_states
            last = output.last_hidden_state if self.architecture.tied_last else hidden[-1]
            output["hidden_states"] = (*hidden[:-1], last)
        if attentions:
            output["attentions"] = tuple(block.attention.weights for block in cache.trunk.blocks)
        return output
