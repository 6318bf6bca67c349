# mypy: ignore-errors
"""Units of work that several threads take from one counter, without Python between them.

`counter` (3,) holds the number of the next unit, how many are taken at a time, and how many there are.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from headwise.attention.compiled.simd import INDEX, index, inlined, load_scalar

__all__ = ["COUNTER", "take"]

COUNTER = types.Array(types.intp, 1, "C")


@inlined
def take(counter):
    """The next units, which are this thread's: the first one and the one after the last; equal if none is left."""
    first = min(_add(counter, counter[1]), counter[2])
    return first, min(first + counter[1], counter[2])


@intrinsic
def _add(typing, array, number):
    """Add to array[0] in one operation that no other thread can interrupt; return what it was."""

    def generate(context, builder, signature, args):
        place = load_scalar(context, builder, signature.args[0], args[0], index(0))
        return builder.atomic_rmw("add", builder.bitcast(place, ir.PointerType(INDEX)), args[1], "monotonic")

    return types.intp(array, types.intp), generate
