"""Values over a socket, in a format that can hold nothing but values.

``None``, bool, int, float, str, tuple, dict with texts as keys, and NumPy arrays of a few types; nothing that runs when
it is read (no pickle). Reading checks every size against the available bytes before it creates a value, so a sender can
only choose the values.

A message is a length (4 bytes) and one value; a value is a letter and its bytes, big-endian.
"""

from __future__ import annotations

import math
import struct
from typing import Any, TypeAlias

import numpy as np

Value: TypeAlias = Any  # None, bool, int, float, str, an array, a tuple of values, or a dict of them
HEADER = struct.Struct("!I")  # the length that goes before a message

_TYPES = {
    letter: np.dtype(name)
    for letter, name in zip(
        b"?bhilBHILefdFD",
        ("?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"),
        strict=True,
    )
}
_LETTERS = {dtype: letter for letter, dtype in _TYPES.items()}
_DEPTH = 6  # of tuples and dicts in one another: a message has arguments, each perhaps a list of dicts of tuples
_AXES = 8


class WireError(ValueError):
    """Bytes that are no message, or a value that no message can hold."""


def encode(value: Value) -> bytes:
    """One value as bytes.

    Raises WireError if it holds anything but the types above.
    """
    parts: list[bytes] = []
    _write(value, parts, _DEPTH)
    return b"".join(parts)


def decode(data: bytes | bytearray) -> Value:
    """Read one value, and nothing after it; arrays are copies.

    Raises WireError if the bytes are anything but one value.
    """
    value, rest = _read(memoryview(data), _DEPTH)
    if len(rest):
        raise WireError(f"{len(rest)} bytes too many")
    return value


def _write(value: Value, parts: list[bytes], depth: int) -> None:
    if value is None or value is True or value is False:
        parts.append({None: b"N", True: b"T", False: b"F"}[value])
    elif type(value) is int and -(2**63) <= value < 2**63:
        parts.append(struct.pack("!cq", b"i", value))
    elif type(value) is float:
        parts.append(struct.pack("!cd", b"d", value))
    elif type(value) is str:
        text = value.encode("utf-8", "replace")
        parts += struct.pack("!cI", b"s", len(text)), text
    elif type(value) is tuple and depth:
        parts.append(struct.pack("!cI", b"t", len(value)))
        for element in value:
            _write(element, parts, depth - 1)
    elif type(value) is dict and depth and all(type(key) is str for key in value):
        parts.append(struct.pack("!cI", b"m", len(value)))
        for item in (part for pair in value.items() for part in pair):
            _write(item, parts, depth - 1)
    elif isinstance(value, np.ndarray) and value.ndim <= _AXES and value.dtype.newbyteorder("<") in _LETTERS:
        letter = _LETTERS[value.dtype.newbyteorder("<")]
        parts.append(struct.pack(f"!cBBB{value.ndim}I", b"a", letter, value.flags.writeable, value.ndim, *value.shape))
        parts.append(value.astype(_TYPES[letter], copy=False).tobytes())
    else:
        raise WireError(f"cannot send {getattr(value, 'dtype', type(value).__name__)}")


def _read(data: memoryview, depth: int) -> tuple[Value, memoryview]:
    letter, data = _take(data, 1)
    match bytes(letter):
        case b"N":
            return None, data
        case b"T":
            return True, data
        case b"F":
            return False, data
        case b"i":
            number, data = _take(data, 8)
            return struct.unpack("!q", number)[0], data
        case b"d":
            number, data = _take(data, 8)
            return struct.unpack("!d", number)[0], data
        case b"s":
            count, data = _count(data)
            text, data = _take(data, count)
            return str(text, "utf-8", "replace"), data
        case b"t" if depth:
            count, data = _count(data)
            values, data = _read_values(data, count, depth - 1)
            return tuple(values), data
        case b"m" if depth:
            count, data = _count(data)
            values, data = _read_values(data, 2 * count, depth - 1)
            keys = values[::2]
            if not all(type(key) is str for key in keys):
                raise WireError("a key that is no text")
            return dict(zip(keys, values[1::2], strict=True)), data
        case b"a":
            return _read_array(data)
    raise WireError(f"no value begins with {bytes(letter)!r}")


def _read_values(data: memoryview, count: int, depth: int) -> tuple[list[Value], memoryview]:
    values = []
    for _ in range(count):  # each takes a byte at least, so a count that lies runs out of bytes
        value, data = _read(data, depth)
        values.append(value)
    return values, data


def _read_array(data: memoryview) -> tuple[np.ndarray[Any, Any], memoryview]:
    (letter, writeable, ndim), data = _take(data, 3)
    if letter not in _TYPES or ndim > _AXES:
        raise WireError("no such array")
    sizes, data = _take(data, 4 * ndim)
    shape = struct.unpack(f"!{ndim}I", sizes)
    raw, data = _take(data, math.prod(shape) * _TYPES[letter].itemsize)
    if not len(raw) and math.prod(n for n in shape if n) > 2**31:
        raise WireError("an empty array of impossible shape")
    array = np.frombuffer(raw, _TYPES[letter]).reshape(shape).astype(_TYPES[letter].newbyteorder("="))
    array.flags.writeable = bool(writeable)
    return array, data


def _count(data: memoryview) -> tuple[int, memoryview]:
    raw, data = _take(data, 4)
    return struct.unpack("!I", raw)[0], data


def _take(data: memoryview, count: int) -> tuple[memoryview, memoryview]:
    if count > len(data):
        raise WireError(f"{count} bytes announced, {len(data)} there")
    return data[:count], data[count:]
