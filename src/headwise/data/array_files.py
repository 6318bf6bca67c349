"""Named arrays from .npz, .npy and CSV files, and the default arrays of the coursework."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError

__all__ = ["coursework_arrays", "load_npz", "read_arrays"]

_NAMES = ("X", "Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo")
_NEEDED = _NAMES[:4]
# all that NumPy and zipfile raise for a file that is cut short, damaged, encrypted, or something else altogether
_UNREADABLE = (
    *(ValueError, OSError, EOFError, RuntimeError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_arrays(paths: Sequence[Path]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of multi-head attention, from files.

    Parameters
    ----------
    paths : sequence of Path
        An .npz file gives its arrays by their names; an .npy or .csv file gives one, named as the file (``Wq.csv``); a
        folder gives those of its files. Names are case-insensitive.

    Returns
    -------
    dict
        X, Wq, Wk and Wv, and those of Wo, bq, bk, bv and bo in the files, as floating-point arrays.

    Raises
    ------
    DataError
        If a file is missing or unreadable, a name is unknown or repeated, or a required array is missing.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    names = {name.lower(): name for name in _NAMES}
    for path in (file for folder in paths for file in _files(folder)):
        for name, array in _read(path).items():
            known = names.get(name.lower())
            if known is None:
                named_by = "" if path.suffix.lower() == ".npz" else ", by which the file must be named"
                raise DataError(f"{path}: unknown array {name!r}; expected {', '.join(_NAMES)}{named_by}.")
            if known in arrays:
                raise DataError(f"{path}: {known} occurs twice.")
            arrays[known] = _floats(known, array, path)
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise DataError(f"missing {', '.join(missing)}; needed are {', '.join(_NEEDED)}.")
    return {name: arrays[name] for name in _NAMES if name in arrays}


def coursework_arrays() -> dict[str, npt.NDArray[Any]]:
    """Example arrays for the coursework: X (5, 6) and Wq, Wk, Wv (6, 6), from the data file in the package.

    Examples
    --------
    >>> {name: array.shape for name, array in coursework_arrays().items()}
    {'X': (5, 6), 'Wq': (6, 6), 'Wk': (6, 6), 'Wv': (6, 6)}
    """
    with as_file(files("headwise.data") / "coursework") as folder:
        return read_arrays([folder])


def load_npz(path: Path, alone: str = "") -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name; that of an .npy file by the name `alone`, or that of the file.

    Pickled objects are never opened.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "X.npy"
    ...     np.save(path, np.eye(2))
    ...     list(load_npz(path)), list(load_npz(path, "weights"))
    (['X'], ['weights'])
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        with path.open("rb") as file:  # NumPy would leave one that it cannot read open
            if not file.peek(6).startswith((b"PK", b"\x93NUMPY")):  # NumPy would take it for pickled objects
                raise DataError(f"{path}: expected an .npz or .npy file; its content is something else.")
            opened = np.load(file, allow_pickle=False)
            if isinstance(opened, np.ndarray):
                return {alone or path.stem: opened}
            return {name: opened[name] for name in opened.files}
    except DataError:
        raise
    except _UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as .npz or .npy ({why}).") from None


def _files(path: Path) -> list[Path]:
    """The file itself, or those of a folder."""
    if not path.is_dir():
        return [path]
    inside = sorted(file for file in path.iterdir() if file.suffix.lower() in (".npz", ".npy", ".csv"))
    if not inside:
        raise DataError(f"{path}: no .npz, .npy or .csv file in this folder.")
    return inside


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    if path.suffix.lower() in (".npz", ".npy"):
        return load_npz(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.suffix.lower() != ".csv":
        raise DataError(f"{path}: expected an .npz, .npy or .csv file.")
    try:
        return {path.stem: _read_csv(path)}
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}).") from None


def _read_csv(path: Path) -> npt.NDArray[Any]:
    """Numbers separated by commas, a row a line; one line of a bias is a vector."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError("it is empty")
    table = np.loadtxt(lines, delimiter=",", ndmin=2, dtype=np.float64)
    return table.ravel() if path.stem.lower().startswith("b") else table


def _floats(name: str, array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Convert integers to floating point, since numbers in a text file may have no decimal point."""
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name}: expected numbers; got {array.dtype}.")
    return array.astype(np.float64) if array.dtype.kind in "iu" else array
