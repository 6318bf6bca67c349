"""A layer of any framework, as the checker sees it: parameters by name, a call, and whole numbers that describe it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwise.shapes import Array


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array that the layer learns.

    Attributes
    ----------
    name : str
        Its path, such as ``attn.q_proj.weight``.
    value : Array
        What it holds, in float64.
    axes : str
        ``"oi"`` for (out, in), ``"io"`` for (in, out), empty where the framework does not say.
    owner : str
        The class of the part that it belongs to, such as ``Linear``.
    """

    name: str
    value: Array
    axes: str = ""
    owner: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.value.shape


@dataclass(frozen=True, slots=True)
class Layer:
    """A copy of a layer, in float64 and without dropout.

    Attributes
    ----------
    name : str
        What reports call it.
    parameters : tuple of Parameter
        What it learns.
    write : callable
        ``write({name: array})`` replaces parameters.
    forward : callable
        The call, with the signature of the user's own method.
    convert : callable
        From a NumPy array to what the call takes.
    numbers : mapping
        Whole numbers among its attributes and its configuration's, by name.
    attributes : mapping
        Its other attributes that say how it computes: flags, arrays that are not learned.
    framework : str
        ``"torch"``, ``"numpy"``, ``"keras"`` or ``"flax"``.
    owner : str
        Its class; for the frameworks' own layers ``"torch.nn.MultiheadAttention"``, ``"keras"`` or ``"flax"``.
    source : str
        The text of the file that it is from.
    documentation : str
        The text of its class, and the docstring of the file.
    function : str
        The name of the method that is called.
    """

    name: str
    parameters: tuple[Parameter, ...]
    write: Callable[[Mapping[str, Array]], None]
    forward: Callable[..., Any]
    convert: Callable[[Any], Any]
    numbers: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    framework: str = "numpy"
    owner: str = ""
    source: str = ""
    documentation: str = ""
    function: str = "forward"


def documentation_of(cls: type) -> str:
    """The text of a class and of those of the same file that it inherits from, and the docstring of the file."""
    texts = [getattr(sys.modules.get(cls.__module__), "__doc__", None) or ""]
    for base in cls.__mro__:
        if base.__module__ == cls.__module__:
            try:
                texts.append(inspect.getsource(base))
            except (OSError, TypeError):
                continue
    return "\n".join(texts)
