"""A tower for images and one for texts, compared by the cosine of their embeddings: CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.models.base import CAPABILITIES, Capability, Tokens
from headwise.models.encoder.network import NetworkCache
from headwise.models.loaded_model import Gradients, LoadedModel, ModelOutput
from headwise.recorder import Capture
from headwise.shapes import Array, BoolArray

_IMAGE = "pixel_values"


class TwoTowersCache(NamedTuple):
    """Caches of the towers, their outputs, and their embeddings before and after normalisation to length one."""

    caches: dict[str, NetworkCache]
    outputs: dict[str, ModelOutput]
    lengths: dict[str, Array]
    unit: dict[str, Array]


@dataclass(frozen=True, eq=False)
class TwoTowers:
    """Two loaded towers; call it with pixel_values, with input_ids, or with both.

    Attributes
    ----------
    path : Path
    family : str
    vision, text : LoadedModel
    scale, bias : ndarray
        The scores are exp(scale) · cosine + bias.
    learned : dict of str to tuple of int
        Names and shapes of those two in the file.
    config : mapping
    """

    path: Path
    family: str
    vision: LoadedModel
    text: LoadedModel
    scale: Array
    bias: Array
    learned: Mapping[str, tuple[int, ...]]
    config: Mapping[str, Any] = field(repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the parameters, in which everything is computed."""
        return self.vision.dtype

    def astype(self, dtype: npt.DTypeLike) -> TwoTowers:
        """The same model in another type."""
        return replace(
            self,
            vision=self.vision.astype(dtype),
            text=self.text.astype(dtype),
            scale=self.scale.astype(dtype),
            bias=self.bias.astype(dtype),
        )

    def __call__(self, **arrays: npt.ArrayLike | None) -> ModelOutput:
        """Run the towers whose inputs are passed.

        Parameters
        ----------
        **arrays
            pixel_values for the images; input_ids, attention_mask and position_ids for the texts.

        Returns
        -------
        ModelOutput
            With one input, the output of its tower. With both ``image_embeds`` (I, E) and ``text_embeds`` (T, E) of
            length one, ``logits_per_image`` (I, T), ``logits_per_text`` (T, I), ``vision_model_output`` and
            ``text_model_output``.
        """
        return self.forward(**arrays)[0]

    def preprocess(self, images: Any = None, texts: str | list[str] | None = None) -> dict[str, Any]:
        """The arrays to call the model with, of images, texts or both; see `LoadedModel.preprocess`."""
        arrays: dict[str, Any] = {} if images is None else self.vision.preprocess(images)
        return arrays if texts is None else arrays | self.text.preprocess(texts)

    def forward(self, **arrays: npt.ArrayLike | None) -> tuple[ModelOutput, TwoTowersCache]:
        """Run the model and keep what `backward` needs."""
        outputs, caches = {}, {}
        for name, tower, tower_arrays in self._split(arrays):
            outputs[name], caches[name] = tower.forward(**tower_arrays)
        if len(outputs) == 1:
            (output,) = outputs.values()
            return output, TwoTowersCache(caches, outputs, {}, {})
        embeds = {name: output[_embeds(name, output)] for name, output in outputs.items()}
        lengths = {name: np.linalg.norm(array, axis=1, keepdims=True) for name, array in embeds.items()}
        unit = {name: array / lengths[name] for name, array in embeds.items()}
        logits = np.exp(self.scale) * (unit["vision"] @ unit["text"].T) + self.bias
        output = ModelOutput(
            image_embeds=unit["vision"],
            text_embeds=unit["text"],
            logits_per_image=logits,
            logits_per_text=logits.T,
            vision_model_output=outputs["vision"],
            text_model_output=outputs["text"],
        )
        return output, TwoTowersCache(caches, outputs, lengths, unit)

    def backward(self, douts: Mapping[str, npt.ArrayLike], cache: TwoTowersCache) -> Gradients:
        """Gradients for those of logits_per_image, logits_per_text, image_embeds and text_embeds.

        After a call with one input, those of its tower's outputs.
        """
        if len(cache.caches) == 1:
            ((name, tower_cache),) = cache.caches.items()
            tower = self.vision if name == "vision" else self.text
            return tower.backward(douts, tower_cache)
        gradients = {name: np.asarray(value, self.dtype) for name, value in douts.items()}
        dlogits = (
            gradients.pop("logits_per_image", 0) + gradients.pop("logits_per_text", np.zeros((1, 1), self.dtype)).T
        )
        dlogits = np.broadcast_to(dlogits, (len(cache.unit["vision"]), len(cache.unit["text"])))
        factor = np.exp(self.scale)
        dunit = {
            "vision": factor * dlogits @ cache.unit["text"] + gradients.pop("image_embeds", 0),
            "text": factor * dlogits.T @ cache.unit["vision"] + gradients.pop("text_embeds", 0),
        }
        if gradients:
            raise DataError(f"gradients: {', '.join(gradients)}: not an output of both towers.")
        parts = []
        for name, tower in (("vision", self.vision), ("text", self.text)):
            # u = x / |x|: the part of du along u changes only the length
            unit, d = cache.unit[name], dunit[name]
            dembeds = (d - unit * (unit * d).sum(axis=1, keepdims=True)) / cache.lengths[name]
            parts.append(tower.backward({_embeds(name, cache.outputs[name]): dembeds}, cache.caches[name]))
        learned = (factor * (dlogits * (cache.unit["vision"] @ cache.unit["text"].T)).sum(), dlogits.sum())
        tensors = parts[0].tensors | parts[1].tensors
        for (name, shape), gradient in zip(self.learned.items(), learned, strict=False):
            tensors[name] = np.reshape(gradient, shape)
        return Gradients(parts[0].inputs | parts[1].inputs, tensors, parts[0].attention + parts[1].attention)

    def record(self, **arrays: npt.ArrayLike | None) -> Capture:
        """Run the model once and return every attention call, the image tower's first."""
        captures = [tower.record(**tower_arrays) for _, tower, tower_arrays in self._split(arrays)]
        layers = [layer for capture in captures for layer in capture.layers]
        output = captures[0].output if len(captures) == 1 else self(**arrays)
        return Capture(output, tuple(replace(layer, index=i) for i, layer in enumerate(layers)))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Only `look`; its towers `vision` and `text` are separate models."""
        return frozenset({"look"})

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Why the other methods cannot be called."""
        reason = "two towers have no common list of tokens and no scores of classes; use .vision or .text."
        return {name: reason for name in CAPABILITIES if name != "look"}

    def look(self, input: Mapping[str, npt.ArrayLike]) -> Capture:
        """What the model attends to in arrays of one image, one text or both."""
        return self.record(**input)

    def tokens(self, input: Any) -> Tokens:
        """Not available: see `missing`."""
        raise DataError(f"tokens: {self.missing['tokens']}")

    def predict(self, input: Any, keep: BoolArray | None = None) -> Array:
        """Not available: see `missing`."""
        raise DataError(f"predict: {self.missing['predict']}")

    def gradients(self, input: Any, target: int) -> tuple[Array, ...]:
        """Not available: see `missing`."""
        raise DataError(f"gradients: {self.missing['gradients']}")

    def _split(
        self, arrays: Mapping[str, npt.ArrayLike | None]
    ) -> list[tuple[str, LoadedModel, dict[str, npt.ArrayLike | None]]]:
        """The towers to run, each with its arrays."""
        present = {name: value for name, value in arrays.items() if value is not None}
        image: dict[str, npt.ArrayLike | None] = {name: value for name, value in present.items() if name == _IMAGE}
        text: dict[str, npt.ArrayLike | None] = {name: value for name, value in present.items() if name != _IMAGE}
        parts = [("vision", self.vision, image), ("text", self.text, text)]
        if not present:
            raise DataError("expected pixel_values, input_ids or both; got none of them.")
        return [part for part in parts if part[2]]


def _embeds(tower: str, output: ModelOutput) -> str:
    """The output that is compared: the projection where there is one."""
    name = "image_embeds" if tower == "vision" else "text_embeds"
    return name if name in output else "pooler_output"
