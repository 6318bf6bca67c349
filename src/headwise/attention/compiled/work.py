# mypy: ignore-errors
"""Units of work that several threads take from one counter, and calls that they share, without Python in between.

`counter` (3,) holds the number of the next unit, how many are taken at a time, and how many there are. A kernel that is
shared takes a counter first, and returns nothing, a boolean or the bits of its result.

A call is shared on a board: integers, each of those that threads exchange on a line of the cache of its own, and after
them the kernel's arguments.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.callconv import RETCODE_NONE, RETCODE_OK
from numba.core.datamodel import ArgPacker
from numba.extending import intrinsic

from headwise.attention.compiled.processor import PROCESSOR
from headwise.attention.compiled.simd import INDEX, index, inlined, load_scalar
from headwise.attention.compiled.team import ANNOUNCED, BOARD_SIZE, FAILED

COUNTER = BOARD = types.Array(types.intp, 1, "C")
# Threads that may still join the call, those that have left it, bits of its result, and what to call.
_PLACES, _LEFT, _RESULT, _CODE, _KERNEL, _ARGUMENTS = 0, 8, 16, 24, 25, 32
_TURNS = 8000  # of a waiting loop: about 0.2 ms


@inlined
def take(counter):
    """The next units, which are this thread's: the first one and the one after the last; equal if none is left."""
    first = min(add(counter, 0, counter[1]), counter[2])
    return first, min(first + counter[1], counter[2])


def run_types(arguments):
    """Signature of `run`, for a kernel that takes arguments of these types."""
    return types.intp(BOARD, types.intp, types.intp, types.Tuple(arguments))


def run(board, helpers, kernel, arguments):
    """Call the kernel at an address, together with at most so many threads that wait at the board; return the result.

    The threads that joined have left when it returns.
    """
    _publish(board, kernel, arguments)
    _store(board, _LEFT, 0)
    _store(board, _RESULT, 0)
    _store(board, _PLACES, helpers)
    _store(board, ANNOUNCED, 0)
    _call(board)
    joined = helpers - _exchange(board, _PLACES, 0)
    turns = 0
    while _load(board, _LEFT) < joined:
        turns += 1
        if turns < _TURNS:
            _pause()
        else:
            _yield()  # the processor may be needed by the thread that is waited for
    return _load(board, _RESULT)


def join_types(_):
    """Signature of `join`."""
    return types.void(BOARD)


def join(board):
    """Take part in the calls at the board, until for a while there is none and none is announced."""
    turns = 0
    while True:
        announced = _load(board, ANNOUNCED)  # before looking for a place, which is there when this is taken back
        if _take_place(board):
            _call(board)
            add(board, _LEFT, 1)
            turns = 0
        elif turns >= _TURNS and not announced:
            return
        turns += 1
        _pause()


@inlined
def _take_place(board):
    places = _load(board, _PLACES)
    return places > 0 and _compare_exchange(board, _PLACES, places, places - 1)


@intrinsic
def _publish(typing, board, kernel, arguments):
    """Write a kernel's address and arguments to the board, with a function that calls it with them."""

    def generate(context, builder, signature, args):
        place = context.make_array(signature.args[0])(context, builder, args[0]).data
        tuple_type = args[2].type
        room = builder.bitcast(builder.gep(place, [index(_ARGUMENTS)]), tuple_type.as_pointer())
        if context.get_abi_sizeof(tuple_type) > (BOARD_SIZE - _ARGUMENTS) * 8:
            raise ValueError(f"arguments: at most {(BOARD_SIZE - _ARGUMENTS) * 8} bytes fit on a board")
        builder.store(args[2], room)
        builder.store(args[1], builder.gep(place, [index(_KERNEL)]))
        caller = _caller(context, builder.module, signature.args[2], tuple_type)
        builder.store(builder.ptrtoint(caller, INDEX), builder.gep(place, [index(_CODE)]))
        return context.get_dummy_value()

    return types.void(board, kernel, arguments), generate


def _caller(context, module, kinds, tuple_type):
    """A function that takes a board, calls its kernel with its arguments, and notes the result."""
    caller = ir.Function(module, ir.FunctionType(ir.VoidType(), [INDEX.as_pointer()]), module.get_unique_name("caller"))
    caller.linkage = "internal"
    builder = ir.IRBuilder(caller.append_basic_block())
    (board,) = caller.args
    arguments = builder.load(builder.bitcast(builder.gep(board, [index(_ARGUMENTS)]), tuple_type.as_pointer()))
    values = [builder.extract_value(arguments, i) for i in range(len(kinds))]
    values = ArgPacker(context.data_model_manager, list(kinds)).as_arguments(builder, values)
    # numba's functions return a status, write what they return where the first argument points to, and an error next.
    result, error = builder.alloca(INDEX), builder.alloca(INDEX)
    builder.store(index(0), result)
    status = ir.IntType(32)
    kind = ir.FunctionType(status, [result.type, error.type, *(value.type for value in values)])
    kernel = builder.inttoptr(builder.load(builder.gep(board, [index(_KERNEL)])), kind.as_pointer())
    code = builder.call(kernel, [result, error, *values])
    returned = builder.or_(*(builder.icmp_signed("==", code, x) for x in (RETCODE_OK, RETCODE_NONE)))
    bits = builder.select(returned, builder.load(result), index(FAILED))
    builder.atomic_rmw("or", builder.gep(board, [index(_RESULT)]), bits, "acq_rel")
    builder.ret_void()
    return caller


@intrinsic
def _call(typing, board):
    """Call what the board says."""

    def generate(context, builder, signature, args):
        place = context.make_array(signature.args[0])(context, builder, args[0]).data
        kind = ir.FunctionType(ir.VoidType(), [INDEX.as_pointer()])
        code = builder.load(builder.gep(place, [index(_CODE)]))
        builder.call(builder.inttoptr(code, kind.as_pointer()), [place])
        return context.get_dummy_value()

    return types.void(board), generate


def _atomic(operation):
    """An operation on a number of an array that no other thread can interrupt; it returns what the number was."""

    @intrinsic
    def run(typing, array, place, number):
        def generate(context, builder, signature, args):
            return builder.atomic_rmw(operation, _integer(context, builder, signature, args), args[2], "acq_rel")

        return types.intp(array, types.intp, types.intp), generate

    return run


add, _exchange = _atomic("add"), _atomic("xchg")


@intrinsic
def _compare_exchange(typing, array, place, before, after):
    """Replace a number unless another thread has changed it; return whether it was replaced."""

    def generate(context, builder, signature, args):
        place = _integer(context, builder, signature, args)
        return builder.extract_value(builder.cmpxchg(place, args[2], args[3], "acq_rel", "acquire"), 1)

    return types.boolean(array, types.intp, types.intp, types.intp), generate


@intrinsic
def _load(typing, array, place):
    """A number that another thread may have stored."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_integer(context, builder, signature, args), "acquire", 8)

    return types.intp(array, types.intp), generate


@intrinsic
def _store(typing, array, place, number):
    """Store a number for another thread, after all that was stored before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[2], _integer(context, builder, signature, args), "release", 8)
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


@intrinsic
def _yield(typing):
    """Let another thread have the core, where the system offers it."""

    def generate(context, builder, signature, args):
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


def _integer(context, builder, signature, args):
    """Pointer to an integer of an array, the first two arguments."""
    return load_scalar(context, builder, signature.args[0], args[0], args[1])
