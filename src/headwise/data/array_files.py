"""Named arrays from .npz, .npy and CSV files, and the default arrays of the coursework."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.checker.arguments.roles import role_of
from headwise.errors import DataError, ShapeError
from headwise.files import check_file

_NAMES = ("X", "Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo")
_NEEDED = _NAMES[:4]
_TEXT_FILES = (".csv", ".tsv", ".txt")
_BEGINNINGS = (b"PK\3\4", b"PK\5\6", b"\x93NUMPY")  # of .npz and .npy files
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+|nan|inf)([eE][-+]?\d+)?\s*", re.IGNORECASE)


def read_arrays(paths: Sequence[Path], *, in_out: bool = False) -> dict[str, npt.NDArray[Any]]:
    """The arrays of multi-head attention, from files.

    Parameters
    ----------
    paths : sequence of Path
        An .npz file gives its arrays by their names; an .npy, .csv, .tsv or .txt file gives one, named as the file
        (``Wq.csv``); a folder gives those of its files. Other usual names are understood too: ``W_q``, ``omega_q``,
        ``beta_q``, and ``omega_q1`` and ``omega_q2`` for the matrices of single heads.
    in_out : bool
        Whether the matrices in the files are (in, out).

    Returns
    -------
    dict
        X, Wq, Wk and Wv, and those of Wo, bq, bk, bv and bo in the files, as floating-point arrays; the matrices are
        (out, in), those of the heads below one another.

    Raises
    ------
    DataError
        If a file is missing or unreadable, a name is unknown or repeated, or a required array is missing.
    """
    parts: dict[str, dict[int, npt.NDArray[Any]]] = {}
    for path in (file for folder in paths for file in _files(folder)):
        for name, array in _read(path).items():
            role, head = _role(name)
            if role is None:
                named_by = "" if path.suffix.lower() == ".npz" else ", by which the file must be named"
                raise DataError(f"{path}: unknown array {name!r}; expected {', '.join(_NAMES)}{named_by}.")
            heads = parts.setdefault(role, {})
            if head in heads or (heads and 0 in (head, *heads)):
                raise DataError(f"{path}: {role} occurs twice.")
            heads[head] = _oriented(role, _floats(role, array, path), in_out)
    arrays = {name: _joined(name, heads) for name, heads in parts.items()}
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise DataError(f"missing {', '.join(missing)}; needed are {', '.join(_NEEDED)}.")
    return {name: arrays[name] for name in _NAMES if name in arrays}


def _role(name: str) -> tuple[str | None, int]:
    """The library's name for an array, and its head, from 1; 0 for all heads."""
    role, _, head = (role_of(name) or "").partition("#")
    return (role if role in _NAMES else None), int(head or 0)


def _oriented(name: str, array: npt.NDArray[Any], in_out: bool) -> npt.NDArray[Any]:
    """A matrix as (out, in), and a bias as a vector."""
    if name.startswith("b"):
        return array.ravel()
    return array.mT if in_out and name.startswith("W") and array.ndim > 1 else array


def _joined(name: str, heads: dict[int, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        return np.concatenate([heads[head] for head in sorted(heads)]) if len(heads) > 1 else next(iter(heads.values()))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in heads.values())
        raise ShapeError(f"{name}: expected matrices of equal width, one for each head; got {shapes}.") from None


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
    check_file(path)
    try:
        with path.open("rb") as file:  # NumPy would leave one that it cannot read open
            if not file.peek(6).startswith(_BEGINNINGS):  # NumPy would take it for pickled objects
                raise DataError(f"{path}: expected an .npz or .npy file; its content is something else.")
            opened = np.load(file, allow_pickle=False)
            if isinstance(opened, np.ndarray):
                return {alone or path.stem: opened}
            arrays = {name: opened[name] for name in opened.files}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy returns the bytes of a file in another format
                    torch = " This is a pickle file of torch." if name.endswith("/data.pkl") else ""
                    raise DataError(f"{path}: its member {name!r} is no array.{torch}")
            return arrays
    except DataError:
        raise
    except Exception as error:  # NumPy raises all kinds of errors for damaged files
        why = (str(error).splitlines() or [type(error).__name__])[0]
        why = "it holds Python objects" if "pickle" in why else why  # NumPy advises to load them
        raise DataError(f"{path}: cannot be read as .npz or .npy ({why}).") from None


def _files(path: Path) -> list[Path]:
    """The file itself, or those of a folder."""
    if not path.is_dir():
        return [path]
    inside = sorted(file for file in path.iterdir() if file.suffix.lower() in (".npz", ".npy", *_TEXT_FILES))
    if not inside:
        raise DataError(f"{path}: no .npz, .npy, .csv, .tsv or .txt file in this folder.")
    return inside


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    if path.suffix.lower() in (".npz", ".npy"):
        return load_npz(path)
    check_file(path)
    if path.suffix.lower() not in _TEXT_FILES:
        raise DataError(f"{path}: expected an .npz, .npy, .csv, .tsv or .txt file.")
    try:
        return {path.stem: _read_csv(path)}
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0].partition('; use')[0]}).") from None


def _read_csv(path: Path) -> npt.NDArray[Any]:
    """Numbers separated by commas, semicolons, tabs or spaces, a row a line; one line of a bias is a vector.

    A first row of names is skipped, and a first column if the row has no name for it. With semicolons or tabs, a comma
    is a decimal point. Numbers may be in quotation marks.
    """
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    text = "\n".join(lines)
    delimiter = next((mark for mark in (";", "\t", ",") if mark in text), None)
    if delimiter != ",":
        lines = [line.replace(",", ".") for line in lines]
    names = [name.strip(" \"'") for name in lines[0].split(delimiter)]
    has_index = len(names) > 1 and not names[0]
    if has_index or not any(map(_NUMBER.fullmatch, names)):
        lines = lines[1:]
    if not lines:
        raise ValueError("it has names and no numbers")
    kind = np.str_ if has_index else np.float64
    cells = np.loadtxt(lines, delimiter=delimiter, ndmin=2, dtype=kind, quotechar='"')
    table = cells[:, 1:].astype(np.float64) if has_index else cells
    return table.ravel() if path.stem.lower().startswith("b") else table


def _floats(name: str, array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Convert integers to floating point, since numbers in a text file may have no decimal point."""
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name}: expected numbers; got {array.dtype}.")
    return array.astype(np.float64) if array.dtype.kind in "iu" else array
