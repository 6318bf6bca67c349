"""What a torch module holds besides its parameters: a copy, and how to restore it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headwise.shapes import Array

_LEARNED = frozenset({"_parameters", "_modules"})


class TorchMemory:
    """What a module holds besides its parameters, such as a cache."""

    def __init__(self, module: Any) -> None:
        clones = dict[int, Any]()
        self._attributes = [
            (vars(part), {key: _cloned(value, clones) for key, value in vars(part).items() if key not in _LEARNED})
            for part in module.modules()
        ]

    @property
    def arrays(self) -> list[Array]:
        """Its tensors."""
        return [array for _, values in self._attributes for array in _arrays(values)]

    def restore(self) -> None:
        """Let the module hold this again."""
        clones = dict[int, Any]()
        for attributes, values in self._attributes:
            for key in attributes.keys() - values.keys() - _LEARNED:
                del attributes[key]
            attributes.update(_cloned(values, clones))


def _cloned(value: Any, clones: dict[int, Any]) -> Any:
    """A copy, of which parts share what they shared, with the parameters themselves; `clones` are by identity."""
    import torch

    if isinstance(value, torch.nn.Parameter):
        return value
    if id(value) not in clones:
        if isinstance(value, torch.Tensor):
            clones[id(value)] = value.detach().clone()
        elif type(value) is dict:
            clones[id(value)] = {key: _cloned(item, clones) for key, item in value.items()}
        elif type(value) in (list, tuple):
            clones[id(value)] = type(value)(_cloned(item, clones) for item in value)
    return clones.get(id(value), value)


def _arrays(value: Any) -> Iterator[Array]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().numpy()
    elif type(value) in (dict, list, tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _arrays(item)
