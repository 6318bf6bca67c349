"""Bundled data sets, and file formats: images, series, tables and named arrays."""

from headwise.data.array_files import coursework_arrays, load_npz, read_arrays
from headwise.data.image_files import PreparedDigit, load_digit, read_image
from headwise.data.mnist import Digits, LabelledImages, load_bundled_mnist, load_mnist, read_idx
from headwise.data.series import (
    LabelledSeries,
    SeriesData,
    bundled_series,
    load_series,
    standardize,
    train_validation_split,
)
from headwise.data.split import stratified_holdout
from headwise.data.tabular import TABLES, TableData, load_table
from headwise.data.ts import Parsed, read_ts

__all__ = [
    "TABLES",
    "Digits",
    "LabelledImages",
    "LabelledSeries",
    "Parsed",
    "PreparedDigit",
    "SeriesData",
    "TableData",
    "bundled_series",
    "coursework_arrays",
    "load_bundled_mnist",
    "load_digit",
    "load_mnist",
    "load_npz",
    "load_series",
    "load_table",
    "read_arrays",
    "read_idx",
    "read_image",
    "read_ts",
    "standardize",
    "stratified_holdout",
    "train_validation_split",
]
