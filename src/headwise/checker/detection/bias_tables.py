"""Biases of the logits that are given as a table with an entry for each distance between tokens."""

from __future__ import annotations

import re
from dataclasses import replace

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.presentation import TABLES
from headwise.checker.arguments.signatures import Reading
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import Response, has_shape
from headwise.checker.probes import Probe, first_probe
from headwise.checker.reference.state import grid
from headwise.checker.search.agreement import worst
from headwise.checker.search.mistakes import Explanation, Observation
from headwise.checker.user_code.numpy_guard import np

_INTO_BUCKETS = r"bucket|cli(p|amp)\(|minimum\(|max_?(rel\w*_?)?(dist|pos)"
_LARGEST = 9.0  # a bias that matters more than the tokens


def tables_of_bias(convention: CallingConvention) -> list[CallingConvention]:
    """The convention with its bias as a table, in each form in use."""
    return [replace(convention.with_interface(bias_table=True), bias_table=table) for table in TABLES]


def with_table(convention: CallingConvention, documentation: Documentation) -> CallingConvention:
    """The convention with its bias as a table, if it takes one.

    In the order that is documented, else in the one that comes nearest to the definition.
    """
    if "bias" not in convention.interface.takes:
        return convention
    order = documentation.order_of_distances(str(convention.names.get("bias")))
    tables = [one for one in tables_of_bias(convention) if one.bias_table.endswith(order)]
    case = first_probe(tables[0].interface).case
    _, heads, n, m = grid(case)
    steps = np.linspace(-_LARGEST, _LARGEST, n + m - 1)[np.arange(n)[:, None] - np.arange(m) + m - 1]
    case = case | {"bias": np.tile(steps, (1, heads, 1, 1))}

    def call(one: CallingConvention) -> Response | None:
        response = one.call(case)
        return response if has_shape(response, case) else None

    if not convention.bias_table and call(convention):
        return convention
    differences = {
        table: worst(Explanation(), Observation(Probe("bias", case), response))
        for table, response in enumerate(map(call, tables))
        if response is not None
    }
    return tables[min(differences, key=differences.__getitem__)] if differences else convention


def with_buckets(reading: Reading, code: str) -> Reading | None:
    """The reading in which a bias is a table of buckets of distances, if the code puts distances into buckets."""
    name = reading.names.get("bias")
    if not isinstance(name, str) or not re.search(_INTO_BUCKETS, code):
        return None
    if not re.search(rf"\b{re.escape(name)}\b(\[|,)|\({re.escape(name)}\b", code):
        return None
    names = {"buckets" if role == "bias" else role: argument for role, argument in reading.names.items()}
    return replace(reading, names=names, needs=reading.needs - {"bias"})
