"""A layer of any framework, as the checker sees it: parameters by name, a call, and whole numbers that describe it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from headwise.checker.arguments.settings import SIZES, guessed_value, role_of_setting
from headwise.checker.target import Memory
from headwise.shapes import Array


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array that the layer learns."""

    name: str  # its path, such as ``attn.q_proj.weight``
    value: Array  # what it holds, in float64
    axes: str = ""  # ``"oi"`` for (out, in), ``"io"`` for (in, out), empty where the framework does not say
    owner: str = ""  # the class of the part that it belongs to, such as ``Linear``
    # of the kernel of a convolution
    stride: int = 1
    padding: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.value.shape


@dataclass(frozen=True, slots=True)
class Gate:
    """The linear function of the tokens in a gate on the output."""

    name: str  # of the parameter that holds it
    # (n, D): n numbers for each token, one for each feature or head, or one for all; (n, 0): the same for all tokens
    matrix: Array
    bias: Array  # (n,)


@dataclass(frozen=True, slots=True)
class Layer:
    """A copy of a layer, in float64 and without dropout."""

    name: str  # what reports call it
    parameters: tuple[Parameter, ...]  # what it learns
    write: Callable[[Mapping[str, Array]], None]  # ``write({name: array})`` replaces parameters
    forward: Callable[..., Any]  # the call, with the signature of the user's own method
    convert: Callable[[Any], Any]  # from a NumPy array to what the call takes
    # whole numbers among its attributes and its configuration's, by name
    numbers: Mapping[str, int] = field(default_factory=dict)
    # its other attributes that say how it computes: flags, arrays that are not learned
    attributes: Mapping[str, Any] = field(default_factory=dict)
    framework: str = "numpy"  # ``"torch"``, ``"numpy"``, ``"tensorflow"``, ``"keras"`` or ``"flax"``
    # its class; for the frameworks' own layers ``"torch.nn.MultiheadAttention"``, ``"keras"`` or ``"flax"``
    owner: str = ""
    source: str = ""  # the text of the file that it is from
    documentation: str = ""  # the text of its class and those of its parts, and the docstring of the file
    package: str = ""  # that its class belongs to
    function: str = "forward"  # the name of the method that is called
    # its attributes that choose one of several computations of the same, such as ``flash``: names, values, and what
    # sets them
    switches: Sequence[tuple[str, bool, Callable[[bool], None]]] = ()
    train: Callable[[bool], None] | None = None  # turns the training mode on or off, in which norms stay as they are
    state: Callable[[], Memory] | None = None  # what it holds now besides its parameters, such as a cache
    rotary_width: int | None = None  # how many features of keys made from a latent vector are rotated; None without one
    passing: frozenset[str] = frozenset()  # the kernels of convolutions that leave each token as it is
    gate: Gate | None = None  # the numbers of a gate on its output, where they are known
    note: str = ""  # in which form of it is checked, for a report

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of its call, by their names."""
        return inspect.signature(self.forward).parameters


def possible_widths(instance: Any) -> list[int]:
    """How wide the tokens of a layer may be that shows it at its first call: by its attributes, or as usual."""
    numbers = {key: value for key, value in vars(instance).items() if type(value) is int}
    widths = [value for key, value in numbers.items() if role_of_setting(key) == "model"][-1:] or [SIZES["model"]]
    others = [value for key, value in numbers.items() if guessed_value(key, SIZES) and value > 0]
    return list(dict.fromkeys([*widths, *others, SIZES["model"]]))


def signature_of_method(cls: type, method: str) -> inspect.Signature:
    """The signature of a method as it is called on an instance."""
    signature = inspect.signature(getattr(cls, method))
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def plain_attributes(instance: Any) -> dict[str, Any]:
    """The attributes that are flags, numbers with a fraction, or strings."""
    return {key: value for key, value in vars(instance).items() if isinstance(value, bool | float | str)}


_FRAMEWORKS = {"torch", "keras", "tensorflow", "flax", "equinox", "haiku", "transformers", "typing", "abc", "builtins"}
_documentation: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def documentation_of(cls: type) -> str:
    """The text of a class and of those that it inherits from, but a framework's, and the docstring of its file."""
    if cls not in _documentation:
        _documentation[cls] = "\n".join(_texts_of(cls))
    return _documentation[cls]


def _texts_of(cls: type) -> list[str]:
    texts = [getattr(sys.modules.get(cls.__module__), "__doc__", None) or ""]
    for base in cls.__mro__:
        if base.__module__ == cls.__module__ or base.__module__.partition(".")[0] not in _FRAMEWORKS:
            try:
                texts.append(inspect.getsource(vars(base).get("__wrapped__", base)))  # a function that is made a class
            except (OSError, TypeError):
                continue
    return texts
