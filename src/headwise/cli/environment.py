"""Environment variables that libraries read when they are imported, and on which they fail without naming them."""

from __future__ import annotations

import os

from headwise.errors import DataError

_RANGES = {
    "NUMBA_NUM_THREADS": (1, 2**31 - 1),
    "SOURCE_DATE_EPOCH": (0, 253_402_300_799),  # to the last second of the year 9999
}


def check_environment() -> None:
    """Raise DataError if a library could not use one of these variables."""
    for name, (low, high) in _RANGES.items():
        value = os.environ.get(name, str(low))
        try:
            valid = low <= int(value) <= high
        except ValueError:
            valid = False
        if not valid:
            raise DataError(
                f"the environment variable {name}: expected a whole number from {low} to {high}; "
                f"got {value[:80]!r}. Correct it, or unset it."
            )
