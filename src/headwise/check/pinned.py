"""NumPy as it was when the checker was imported.

A function that is checked runs in this process and may replace ``np.exp`` or ``np.allclose``, by mistake or on
purpose. Everything in this folder takes its NumPy from here, where such a replacement does not reach.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy
import numpy.linalg
import numpy.random

__all__ = ["np"]

if TYPE_CHECKING:
    import numpy as np
else:
    np = SimpleNamespace(**vars(numpy))
