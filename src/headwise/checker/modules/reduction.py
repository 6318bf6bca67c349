"""Keys and values of a smaller image (Wang et al., 2021, Pyramid Vision Transformer): a convolution with a stride.

With a kernel that holds one pixel, the smaller image is every s-th pixel of every s-th row, and perhaps a norm of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.matrices import collect_parts
from headwise.checker.reference.state import Stage, Trace, configurable, image_sides
from headwise.checker.search.mistakes import Explanation, forms_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

LARGEST_STRIDE = 8  # with more there would be too many tokens


def strided_kernel(layer: Layer) -> Parameter | None:
    """The kernel (D, D, k, k), or (D, 1, k, k), of the convolution with a stride that a layer has, if it is one."""
    kernels = [p for p in collect_parts(layer.parameters).rest if p.stride > 1 and p.value.ndim == 4]
    return kernels[0] if len(kernels) == 1 and kernels[0].stride <= LARGEST_STRIDE else None


def of_one_pixel(kernel: Parameter) -> Array:
    """The kernel that takes the first pixel of the image, or token, then the one that is a stride further."""
    outputs, inputs, *sides = kernel.shape
    array = np.zeros(kernel.shape)
    array[(...,) + (kernel.padding,) * len(sides)] = np.eye(outputs, inputs) if inputs > 1 else 1.0
    return array


def convolutions_of_features(layer: Layer) -> frozenset[str]:
    """The kernels (D, 1, k) or (D, 1, k, k) that mix the tokens of each feature, without a stride."""
    kernels = [
        p for p in collect_parts(layer.parameters).rest if p.value.ndim in (3, 4) and p.shape[1] == p.stride == 1
    ]
    return frozenset(p.name for p in kernels if p.padding < p.shape[-1] and "Conv" in p.owner)


def reductions(kernel: Parameter) -> Iterator[Explanation]:
    """Keys and values of the smaller image: as it is, and with each norm."""
    norms = [one.changes[0]["+arrange"] for one in forms_of("norm-added") if "+arrange" in one.changes[0]]
    for norm in (None, *norms):
        yield Explanation.of(("keys-reduced", {"+arrange": _reduce(kernel, norm)}))


@configurable
def _reduce(t: Trace, kernel: Parameter, norm: Stage | None) -> None:
    size, step, more = kernel.shape[-1], kernel.stride, 2 * kernel.padding
    height, width = image_sides(t.X.shape[1])
    rows, columns = (range(0, side + more - size + 1, step) for side in (height, width))
    tokens = t.X
    t.X = tokens[:, [row * width + column for row in rows for column in columns]]
    if norm is not None:
        norm(t)
    t.X, t.context = tokens, t.X
