"""The errors Headwise raises: one family, each also the built-in error it is a kind of.

A message names the argument, what was expected, what came, and the likely cause, so that it can be read on its own.
"""

__all__ = [
    "CaptureError",
    "CheckpointError",
    "DataError",
    "HeadwiseError",
    "MaskError",
    "MissingExtraError",
    "ShapeError",
]


class HeadwiseError(Exception):
    """Anything that Headwise refuses to do, and why."""


class ShapeError(HeadwiseError, ValueError):
    """An array's shape does not fit the others it is used with."""


class MaskError(HeadwiseError, ValueError):
    """A mask, window, length or alignment that does not say which keys a query may attend to."""


class DataError(HeadwiseError, ValueError):
    """A value, type or file that cannot be used: integers for floats, NaN, a missing or malformed file."""


class CheckpointError(HeadwiseError, ValueError):
    """A file of weights that is corrupt, or belongs to another model."""


class CaptureError(HeadwiseError, ValueError):
    """A model without attention, or whose attention cannot be followed."""


class MissingExtraError(HeadwiseError, ImportError):
    """A feature whose optional library is not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(f"{what} needs {library}, which is not installed: pip install 'headwise[{extra}]'")
