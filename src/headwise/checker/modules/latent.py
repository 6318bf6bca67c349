"""Keys and values made from a latent vector (DeepSeek-V2, 2024), seen as a layer with projections of tokens.

A token x comes as (x, u, w, 0, …), u and w being such that its mean is zero and its length that of every other token.
The matrices to the latent vectors keep these numbers, so that a norm of them is a constant factor, which the matrices
after it make up for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.modules.heads import named_head_count
from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.names import is_norm, latent_part
from headwise.checker.reference.definition import rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import rotary
from headwise.checker.reference.state import Stage, Trace, configurable
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_LENGTH = 1e4  # of a token, so that the number that a norm adds does not matter
_BASES = (1e4, 5e5, 1e6)


def with_latents(layer: Layer) -> Layer | None:
    """The layer as one with projections of tokens to queries, keys and values; None if it has no latent vectors."""
    stored = _matrices(layer)
    if layer.framework != "torch" or not {"down_kv", "o"} <= stored.keys() or not {"q", "up_q"} & stored.keys():
        return None
    if "up_kv" not in stored and not {"up_k", "up_v"} <= stored.keys():
        return None
    rows = sum(stored[x].shape[0] for x in ("q", "up_q", "turned_q") if x in stored)
    heads = named_head_count(layer, rows)
    latent = stored["up_kv" if "up_kv" in stored else "up_k"].shape[1]
    rotated = stored["turned_k"].shape[0] if "turned_k" in stored else stored["down_kv"].shape[0] - latent
    if heads is None or rows % heads or stored["o"].shape[1] % heads or rotated < 0:
        return None
    return _View(layer, stored, heads, rows // heads, stored["o"].shape[1] // heads, latent, rotated).layer_of_tokens()


def latent_designs(rotary_width: int) -> Iterator[Explanation]:
    """What the reference has to do for such a layer: the heads share the last features of keys, which are rotated."""
    shared = Explanation.of(("keys-latent", {"+project": _shared(rotary_width)}))
    for turn in (rotated_halves, rotated_neighbours):
        for base in _BASES:
            yield shared + Explanation.of(("rope", {"+rotate": _of_last(rotary(turn, base), rotary_width)}))
    yield shared


def _matrices(layer: Layer) -> dict[str, Parameter]:
    matrices: dict[str, Parameter] = {}
    for parameter in layer.parameters:
        part = latent_part(parameter.name)
        if part and parameter.value.ndim == 2 and parameter.axes == "oi":
            matrices.setdefault(part, parameter)
    return matrices


@dataclass(frozen=True, slots=True)
class _View:
    layer: Layer
    matrices: dict[str, Parameter]
    heads: int
    width: int  # of the queries and keys of one head, with the part that is rotated
    values: int
    latent: int
    rotary_width: int  # how many features of each head are rotated

    @property
    def model(self) -> int:
        """The width of the tokens: two features are needed for u and w."""
        ranks = [self.matrices["down_q"].shape[0]] if "down_q" in self.matrices else []
        return min(self.matrices["down_kv"].shape[1], self.latent, *ranks) - 2

    def layer_of_tokens(self) -> Layer | None:
        """The layer with matrices of tokens in place of its own."""
        if self.model < 2 or self.width <= self.rotary_width:
            return None
        sides = {"q": self.width, "k": self.width, "v": self.values}
        projections = [
            Parameter(f"{x}_proj.weight", np.zeros((self.heads * n, self.model)), "oi", "Linear")
            for x, n in sides.items()
        ]
        hidden = {p.name for x, p in self.matrices.items() if x != "o"}
        rest = [p for p in self.layer.parameters if p.name not in hidden]
        numbers = {**self.layer.numbers, "num_heads": self.heads}
        return replace(
            self.layer,
            parameters=(*projections, *rest),
            write=self.write,
            forward=self._forward(),
            numbers=numbers,
            rotary_width=self.rotary_width,
        )

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Put matrices of tokens into the layer."""
        names = [f"{x}_proj.weight" for x in "qkv"]
        others = {name: a for name, a in arrays.items() if name not in names}
        if set(names) <= arrays.keys():
            q, k, v = (arrays[name].reshape(self.heads, -1, self.model) for name in names)
            stored = {**self._of_queries(q), **self._of_keys(k, v)}
            others |= {self.matrices[x].name: self._fitted(stored[x], self.matrices[x].shape) for x in stored}
        self.layer.write(others)

    def _of_queries(self, q: Array) -> dict[str, Array]:
        plain = q[:, : self.width - self.rotary_width] if "turned_q" in self.matrices else q
        rotary_part = {"turned_q": q[:, self.width - self.rotary_width :]} if "turned_q" in self.matrices else {}
        if "up_q" not in self.matrices:
            return {**rotary_part, "q": plain}
        rank = self.matrices["down_q"].shape[0]
        factor = self._factor("q", rank)
        of_latent = bool(rotary_part) and self.matrices["turned_q"].shape[1] == rank
        rotary_part = {x: a * factor if of_latent else a for x, a in rotary_part.items()}
        return {"down_q": np.eye(self.model + 2, dtype=q.dtype), "up_q": plain * factor, **rotary_part}

    def _of_keys(self, k: Array, v: Array) -> dict[str, Array]:
        factor = self._factor("kv", self.latent)
        plain, rotary_keys = k[:, : self.width - self.rotary_width] * factor, k[:, self.width - self.rotary_width :]
        keep = np.zeros((self.latent, self.model + 2), k.dtype)
        keep[: self.model + 2] = np.eye(self.model + 2)
        stored = {"down_kv": keep}
        if "turned_k" in self.matrices:
            stored["turned_k"] = rotary_keys[0]
        else:
            more = np.pad(rotary_keys[0], ((0, 0), (0, 2)))
            stored["down_kv"] = np.concatenate([keep, more])
        if "up_kv" in self.matrices:
            return {**stored, "up_kv": np.concatenate([plain, v * factor], axis=1)}
        return {**stored, "up_k": plain, "up_v": v * factor}

    def _factor(self, of: str, rank: int) -> float:
        """What a norm of the latent vector divides by: nothing without one."""
        norms = [p.name.lower() for p in self.layer.parameters if is_norm(p.name) and p.value.size == rank]
        length = _LENGTH * (self.latent / rank) ** 0.5
        return length if any(("kv" in name) == (of == "kv") for name in norms) else 1.0

    def _fitted(self, rows: Array, shape: tuple[int, ...]) -> Array:
        rows = rows.reshape(-1, rows.shape[-1])
        return np.pad(rows, ((0, shape[0] - rows.shape[0]), (0, shape[1] - rows.shape[1])))

    def _forward(self) -> Any:
        layer, first = self.layer, next(iter(self.layer.arguments))

        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(forward).bind(*args, **kwargs)
            tokens = self._embedded(np.asarray(bound.arguments.pop(first)))
            return layer.forward(**{first: layer.convert(tokens)}, **bound.arguments)

        vars(forward)["__signature__"] = inspect.signature(layer.forward)
        return forward

    def _embedded(self, tokens: Array) -> Array:
        """(…, x, u, w, 0, …): of mean zero, and such that both norms in use divide by `_LENGTH`."""
        total, squares = tokens.sum(axis=-1, keepdims=True), (tokens**2).sum(axis=-1, keepdims=True)
        rank = self.latent
        u = (np.sqrt(2 * (rank * _LENGTH**2 - squares) - total**2) - total) / 2
        empty = self.matrices["down_kv"].shape[1] - self.model - 2
        zeros = np.zeros((*tokens.shape[:-1], empty), tokens.dtype)
        return np.concatenate([tokens, u, -total - u, zeros], axis=-1, dtype=tokens.dtype)


@configurable
def _shared(t: Trace, rotary_width: int) -> None:
    k = t.k.reshape(*t.k.shape[:2], t.key_heads, -1).copy()
    if rotary_width:
        k[..., -rotary_width:] = k[..., :1, -rotary_width:]
    t.k = k.reshape(t.k.shape)


@configurable
def _of_last(t: Trace, rotate: Stage, rotary_width: int) -> None:
    q, k = t.q, t.k
    t.q, t.k = q[..., -rotary_width:], k[..., -rotary_width:]
    rotate(t)
    t.q, t.k = (np.concatenate([a[..., :-rotary_width], b], axis=-1) for a, b in ((q, t.q), (k, t.k)))
