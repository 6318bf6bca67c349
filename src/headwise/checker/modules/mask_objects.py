"""Masks that a layer takes as objects with an attribute `mask`, such as the TriangularCausalMask of Informer."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from headwise.checker.modules.layer import Layer


def with_mask_arrays(layer: Layer) -> Layer:
    """The layer with arrays in place of these objects."""
    signature = inspect.signature(layer.forward)
    names = [name for name in signature.parameters if re.search(rf"\b{name}\.mask\b", layer.documentation)]
    if not names:
        return layer

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        passed = signature.bind(*args, **kwargs).arguments
        objects = {name: SimpleNamespace(mask=passed[name]) for name in names if passed.get(name) is not None}
        return layer.forward(**{**passed, **objects})

    return replace(layer, forward=forward)
