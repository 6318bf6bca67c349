"""Keys and values in pages: blocks of a cache that sequences share, and a table of the blocks of each sequence."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.detection.acceptance import accepted
from headwise.checker.reference.conventions import Requirements


def paged_layouts(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    """The layouts of queries and of pages that a function takes, the first that works."""
    queries = ("BNHd", "BHNd") if "BNHd" in (requirements.axes, *documentation.axes("attention")) else ("BHNd", "BNHd")
    for cache, axes in product(("BNHd", "BHNd"), queries):
        if tier := accepted(replace(start, cache=cache).with_interface(axes=axes), attempts):
            return [tier]
    return []
