# mypy: ignore-errors
"""Units of work that several threads take from one counter, and waiting for it, without Python between them.

`counter` (4,) holds the number of the next unit, how many are taken at a time, how many there are, and the number of
this call, by which waiting threads know a new one.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from headwise.attention.compiled.processor import PROCESSOR
from headwise.attention.compiled.simd import INDEX, index, inlined, load_scalar

COUNTER = types.Array(types.intp, 1, "C")
_TURNS = 8000  # of a waiting loop: about 0.2 ms


@inlined
def take(counter):
    """The next units, which are this thread's: the first one and the one after the last; equal if none is left."""
    first = min(_add(counter, counter[1]), counter[2])
    return first, min(first + counter[1], counter[2])


def await_call_types(_):
    """Signature of `await_call`."""
    return types.void(COUNTER, types.intp, COUNTER, types.intp)


def await_call(counter, call, ends, task):
    """Note that a task of this call has ended, and wait a while for the first unit of another call to be taken.

    The caller of that call then runs compiled code, so that a thread which returns from here has Python to itself.
    """
    _store(ends, task, call)
    for _ in range(_TURNS):
        if _load(counter, 3) != call and _load(counter, 0) > 0:
            return
        _pause()


def await_ends_types(_):
    """Signature of `await_ends`."""
    return types.void(COUNTER, COUNTER, types.intp)


def await_ends(counter, ends, tasks):
    """Wait a while for the end of so many tasks, the first ones, of this call."""
    task = 0
    for _ in range(_TURNS):
        while task < tasks and _load(ends, task) == counter[3]:
            task += 1
        if task == tasks:
            return
        _pause()


@intrinsic
def _add(typing, array, number):
    """Add to array[0] in one operation that no other thread can interrupt; return what it was."""

    def generate(context, builder, signature, args):
        place = _integer(context, builder, signature, args, index(0))
        return builder.atomic_rmw("add", place, args[1], "monotonic")

    return types.intp(array, types.intp), generate


@intrinsic
def _load(typing, array, place):
    """A number that another thread may have stored."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_integer(context, builder, signature, args, args[1]), "acquire", 8)

    return types.intp(array, types.intp), generate


@intrinsic
def _store(typing, array, place, number):
    """Store a number for another thread, after all that was stored before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[2], _integer(context, builder, signature, args, args[1]), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@intrinsic
def _pause(typing):
    """Leave the core's units to a thread that shares them, for some dozen cycles."""

    def generate(context, builder, signature, args):
        none, integer = ir.VoidType(), ir.IntType(32)
        if PROCESSOR.name == "NEON":
            hint = cgutils.get_or_insert_function(builder.module, ir.FunctionType(none, [integer]), "llvm.aarch64.hint")
            builder.call(hint, [integer(1)])
        elif PROCESSOR.name != "generic":
            builder.call(
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(none, []), "llvm.x86.sse2.pause"), []
            )
        return context.get_dummy_value()

    return types.void(), generate


def _integer(context, builder, signature, args, place):
    """Pointer to an integer of the first argument, an array."""
    return builder.bitcast(load_scalar(context, builder, signature.args[0], args[0], place), ir.PointerType(INDEX))
