"""What is known of each tensor while a torch model runs, found by its storage and not by its Python object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from headwise.shapes import Array

_Value = TypeVar("_Value")
_CLEAN_EVERY = 1000  # storages between two searches for dead ones
_Geometry = tuple[int, tuple[int, ...], tuple[int, ...]]


class Sources(NamedTuple):
    """Which tensors a tensor was computed from, across at most two linear layers."""

    # inputs of the last linear layers on the way to the tensor, and of those before them
    near: frozenset[int]
    far: frozenset[int] = frozenset()
    linear: bool = False  # whether there was a linear layer on the way

    def meets(self, other: Sources) -> bool:
        """Whether both go back to a common tensor."""
        return bool((self.near | self.far) & (other.near | other.far))


@dataclass
class _Storage(Generic[_Value]):
    """One storage: alive as long as a tensor uses it. The weak reference keeps its address from being used again."""

    alive: StorageWeakRef
    number: int
    sources: Sources
    values: dict[_Geometry, _Value] = field(default_factory=dict)


class TensorTable(Generic[_Value]):
    """Sources of every tensor, and a value for some.

    A value belongs to a storage and a geometry (offset, shape, strides): autograd may wrap one result in several
    Python objects.
    """

    def __init__(self) -> None:
        self._storages: dict[int, _Storage[_Value]] = {}
        self._valued: set[int] = set()
        self._numbers = count()

    def sources(self, tensor: Tensor) -> Sources:
        """Where a tensor comes from; itself if it was there before the run."""
        storage = self._storage(tensor)
        return Sources(frozenset()) if storage is None else storage.sources

    def number(self, tensor: Tensor) -> int:
        """A number that no other storage of the run has."""
        storage = self._storage(tensor)
        return -1 if storage is None else storage.number

    def derive(self, tensor: Tensor, sources: Sources | None) -> None:
        """Note where a result comes from; None if from nothing that is followed."""
        storage = self._storage(tensor)
        if storage is not None:
            storage.sources = sources or Sources(frozenset({storage.number}))

    def value(self, tensor: Tensor) -> _Value | None:
        """What was stored for the tensor."""
        storage = self._storage(tensor)
        return None if storage is None else storage.values.get(_geometry(tensor))

    def last_value(self, tensor: Tensor) -> _Value | None:
        """The value stored last for any view of the tensor's storage."""
        storage = self._storage(tensor)
        return None if storage is None else next(reversed(storage.values.values()), None)

    def store(self, tensor: Tensor, value: _Value | None, overwritten: bool = False) -> None:
        """Store a value; other views of the storage are forgotten if it was overwritten."""
        storage = self._storage(tensor)
        if storage is None:
            return
        if overwritten:
            storage.values.clear()
        if value is not None:
            self._forget_dead(self._valued)
            self._valued.add(tensor.untyped_storage()._cdata)
            storage.values[_geometry(tensor)] = value

    def _storage(self, tensor: Tensor) -> _Storage[_Value] | None:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse tensors and wrappers have none
            return None
        address = storage._cdata
        if address not in self._storages:
            number = next(self._numbers)
            if number % _CLEAN_EVERY == 0:
                self._forget_dead(self._storages)
            self._storages[address] = _Storage(StorageWeakRef(storage), number, Sources(frozenset({number})))
        return self._storages[address]

    def _forget_dead(self, addresses: Iterable[int]) -> None:
        """Release what was stored for tensors that no longer exist, and with it the tensors that it refers to."""
        for address in [address for address in addresses if self._storages[address].alive.expired()]:
            del self._storages[address]
            self._valued.discard(address)


def _geometry(tensor: Tensor) -> _Geometry:
    return tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride())


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among some arguments, and in the lists among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def has_memory(tensor: Tensor) -> bool:
    """Whether a tensor has numbers; those that ``torch.vmap`` passes to a function have none."""
    try:
        tensor.data_ptr()
    except (NotImplementedError, RuntimeError):
        return False
    return True


def as_array(tensor: Tensor) -> Array:
    """A copy as an array on this machine; half precision as float32, which holds it exactly."""
    plain = tensor.detach()
    if plain.dtype.itemsize < 4:
        plain = plain.float()
    return np.array(plain.resolve_conj().resolve_neg().cpu().numpy())
