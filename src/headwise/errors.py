"""The exceptions of Headwise; each also derives from a built-in exception.

A message names the argument, what was expected, what was received, and the likely cause.
"""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Base class of all errors that Headwise raises."""


class ShapeError(HeadwiseError, ValueError):
    """An array whose shape does not fit the other arguments."""


class MaskError(HeadwiseError, ValueError):
    """A mask, window, length or alignment that does not define which keys a query may attend to."""


class DataError(HeadwiseError, ValueError):
    """An argument, value, type or file that cannot be used: an unknown option, NaN, a missing or malformed file."""


class CheckpointError(HeadwiseError, ValueError):
    """A checkpoint that is corrupt, or belongs to another model."""


class CaptureError(HeadwiseError, ValueError):
    """A model without attention, or whose attention cannot be followed."""


class MissingExtraError(HeadwiseError, ImportError):
    """A feature that needs an optional library, which is not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(f"{what} needs {library}, which is not installed: pip install 'headwise[{extra}]'")


class UserCodeError(Exception):
    """Stands for an exception of a user's code that is no `Exception`, its cause, such as SystemExit."""


def describe_exception(error: BaseException) -> str:
    """The type and the message of an exception that a user's code raised, even if it fails to give a message."""
    if isinstance(error, UserCodeError) and error.__cause__ is not None:
        error = error.__cause__
    try:
        message = str(error)
    except BaseException:
        return f"{type(error).__name__}, which cannot be printed"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextmanager
def require_extra(what: str, library: str | None, extra: str) -> Iterator[None]:
    """Raise MissingExtraError for a library that the block cannot import; None for the name of the missing module."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(what, library or str(error.name), extra) from None
