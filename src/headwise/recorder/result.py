"""Everything that one run of a model attended to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import ShapeError
from headwise.files import atomic_write
from headwise.recorder.layer import AttentionLayer
from headwise.representation import brief_repr
from headwise.shapes import Array


@dataclass(frozen=True, eq=False)
class Capture:
    """The attention calls of one run of a model.

    Attributes
    ----------
    output : object
        What the model returned.
    layers : tuple of AttentionLayer
        In execution order.
    ignored : tuple of str
        Softmaxes of the model that are not attention, and why.
    """

    output: Any
    layers: tuple[AttentionLayer, ...]
    ignored: tuple[str, ...] = ()

    __repr__ = brief_repr

    @property
    def proven(self) -> bool:
        """Whether every layer's weights reproduce the output of the model's own kernel."""
        return all(layer.proven for layer in self.layers)

    def weights(self) -> Array:
        """Attention weights of all layers, (B, L, H, N, M).

        Raises
        ------
        ShapeError
            If the layers have different shapes; take each layer's own ``weights()`` then.
        """
        shapes = {layer.shape for layer in self.layers}
        if len(shapes) > 1:
            one_of_each_shape = {layer.shape: layer for layer in reversed(self.layers)}.values()
            layer_texts = ", ".join(f"{layer.name} {layer.shape}" for layer in reversed(one_of_each_shape))
            raise ShapeError(
                f"weights: expected layers of one shape (B, H, N, M); got {layer_texts}. Take the weights of each "
                "layer, or limit the capture with layers=."
            )
        return np.stack([layer.weights() for layer in self.layers], axis=1)

    def save(self, path: Path | str) -> None:
        """Write the weights, and what they were computed from, as an .npz file that ``headwise caption`` reads.

        The array ``weights`` is (B, L, H, N, M) if all layers have one shape; otherwise there is one array
        ``layer0``, ``layer1``, … for each. ``verified`` says of each layer whether its weights reproduce the model's
        own output, and ``errors`` by how much they miss it. ``q``, ``k``, ``v``, ``output`` and ``lse`` are (B, L, …).

        Parameters
        ----------
        path : Path or str
        """
        arrays: dict[str, Any] = {
            "verified": np.array([layer.proven for layer in self.layers]),
            "errors": np.array([layer.error for layer in self.layers]),
            "names": np.array([layer.name for layer in self.layers]),
            "kinds": np.array([layer.kind for layer in self.layers]),
        }
        if len({layer.shape for layer in self.layers}) == 1:
            arrays["weights"] = self.weights()
            arrays |= self._parts()
        else:
            arrays |= {f"layer{number}": layer.weights() for number, layer in enumerate(self.layers)}
        with atomic_write(Path(path)) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)

    def _parts(self) -> dict[str, Any]:
        """What the weights were computed from, (B, L, ...), as far as all layers have the same shapes."""
        parts = {name: [getattr(layer, name) for layer in self.layers] for name in ("q", "k", "v", "output", "lse")}
        same = {name: arrays for name, arrays in parts.items() if len({array.shape for array in arrays}) == 1}
        stacked: dict[str, Any] = {name: np.stack(arrays, axis=1) for name, arrays in same.items()}
        return {**stacked, "scale": np.array([layer.scale for layer in self.layers])}

    def report(self) -> str:
        """One line per layer: name, kind, shape, whether its weights are verified; then what is wrong with others."""
        lines = []
        for layer in self.layers:
            b, h, n, m = layer.shape
            verdict = f"{'' if layer.proven else 'NOT '}verified (error {layer.error:.1e})"
            note = f"; {layer.note}" if layer.note else ""
            lines.append(f"{layer.index:3d}  {layer.name}  {layer.kind}  {b} x {h} x {n} x {m}  {verdict}{note}")
        messages = [layer.message for layer in self.layers if not layer.proven]
        return "\n".join([*lines, *messages, *(f"ignored: {line}" for line in self.ignored)])
