"""One way of calling a layer: with tokens (B, N, D), whatever the layer wants them to look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.calling.responses import bare, parts_of
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.layouts import gather_first, present, put_each_first, restore
from headwise.checker.modules.pairs import Pairs
from headwise.checker.modules.positions import positions_of
from headwise.checker.modules.torch_modules import without_dropout
from headwise.checker.user_code.execution import quiet_user_code
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import describe_exception
from headwise.shapes import Array, BoolArray

_CLOSE = 1e-5  # a layer may compute in float32
USUAL_COUNT = 6  # tokens; as an image 2 × 3


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
    pairs: Pairs | None = None  # the features of pairs that it makes a bias of
    positions: Mapping[str, str] = field(default_factory=dict)  # what each argument is that gives positions
    width: int = 1  # how many features of a head rotate by these
    axes: str = "BND"  # the axes of the tokens, as in `headwise.checker.modules.layouts`
    count: int = USUAL_COUNT  # a number of tokens that it takes
    # the parameter that holds learned queries, which take the place of the tokens X; empty where tokens attend
    latents: str = ""
    turn: float = 0.0  # 1 to rotate by the positions that are passed, 0 not to
    together: bool = False  # whether all tokens are rotated alike
    pattern: BoolArray | None = None  # (N, M) of windows of a grid; None where every query sees every key
    first: int = 0  # the position of its first token
    of_first: bool = False  # whether only its first token attends, so that it is called with each token in its place
    of_one: bool = False  # whether it takes one query only, next to a context

    @property
    def rows(self) -> int:
        """How many tokens X to call it with: as many as it has learned queries, if any."""
        if self.of_one:
            return 1
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
    def lengths(self) -> list[str]:
        """The arguments that have to be numbers of valid keys."""
        return [name for name in self.arguments if role_of(name) == "lengths"]

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
        own = {what: np.array(tokens) for what, tokens in sources.items()}  # which the layer may change
        kwargs = {name: self.layer.convert(present(own[what], self.axes)) for name, what in self.tokens.items()}
        kwargs |= dict.fromkeys(self.masks, self._filled(self.visible, X))
        kwargs |= dict.fromkeys(self.biases, self._filled(self.unbiased, X))
        count = next(iter(sources.values())).shape[1]
        kwargs |= self.pair_features(np.zeros((len(X), self.heads, X.shape[1], count)))
        at = (self.layer, self.positions, self.width, count)
        positions = positions_of(*at, turn=self.turn, first=self.first, together=self.together)
        kwargs |= {**self.arguments, **positions}
        kwargs |= {name: self.layer.convert(np.full(len(X), count)) for name in self.lengths}
        try:
            with quiet_user_code(), without_dropout():
                result = _bound(self.layer, kwargs)
                output = _first_array(result)
        except Exception as error:  # whatever somebody's layer raises
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

    def pair_features(self, bias: Array) -> dict[str, Any]:
        """The argument that stands for a bias (B, H, N, M), if there is one."""
        if self.pairs is None:
            return {}
        features = self.pairs.features(bias)
        return {self.pairs.argument: self.layer.convert(features if "B" in self.axes else features[0])}

    def with_pairs(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with features of pairs in place of a bias."""
        bias = plain_array(arguments.get(self.pairs.argument)) if self.pairs else None
        if bias is None:
            return dict(arguments)
        first = arguments[next(iter(self.tokens))]
        shape = (first.shape[self.axes.index("B")] if "B" in self.axes else 1, self.heads, *bias.shape[-2:])
        narrow = np.float32 if "float32" in str(first.dtype) else np.float64
        return {**arguments, **self.pair_features(np.broadcast_to(bias, shape).astype(narrow))}

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


def visible_keys(call: Call, X: Array, before: Array) -> BoolArray:
    """The keys that each query sees, (N, N), with its own; `before` is the output for these tokens."""
    visible = np.eye(X.shape[1], dtype=bool)
    for m in range(X.shape[1]):
        changed = X.copy()
        changed[:, m] *= np.cos(np.arange(X.shape[-1]))  # which no norm takes away
        visible[:, m] |= np.abs(call(changed) - before).max(axis=(0, 2)) > _CLOSE * np.abs(before).max()
    return visible


def plain_array(value: Any) -> Array | None:
    """A float64 array, or None for what is not an array."""
    if value is None or isinstance(value, str | bool | tuple | list | Mapping):
        return None
    array = bare(value)
    return np.array(array, np.float64) if array.dtype.kind in "fiu" else None


def _first_array(result: Any) -> Array:
    """The first array of at least two axes in what a layer returns."""
    first = parts_of(tuple(result) if isinstance(result, list) else result, least=2)[0]
    array = plain_array(first)
    if array is None:
        raise TypeError(f"expected an array; got {type(first).__name__}")
    return array


def _bound(layer: Layer, kwargs: dict[str, Any]) -> Any:
    """Call with the arguments that are positional only in their places."""
    first = [p.name for p in layer.arguments.values() if p.kind is p.POSITIONAL_ONLY]
    positional = [kwargs.pop(name) for name in first if name in kwargs]
    return layer.forward(*positional, **kwargs)
