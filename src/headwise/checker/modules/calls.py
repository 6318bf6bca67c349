"""Calling a layer with tokens: which arguments of its forward method are tokens, and in which axes it wants them."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from headwise.checker.modules.extras import tables
from headwise.checker.modules.first_token import gather_first, put_each_first
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.positions import image_sides, position_arguments, position_forms, positions_of
from headwise.checker.modules.torch_modules import without_dropout
from headwise.checker.numpy_guard import np
from headwise.checker.roles import FLAGS, role_of, tokens_among
from headwise.checker.target import TargetSizes
from headwise.errors import describe_exception
from headwise.shapes import Array

_AXES = ("BND", "ND", "BDN", "DN", "BDHW", "BHWD")
_NEUTRAL = {"offset": 0}  # for arguments that have to be passed
_RESIDUAL = {"residual", "residuals", "skip", "identity", "shortcut"}  # what a layer adds to its output: nothing
_USUAL = 6  # tokens; as an image 2 × 3
_OTHER = 9  # where the layer is as wide as that
_MOST = 64
_VISIBLE = tuple(product(("BNN", "NN", "BN", "B1NN", "B11N"), (True, False, 0.0)))  # masks that may hide nothing
_UNBIASED = tuple(product(("BHNN", "HNN", "NN", "BNNH", "FNN"), (0.0,)))  # biases of nothing; F is B · H


class CallError(Exception):
    """A layer that cannot be called: the message says what it raised or returned."""


@dataclass(frozen=True, slots=True)
class Call:
    """One way of calling a layer."""

    layer: Layer  # what is called
    # for each argument that takes tokens: ``"X"``, or ``"context"`` for those that keys and values are made from
    tokens: Mapping[str, str]
    arguments: Mapping[str, Any] = field(default_factory=dict)  # other arguments that are always passed
    # masks and biases that have to be passed
    masks: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    # the axes of a mask, or bias, that changes nothing and the value that fills it; None for none
    visible: tuple[str, bool | float] | None = None
    unbiased: tuple[str, bool | float] | None = None
    heads: int = 1  # how many heads a bias has
    positions: Mapping[str, str] = field(default_factory=dict)  # what each argument is that gives positions
    width: int = 1  # the width of one head, for these
    axes: str = "BND"  # the axes of the tokens, B, N and D, with H and W instead of N for an image
    count: int = _USUAL  # a number of tokens that it takes
    # the parameter that holds learned queries, which take the place of the tokens X; empty where tokens ask
    latents: str = ""
    of_first: bool = False  # whether only its first token asks, so that it is called with each token in its place

    @property
    def rows(self) -> int:
        """How many tokens X to call it with: as many as it has learned queries, if any."""
        return self.count if not self.latents else int(np.prod(self._latent_shape[:-1]))

    @property
    def _latent_shape(self) -> tuple[int, ...]:
        return next(p.shape for p in self.layer.parameters if p.name == self.latents)

    def write_latents(self, queries: Array) -> None:
        """Put tokens (K, D) in the place of the learned queries."""
        self.layer.write({self.latents: queries.reshape(self._latent_shape)})

    @property
    def takes_context(self) -> bool:
        """Whether keys and values have an argument of their own."""
        return "context" in self.tokens.values()

    @property
    def batch(self) -> int:
        """How many items to call it with."""
        return 2 if "B" in self.axes else 1

    def __call__(self, X: Array, context: Array | None = None) -> Array:
        """Call the layer with tokens (B, N, D) that are not rotated, and return its output as (B, N, output).

        Raises CallError if it raises, or its output has another shape.
        """
        if self.latents:
            return self._of_latents(X, X if context is None else context)
        return self._call(X, {"X": X, "context": X if context is None else context})

    def _of_latents(self, X: Array, context: Array) -> Array:
        """The outputs of learned queries, other ones for each item."""
        outputs = []
        for item, queries in enumerate(X):
            self.write_latents(queries)
            output = replace(self, latents="")._call(X, {"context": context})
            outputs.append(output[item])
        return np.stack(outputs)

    def _call(self, X: Array, sources: dict[str, Array]) -> Array:
        """The output (B, N, output) for these tokens, as many as there are in X."""
        if self.of_first:
            sources = {what: put_each_first(tokens) for what, tokens in sources.items()}
        kwargs = {name: self.layer.convert(present(sources[what], self.axes)) for name, what in self.tokens.items()}
        kwargs |= dict.fromkeys(self.masks, self._filled(self.visible, X))
        kwargs |= dict.fromkeys(self.biases, self._filled(self.unbiased, X))
        count = next(iter(sources.values())).shape[1]
        kwargs |= {**self.arguments, **positions_of(self.layer, self.positions, self.width, count, turn=0.0)}
        try:
            with _quiet(), without_dropout():
                result = _bound(self.layer, kwargs)
                output = _first_array(result)
        except (Exception, SystemExit) as error:  # whatever somebody's layer raises
            raise CallError(f"it raised {describe_exception(error)}") from error
        if self.of_first:
            return self._of_first_tokens(output, X)
        if output.ndim == 2 and "X" not in sources and X.shape[1] == 1:
            output = output[:, None]
        if output.ndim < len(self.axes.replace("HW", "N")):
            raise CallError(f"it returned shape {output.shape}")
        tokens = np.asarray(restore(output, self.axes))
        if tokens.ndim == 4 and tokens.shape[:2] == X.shape[:2]:
            tokens = tokens.reshape(*X.shape[:2], -1)
        if tokens.ndim != 3 or tokens.shape[:2] != X.shape[:2]:
            raise CallError(f"it returned shape {output.shape}")
        return tokens

    def _of_first_tokens(self, output: Array, X: Array) -> Array:
        """The outputs (B, N, D) of each token as the first; there has to be a difference."""
        if output.shape[:-1] not in ((X.shape[0] * X.shape[1], 1), (X.shape[0] * X.shape[1],)):
            raise CallError(f"it returned shape {output.shape}")
        outputs = np.asarray(gather_first(output, X.shape[1]))
        if np.allclose(outputs, outputs[:, :1]):
            raise CallError("its output does not depend on which token is the first")
        return outputs

    def _filled(self, form: tuple[str, bool | float] | None, X: Array) -> Any:
        if form is None:
            return None
        axes, value = form
        sizes = {"B": len(X), "N": X.shape[1], "1": 1, "H": self.heads, "F": len(X) * self.heads}
        return self.layer.convert(np.full([sizes[axis] for axis in axes], value))


def present(a: Any, axes: str) -> Any:
    """Tokens (B, N, D) in other axes; of any framework's arrays."""
    if "B" not in axes:
        return a[0] if axes == "ND" else a[0].swapaxes(0, 1)
    if axes in ("BDHW", "BHWD"):
        image = a.reshape(a.shape[0], *image_sides(a.shape[1]), a.shape[2])
        return image if axes == "BHWD" else image.swapaxes(2, 3).swapaxes(1, 2)
    return a.swapaxes(1, 2) if axes == "BDN" else a


def restore(a: Any, axes: str) -> Any:
    """Undo `present`; an output that has already tokens in place of an image stays as it is."""
    if "B" not in axes:
        return a[None] if axes == "ND" else a.swapaxes(0, 1)[None]
    if axes in ("BDHW", "BHWD") and a.ndim == 4:
        image = a.swapaxes(1, 2).swapaxes(2, 3) if axes == "BDHW" else a
        return image.reshape(image.shape[0], -1, image.shape[3])
    return a.swapaxes(1, 2) if axes in ("BDN", "BDHW") else a


def working_calls(layer: Layer, options: Iterable[TargetSizes]) -> list[Call]:
    """The ways of calling a layer that give an output of the shape of attention, the usual first.

    Those that take other numbers of tokens too count before those that take one number only.

    `layer`: what is called.
    `options`: sizes that it may have; the first with which there is a way counts.
    Raises CallError if there is none.
    """
    start, positions = _read_signature(layer)
    errors: list[str] = []
    of_one_count: list[Call] = []  # where a number of tokens may only happen to fit
    for n, sizes, given in product((_USUAL, _OTHER, *_fixed_counts(layer)), list(options), positions):
        others = {name: value for name, value in start.arguments.items() if name not in given}
        call = replace(start, arguments=others, positions=given, width=sizes.width, count=n, heads=sizes.heads)
        biases = _UNBIASED if start.biases else (None,)
        for masks in [(None,), _VISIBLE] if start.masks else [(None,)]:
            forms = [(axes, v, u) for axes in _AXES for v in masks for u in biases if n != sizes.model]
            possible = [replace(call, axes=axes, visible=v, unbiased=u) for axes, v, u in forms]
            possible += [replace(call, of_first=True)] * (not call.takes_context and n != sizes.model)
            working = [one for one in possible if _works(one, sizes, errors)]
            if not working and not call.takes_context and n != sizes.model:
                working = [one for one in _with_latents(call, sizes.model) if _works(one, sizes, errors)]
            if any_count := [one for one in working if takes_any_count(one, sizes)]:
                return any_count
            of_one_count = of_one_count or working
    if of_one_count:
        return of_one_count
    raise CallError(errors[0])


def _with_latents(call: Call, model: int) -> Iterator[Call]:
    """The call with each parameter that may be learned queries (K, D) in the place of the tokens."""
    tokens = dict.fromkeys(call.tokens, "context")
    for table in tables(call.layer):
        rows = table.shape[:-1]
        if table.shape[-1] == model and np.prod(rows, initial=1) == max(rows, default=1):
            yield replace(call, tokens=tokens, latents=table.name)
            call.layer.write({table.name: np.zeros(table.shape)})  # as it was


def takes_any_count(call: Call, sizes: TargetSizes) -> bool:
    """Whether a layer takes other numbers of tokens than the one with which it was called first."""
    others = (5, 7)  # as many as the probes have
    return call.count in (_USUAL, _OTHER) and all(_works(replace(call, count=n), sizes, []) for n in others)


def _works(call: Call, sizes: TargetSizes, errors: list[str]) -> bool:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(call.batch, call.rows, sizes.model))
    try:
        output = call(X, rng.normal(size=(len(X), call.count, sizes.context)))
    except CallError as error:
        errors.append(str(error))
        return False
    return call.visible is None or bool(np.isfinite(output).all())


def plain_array(value: Any) -> Array | None:
    """A float64 array, or None for what is not an array."""
    if value is None or isinstance(value, str | bool | tuple | list | Mapping):
        return None
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return np.array(array, np.float64) if array.dtype.kind in "fiu" else None


def _first_array(result: Any) -> Array:
    """The first array of at least two axes in what a layer returns."""
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        result = next((a for a in map(plain_array, result) if a is not None and a.ndim >= 2), None)
    array = plain_array(result)
    if array is None:
        raise TypeError(f"expected an array; got {type(result).__name__}")
    return array


def _fixed_counts(layer: Layer) -> list[int]:
    """Numbers of tokens that its tables and settings suggest."""
    sides = [side for value in layer.attributes.values() if hasattr(value, "shape") for side in value.shape]
    sides += [side for parameter in layer.parameters for side in parameter.shape]
    numbers = list(layer.numbers.values())
    counts = {*sides, *numbers, *(n * n for n in numbers)}
    return sorted(n for n in counts if 1 < n <= _MOST and n not in (_USUAL, _OTHER))


def _bound(layer: Layer, kwargs: dict[str, Any]) -> Any:
    """Call with the arguments that are positional only in their places."""
    parameters = inspect.signature(layer.forward).parameters.values()
    positional = [kwargs.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in kwargs]
    return layer.forward(*positional, **kwargs)


def _read_signature(layer: Layer) -> tuple[Call, list[dict[str, str]]]:
    """What the arguments are; and which of them give positions: those that have to, then all that may."""
    parameters = [
        p
        for p in inspect.signature(layer.forward).parameters.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    required = [p.name for p in parameters if p.default is p.empty]
    tokens = _tokens([p.name for p in parameters], required)
    others = {name: role_of(name) or "" for name in required if name not in tokens}
    masks = tuple(name for name, role in others.items() if role in ("mask", "padding"))
    biases = tuple(name for name, role in others.items() if role == "bias")
    neutral = {name: role for name, role in others.items() if name not in (*masks, *biases)}
    arguments = {
        name: 0.0 if name in _RESIDUAL else _NEUTRAL.get(role, FLAGS.get(role[1:])) for name, role in neutral.items()
    }
    positions = position_arguments([p.name for p in parameters if p.name not in tokens])
    needed = {name: kind for name, kind in positions.items() if name in required}
    forms = [form for given in ([needed] + [positions] * (positions != needed)) for form in position_forms(given)]
    return Call(layer, tokens, arguments, masks, biases), forms


def _tokens(names: list[str], required: list[str]) -> dict[str, str]:
    """Which arguments take tokens: the first of those that do not say what they are, where no name says it."""
    roles = {name: role_of(name) for name in names}
    by_role = {role: name for name, role in reversed(list(roles.items()))}
    if {"q", "k", "v"} <= set(by_role):
        return {by_role["q"]: "X", by_role["k"]: "context", by_role["v"]: "context"}
    several = [name for name in required if roles[name] == "X"]
    if len(several) == 2:
        first, others = tokens_among(several)
        return {first: "X"} | dict.fromkeys(others, "context")
    if "X" in by_role or "q" in by_role:
        first = by_role.get("X", by_role.get("q", ""))
        others = [name for name in required if roles[name] in ("context", "k", "v") and name != first]
        known = {*position_arguments(names), *_RESIDUAL}
        unknown = [name for name in required if roles[name] is None and name not in known]
        others = others or unknown[:1]
        return {first: "X"} | dict.fromkeys(others, "context")
    unknown = [name for name in required if roles[name] in (None, "context")]
    contexts = unknown[1:] if len(unknown) == 3 == len(required) else unknown[1:2]
    return dict.fromkeys((unknown or names)[:1], "X") | dict.fromkeys(contexts, "context")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
