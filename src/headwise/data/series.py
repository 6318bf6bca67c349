"""Labelled series with an official split: those that come with aeon, or one's own in .ts or .npz files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headwise.data.array_files import load_npz
from headwise.data.split import stratified_holdout
from headwise.data.ts import Parsed, read_arff, read_ts, read_tsv
from headwise.errors import DataError, MissingExtraError, ShapeError
from headwise.representation import brief_repr
from headwise.shapes import Array, BoolArray, IntArray
from headwise.tokenizers.series import Standardizer, pad_series
from headwise.validation import check_counts


class LabelledSeries(NamedTuple):
    """Series in one array, with a label for each.

    Attributes
    ----------
    x : ndarray of float32 of shape (B, N, V)
        Padded with zeros.
    lengths : ndarray of int of shape (B,)
    labels : ndarray of shape (B,)
        Classes from 0, as integers; or numbers to predict, as float32.
    """

    x: Array
    lengths: IntArray
    labels: IntArray | Array

    def __repr__(self) -> str:
        return brief_repr(self)

    def take(self, chosen: IntArray | BoolArray) -> LabelledSeries:
        """The series at these indices."""
        return LabelledSeries(self.x[chosen], self.lengths[chosen], self.labels[chosen])


@dataclass(frozen=True)
class SeriesData:
    """Series for training and testing.

    Attributes
    ----------
    name : str
    train, test : LabelledSeries
    classes : tuple of str
        Their names, in the order of the labels; empty where numbers are to be predicted.
    """

    name: str
    train: LabelledSeries
    test: LabelledSeries
    classes: tuple[str, ...]

    __repr__ = brief_repr

    @property
    def variables(self) -> int:
        """V."""
        variables: int = self.train.x.shape[2]
        return variables

    @property
    def steps(self) -> int:
        """Of the longest series."""
        longest: int = max(self.train.x.shape[1], self.test.x.shape[1])
        return longest


def load_series(what: str | Path) -> SeriesData:
    """A labelled set with its split.

    Parameters
    ----------
    what : str or Path
        The name of a set that comes with aeon; or a folder with ``NAME_TRAIN`` and ``NAME_TEST``, or one of the two
        files. They end in ``.ts``, ``.arff``, ``.tsv`` or ``.txt``, as in the archives, or in ``.npz`` with the arrays
        ``x`` (B, N, V), ``y`` (B,) and, where lengths are unequal, ``lengths`` (B,). Whole numbers and words in ``y``
        are classes; floating-point numbers are predicted.

    Raises
    ------
    DataError
        If a file is missing or unreadable, values are missing, the sets do not fit one another, or the test set has a
        class that the training set has not.

    Examples
    --------
    >>> vowels = load_series("JapaneseVowels")
    >>> vowels.train.x.shape, vowels.test.x.shape, len(vowels.classes)
    ((270, 26, 12), (370, 29, 12), 9)
    """
    path = Path(what)
    if path.is_dir():
        name, train, test = _pair(path)
    elif path.suffix.lower() in _READERS:
        name, train, test = _partner(path)
    else:
        name = str(what)
        if name not in bundled_series():
            names = ", ".join(bundled_series(classes=True))
            raise DataError(f"{what}: no such file or folder, nor a set that comes with aeon, such as {names}.")
        train, test = (_bundled() / name / f"{name}_{part}.ts" for part in ("TRAIN", "TEST"))
    return _join(name, train, test)


def bundled_series(*, classes: bool = False) -> tuple[str, ...]:
    """The sets with an official split that come with aeon; or those of them whose labels are classes, not numbers."""
    files = [folder / f"{folder.name}_TRAIN.ts" for folder in sorted(_bundled().iterdir())]
    return tuple(path.parent.name for path in files if path.is_file() and not (classes and read_ts(path).numbers))


def standardize(data: SeriesData) -> SeriesData:
    """Standardize every variable with the statistics of the training series."""
    scale = Standardizer.fit(data.train.x, data.train.lengths)
    train, test = (part._replace(x=scale.transform(part.x, part.lengths)) for part in (data.train, data.test))
    return SeriesData(data.name, train, test, data.classes)


def train_validation_split(data: SeriesData, fraction: float, seed: int = 0) -> SeriesData:
    """Divide the training series into a training and a test set, stratified by class.

    Parameters
    ----------
    data : SeriesData
    fraction : float
        Fraction of each class that is held out; at least one series, and never all.
    seed : int

    Raises
    ------
    DataError
        If a class has a single series, `fraction` is not between 0 and 1, or `seed` is negative.
    """
    check_counts(0, seed=seed)
    if not 0 < fraction < 1:
        raise DataError(f"fraction: expected a number between 0 and 1; got {fraction}.")
    rng = np.random.default_rng([seed, 270])
    labels = data.train.labels if data.classes else np.zeros(len(data.train.labels), int)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < 2:
            group = f"class {data.classes[int(label)]!r} has" if data.classes else "there is"
            raise DataError(f"{data.name}: {group} one series, so none can be held out.")
    held_out = np.isin(np.arange(len(labels)), stratified_holdout(labels.astype(int), fraction, rng))
    name = f"{data.name}, a part of its training series held out"
    return SeriesData(name, data.train.take(~held_out), data.train.take(held_out), data.classes)


def _bundled() -> Path:
    spec = find_spec("aeon")  # located without importing, which takes seconds
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("a bundled set of series", "aeon", "series")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _pair(folder: Path) -> tuple[str, Path, Path]:
    candidates = sorted(folder.glob("*_TRAIN.*"))
    files = [path for suffix in _READERS for path in candidates if path.suffix.lower() == suffix]
    if len({path.stem for path in files}) != 1:
        names = ", ".join(path.name for path in files) or "none"
        endings = ", ".join(_READERS)
        raise DataError(
            f"{folder}: expected one file NAME_TRAIN, ending in {endings}; got {names}. Name the file itself."
        )
    return _partner(files[0])  # an archive may have the same series in several formats


def _partner(path: Path) -> tuple[str, Path, Path]:
    name = path.stem.removesuffix("_TRAIN").removesuffix("_TEST")
    if name == path.stem:
        raise DataError(f"{path}: expected a name that ends in _TRAIN or _TEST, so that its partner can be found.")
    return name, path.with_name(f"{name}_TRAIN{path.suffix}"), path.with_name(f"{name}_TEST{path.suffix}")


def _join(name: str, train_path: Path, test_path: Path) -> SeriesData:
    train, test = (_READERS[p.suffix.lower()](p) for p in (train_path, test_path))
    kinds = ["numbers" if parsed.numbers else "classes" for parsed in (train, test)]
    if kinds[0] != kinds[1]:
        raise DataError(f"{test_path}: expected {kinds[0]} for labels, as the training series have; got {kinds[1]}.")
    widths = [parsed.series[0].shape[1] for parsed in (train, test)]
    if widths[0] != widths[1]:
        raise DataError(f"{test_path}: expected {widths[0]} variables, as the training series have; got {widths[1]}.")
    if train.numbers:
        classes: tuple[str, ...] = ()
        labels = [_targets(parsed, path) for parsed, path in ((train, train_path), (test, test_path))]
    else:
        classes = _classes(train, test, train_path, test_path)
        labels = [np.array([classes.index(label) for label in parsed.labels]) for parsed in (train, test)]
    parts = [LabelledSeries(*pad_series(p.series), y) for p, y in zip((train, test), labels, strict=True)]
    return SeriesData(name, parts[0], parts[1], classes)


def _classes(train: Parsed, test: Parsed, train_path: Path, test_path: Path) -> tuple[str, ...]:
    """The classes of the training series, 10 after 9; none of the test series may have another."""
    classes = tuple(sorted(set(train.labels), key=lambda label: (label.isdecimal() and int(label), label)))
    if len(classes) < 2:
        raise DataError(f"{train_path}: expected two classes or more; all series are {classes[0]!r}.")
    unseen = Counter(label for label in test.labels if label not in classes)
    if unseen:
        label, count = unseen.most_common(1)[0]
        raise DataError(
            f"{test_path}: class {label!r} ({count} series) is not among the training series, so it cannot be learnt; "
            "move some of it to the training set, or drop it."
        )
    return classes


def _targets(parsed: Parsed, path: Path) -> Array:
    try:
        targets = np.array(parsed.labels, np.float32)
    except ValueError:
        raise DataError(f"{path}: expected a number for every label.") from None
    if not np.isfinite(targets).all():
        raise DataError(f"{path}: a number to predict is missing or infinite; drop its series.")
    return targets


def _read_npz(path: Path) -> Parsed:
    arrays = load_npz(path)
    if not {"x", "y"} <= arrays.keys():
        raise DataError(f"{path}: expected the arrays x (B, N, V) and y (B,); got {', '.join(arrays) or 'none'}.")
    x, y = arrays["x"], arrays["y"]
    if x.ndim != 3 or x.dtype.kind not in "iuf" or not len(x):
        raise DataError(f"{path}: x: expected numbers (B, N, V), B at least 1; got {x.dtype} {x.shape}.")
    lengths = arrays.get("lengths", np.full(len(x), x.shape[1]))
    if y.shape != (len(x),) or lengths.shape != (len(x),):
        shapes = f"{y.shape} and {lengths.shape}"
        raise ShapeError(f"{path}: expected y and lengths of shape ({len(x)},), one a series; got {shapes}.")
    if lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise DataError(f"{path}: lengths: expected whole numbers from 1 to N={x.shape[1]}.")
    series = [item[:n].astype(np.float64) for item, n in zip(x, lengths, strict=True)]
    for i, item in enumerate(series):
        if not (np.abs(item) <= np.finfo(np.float32).max).all():  # false for NaN too
            raise DataError(f"{path}: series {i} has missing values (NaN) or infinities; fill them in, or drop it.")
    labels = y.astype(str) if y.dtype.kind == "S" else y  # bytes as the words they spell
    return Parsed(series, [str(label) for label in labels.tolist()], y.dtype.kind == "f")


_READERS = {".ts": read_ts, ".npz": _read_npz, ".arff": read_arff, ".tsv": read_tsv, ".txt": read_tsv}
