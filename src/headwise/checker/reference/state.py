"""What the reference holds on its way from the arguments to the answer, and what a stage of that way is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeAlias

from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

Case: TypeAlias = dict[str, Any]


def grid(case: Case) -> tuple[int, int, int, int]:
    """(B, H, N, M) of a case's logits."""
    if "X" in case:
        batch, n, _ = case["X"].shape
        return batch, case.get("heads", 1), n, case["context" if "context" in case else "X"].shape[1]
    return (*case["q"].shape[:3], case["k"].shape[2])


def image_sides(count: int) -> tuple[int, int]:
    """The height and the width of an image, or a grid, of so many tokens: the two most nearly equal factors."""
    height = max(h for h in range(1, int(count**0.5) + 1) if count % h == 0)
    return height, count // height


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """An output, and the weights that may come with it: one array from a function, any of several from a reference."""

    output: Array
    weights: tuple[Array, ...] = ()


@dataclass
class Trace:
    """What the reference holds on its way from the arguments to the answer; stages replace values, and change none."""

    case: Case
    X: Array = field(init=False)  # (B, N, D)
    context: Array | None = None  # (B, M, C) that keys and values are made from; None: X
    values: Array | None = None  # (B, M, C) that values are made from, if they are not those of the keys
    W: Mapping[str, Array] = field(init=False)  # q, k, v: (out, in); o where there is one
    b: Mapping[str, Array] = field(init=False)
    heads: int = field(init=False)
    key_heads: int = field(init=False)
    q: Array = field(init=False)  # (B, N, H·d), and (B, H, N, d) once split
    k: Array = field(init=False)
    v: Array = field(init=False)
    scale: Any = field(init=False)
    s: Array = field(init=False)  # logits (B, H, N, M)
    offset: Any = 0  # the key that query 0 is aligned with, (B, 1, 1, 1)
    see: BoolArray | None = None  # (B, H, N, M) or what broadcasts to it; None: everything
    axis: int | tuple[int, ...] = -1  # over which the softmax normalises
    sink: Any = None  # a logit (B, H, 1, 1) that takes part in the softmax and has no value
    power: Callable[[Any], Any] = np.exp
    e: Array = field(init=False)  # exp(s)
    p: Array = field(init=False)  # weights (B, H, N, M)
    weights: tuple[Array, ...] = ()  # what may be returned as the weights
    o: Array = field(init=False)  # (B, H, N, e), and (B, N, D') once merged

    @property
    def of_tokens(self) -> bool:
        """Whether the case gives tokens and matrices, not queries, keys and values."""
        return "X" in self.case

    @property
    def width(self) -> int:
        """The model width D: of the tokens, or of all heads together."""
        return int(self.X.shape[-1]) if self.of_tokens else int(self.q.shape[-1] * self.q.shape[1])

    def source(self, which: str) -> Array:
        """The tokens that the queries, keys or values (``"q"``, ``"k"``, ``"v"``) are made from."""
        if which == "q" or self.context is None:
            return self.X
        return self.context if which == "k" or self.values is None else self.values

    def grid(self) -> tuple[Any, Any]:
        """Queries' positions (N, 1) on the keys' axis, and keys' positions (M)."""
        return np.arange(self.s.shape[-2])[:, None] + self.offset, np.arange(self.s.shape[-1])

    def hide(self, visible: Any) -> None:
        """Let a query see only what is also visible here."""
        self.see = visible if self.see is None else self.see & visible


Stage: TypeAlias = Callable[[Trace], None]
Change: TypeAlias = Mapping[str, Stage]
Stages: TypeAlias = tuple[Stage, ...]

_Settings = ParamSpec("_Settings")


def configurable(stage: Callable[Concatenate[Trace, _Settings], None]) -> Callable[_Settings, Stage]:
    """Turn a stage that takes more than the trace into a function of the rest: ``filled(-1e9)`` is a stage."""

    @functools.wraps(stage)
    def configured(*args: _Settings.args, **kwargs: _Settings.kwargs) -> Stage:
        return lambda t: stage(t, *args, **kwargs)

    return configured
