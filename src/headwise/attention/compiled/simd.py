# mypy: ignore-errors
"""Matrix products for compiled code, in the vector types of the machine.

LLVM turns a loop into vector code, but does not keep a block of a matrix product in registers by itself. So the block
is spelled out here, once, as the instructions of LLVM's own language: it runs at the speed of the machine's
fused multiply-adds on operands of any stride, and works on whatever the machine's vectors are.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from headwise.attention.compiled.processor import PROCESSOR

_BYTES = PROCESSOR.vector_bytes
_WIDEST = 4 if PROCESSOR.registers >= 32 else 2  # vectors side by side, six rows of which fill the registers
LINE_VECTORS = 64 // _BYTES  # vectors of a line of the cache
INDEX = ir.IntType(64)

compiled = njit(nogil=True, error_model="numpy")
inlined = njit(nogil=True, error_model="numpy", forceinline=True)


@compiled
def num_lanes(array):
    """How many of an array's numbers fill a vector."""
    return _BYTES // array.itemsize


def index(value):
    """A constant for counting with."""
    return ir.Constant(INDEX, value)


def vector(scalar):
    """The type that fills a register with a scalar type."""
    return ir.VectorType(scalar, _BYTES // (4 if isinstance(scalar, ir.FloatType) else 8))


def load_scalar(context, builder, array_type, array, offset):
    """Pointer to an element of an array, or of what `pointer` gave for one, by its offset in elements."""
    if isinstance(array_type, types.Array):
        array = context.make_array(array_type)(context, builder, array).data
    return builder.gep(array, [offset])


@intrinsic
def pointer(typing, array):
    """An array's memory, read by offsets and strides: so `multiply` is compiled once, not for each kind of array."""

    def generate(context, builder, signature, args):
        return load_scalar(context, builder, signature.args[0], args[0], index(0))

    return types.CPointer(array.dtype)(array), generate


def vector_at(builder, kind, base, offset):
    """Pointer to the vector that begins some elements after `base`; it may lie on any element."""
    return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())


def load_vector(builder, kind, array_type, base, offset):
    """The vector that begins some elements after `base`, widened if the array holds half-precision numbers.

    An array of uint16 holds float16, one of int16 holds bfloat16.
    """
    stored = array_type.dtype
    if stored not in (types.uint16, types.int16):
        return builder.load(vector_at(builder, kind, base, offset), align=4 if stored == types.float32 else 8)
    halves = ir.VectorType(ir.IntType(16), kind.count)
    bits = builder.load(vector_at(builder, halves, base, offset), align=2)
    if stored == types.uint16:
        return builder.fpext(builder.bitcast(bits, ir.VectorType(ir.HalfType(), kind.count)), kind)
    whole = ir.VectorType(ir.IntType(32), kind.count)
    upper = builder.shl(builder.zext(bits, whole), ir.Constant(whole, [16] * kind.count))
    return builder.bitcast(upper, kind)


@intrinsic
def prefetch(typing, array, offset):
    """Fetch what lies some elements after the beginning of an array, or of `pointer`, into the cache."""

    def generate(context, builder, signature, args):
        base = load_scalar(context, builder, signature.args[0], args[0], index(0))
        prefetch_vector(context, builder, base, args[1])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def prefetch_vector(context, builder, base, offset):
    """Fetch the vector that begins some elements after `base` into the cache; it need not exist."""
    byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    address = builder.bitcast(builder.gep(base, [offset]), byte)
    builder.call(function, [address, integer(0), integer(2), integer(1)])


def broadcast(builder, kind, number):
    """A number in every lane."""
    none = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, none, ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None))


def fma(builder, kind, a, b, c):
    """A · b + c, rounded once, of numbers or of vectors."""
    scalar, lanes = (kind.element, f"v{kind.count}") if isinstance(kind, ir.VectorType) else (kind, "")
    name = f"llvm.fma.{lanes}f{32 if isinstance(scalar, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
    return builder.call(function, (a, b, c))


def block_product(rows, vectors, streamed=False):
    """C (+)= A B for a block of `rows` × `vectors` registers of C, which stay in them; arguments as in `multiply`.

    If `streamed`, the last argument is how many elements ahead B is fetched into the cache, and the product is added.
    """

    @intrinsic
    def block(typing, c, c0, cr, a, a0, ar, ac, b, b0, br, depth, last):
        n = types.intp
        signature = types.void(c, n, n, a, n, n, n, b, n, n, n, last if streamed else types.boolean)

        def generate(context, builder, signature, args):
            _, c0, cr, _, a0, ar, ac, _, b0, br, depth, last = args
            add = ir.Constant(ir.IntType(1), 1) if streamed else last
            c, a, b = (
                load_scalar(context, builder, signature.args[i], args[i], start)
                for i, start in ((0, c0), (3, a0), (7, b0))
            )
            if streamed:
                fetch, fetch_step = cgutils.unpack_tuple(builder, last)
                fetch = load_scalar(context, builder, signature.args[7], args[7], fetch)
            kind = vector(context.get_value_type(signature.args[0].dtype))
            size = context.get_abi_sizeof(kind.element)

            def load(base, offset):
                return builder.load(vector_at(builder, kind, base, offset), align=size)

            cells = [(r, i) for r in range(rows) for i in range(vectors)]
            where = [builder.add(builder.mul(cr, index(r)), index(i * kind.count)) for r, i in cells]
            zero, start = ir.Constant(kind, None), builder.block
            loop, end, adding, done = (builder.append_basic_block(name) for name in ("loop", "end", "adding", "done"))
            builder.cbranch(builder.icmp_signed(">", depth, index(0)), loop, end)

            builder.position_at_end(loop)
            k, *sums = (_merge(builder, t, (x, start)) for t, x in [(INDEX, index(0)), *[(kind, zero)] * len(cells)])
            b_row = builder.gep(b, [builder.mul(k, br)])
            a_column = builder.gep(a, [builder.mul(k, ac)])
            right = [
                load_vector(builder, kind, signature.args[7], b_row, index(i * kind.count)) for i in range(vectors)
            ]
            for i in range(0, vectors if streamed else 0, LINE_VECTORS):
                prefetch_vector(context, builder, fetch, builder.add(builder.mul(k, fetch_step), index(i * kind.count)))
            left = [
                broadcast(builder, kind, builder.load(builder.gep(a_column, [builder.mul(ar, index(r))])))
                for r in range(rows)
            ]
            new = [fma(builder, kind, left[r], right[i], s) for (r, i), s in zip(cells, sums, strict=True)]
            following = builder.add(k, index(1))
            for phi, value in zip((k, *sums), (following, *new), strict=True):
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)

            builder.position_at_end(end)
            sums = [_merge(builder, kind, (zero, start), (value, loop)) for value in new]
            builder.cbranch(add, adding, done)

            builder.position_at_end(adding)  # at last, not at first: a long sum is made of short ones
            more = [builder.fadd(x, load(c, offset)) for x, offset in zip(sums, where, strict=True)]
            builder.branch(done)

            builder.position_at_end(done)
            results = [_merge(builder, kind, (x, end), (y, adding)) for x, y in zip(sums, more, strict=True)]
            for offset, result in zip(where, results, strict=True):
                builder.store(result, vector_at(builder, kind, c, offset), align=size)
            return context.get_dummy_value()

        return signature, generate

    return block


def _merge(builder, kind, *incoming):
    phi = builder.phi(kind)
    for value, block in incoming:
        phi.add_incoming(value, block)
    return phi


# Six rows of two vectors, or four of three, fill the sixteen registers of AVX2 with what they multiply.
_6W, _62, _61 = (block_product(6, vectors) for vectors in (_WIDEST, 2, 1))
_4W, _43, _42, _41 = (block_product(4, vectors) for vectors in (_WIDEST, 3, 2, 1))
_2W, _23, _22, _21 = (block_product(2, vectors) for vectors in (_WIDEST, 3, 2, 1))
_1W, _13, _12, _11 = (block_product(1, vectors) for vectors in (_WIDEST, 3, 2, 1))


@compiled
def multiply(c, c0, cr, a, a0, ar, ac, b, b0, br, rows, width, depth, add):
    """C = A B, or C += A B where `add`: C (rows, width), A (rows, depth), B (depth, width).

    Each array is given with the offset of its first element, then its strides, in elements: of a row of C, of a row
    and a column of A, of a row of B. The columns of C and B lie side by side, and `width` is a multiple of the lanes.
    """
    j, lane = 0, num_lanes(c)
    while j < width:
        rest = (width - j) // lane
        # one vector at a time is slow, so an odd number of them ends with three
        vectors = 3 if rest == 3 or rest == 5 else _WIDEST if rest >= _WIDEST else 2 if rest >= 2 else 1
        r, most = 0, 4 if vectors == 3 else 6
        while r < rows:
            ci, ai, bi, left = c0 + r * cr + j, a0 + r * ar, b0 + j, rows - r
            block = most if left >= most else 4 if left >= 4 else 2 if left >= 2 else 1
            if block == 6:
                if vectors == _WIDEST:
                    _6W(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 2:
                    _62(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                else:
                    _61(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
            elif block == 4:
                if vectors == _WIDEST:
                    _4W(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 3:
                    _43(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 2:
                    _42(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                else:
                    _41(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
            elif block == 2:
                if vectors == _WIDEST:
                    _2W(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 3:
                    _23(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 2:
                    _22(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                else:
                    _21(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
            else:
                if vectors == _WIDEST:
                    _1W(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 3:
                    _13(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                elif vectors == 2:
                    _12(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
                else:
                    _11(c, ci, cr, a, ai, ar, ac, b, bi, br, depth, add)
            r += block
        j += vectors * lane
