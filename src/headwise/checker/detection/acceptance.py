"""Whether a way of calling a function works: it returns an array of the shape that attention would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.matrices import WEIGHTS
from headwise.checker.calling.options import WINDOWS
from headwise.checker.calling.responses import has_shape
from headwise.checker.detection.bias_tables import tables_of_bias
from headwise.checker.probes import first_probe, probes
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np

_FRAMEWORKS = ("jax", "jaxlib", "tensorflow", "keras")  # they compute in float32 by default


def accepted(start: CallingConvention, attempts: dict[str, str], biased: bool = False) -> list[CallingConvention]:
    """The convention, with a mask of keys alone or biases as columns if it cannot be called otherwise, or nothing."""
    if "cos" in start.interface.needs:
        return _with_angles(start, attempts)
    if {"Ss", "Sa"} & start.interface.needs:
        return _with_score(start, attempts)
    variants = [start]
    if "window" in start.interface.needs:
        variants = [*list(_numbered_windows(start))[:1], start]
    if "mask" in start.interface.needs:
        of_keys = start.with_interface(key_mask=True)
        variants += [of_keys, replace(start, mask_type="float64"), replace(of_keys, mask_type="float64")]
    if "prefix" in start.interface.needs:
        variants.append(start.with_interface(prefix_each=True))
    if {"positions", "restarts"} & start.names.keys():
        variants.append(start.with_interface(segments_shared=True))
    if "bias" in start.interface.needs:
        variants += tables_of_bias(start)
    if "buckets" in start.names:
        variants = [replace(start, bias_table=table) for table in ("LH", "HL")]
    for variant in variants:
        if not is_plausible(variant, first_probe(variant.interface).case, attempts):
            continue
        if biased and any(name in variant.interface.takes for name in ("bq", "bk", "bv")):
            case = next(p.case for p in probes(variant.interface, 0, np.random.default_rng(0)) if p.name == "biased")
            column = replace(variant, bias_column=True)
            if not is_plausible(variant, case) and is_plausible(column, case):
                return [column]
        return [variant]
    if biased:
        column = replace(start, bias_column=True)
        if {"bq", "bk", "bv"} & start.interface.needs and is_plausible(column, first_probe(column.interface).case):
            return [column]
    return []


def with_optional_angles(convention: CallingConvention) -> list[CallingConvention]:
    """As `_with_angles`, of a function that may be called without them."""
    if "cos" not in convention.interface.takes - convention.interface.needs:
        return [convention]
    needs = convention.interface.needs
    required = convention.with_interface(needs=needs | {"cos", "sin"})
    working = [c.with_interface(needs=needs) for c in _with_angles(required, {})]
    return working or [convention]


def _with_angles(start: CallingConvention, attempts: dict[str, str]) -> list[CallingConvention]:
    """The convention with rotary angles as it takes them, and each way of pairing features that may be meant."""
    if "freqs" in start.names:
        groups: tuple[tuple[str, ...], ...] = (("complex",), ("stacked",), ("turns",))
    else:
        groups = (("half",), ("halves", "neighbours"), ("half of items",), ("halves of items", "neighbours of items"))
    for group in groups:
        plausible = [c for angles in group for c in _in_pairs(replace(start, angles=angles))]
        if plausible := [c for c in plausible if is_plausible(c, first_probe(c.interface).case, attempts)]:
            return plausible
    return []


def _with_score(start: CallingConvention, attempts: dict[str, str]) -> list[CallingConvention]:
    """The convention with the matrices of its score in each order and orientation that it accepts."""
    for vector in ("vector", "column", "row"):
        orders = product((False, True), (False, True) if "Sa" in start.names else (False,))
        plausible = [replace(start, score=(transposed, swapped, vector)) for transposed, swapped in orders]
        if plausible := [c for c in plausible if is_plausible(c, first_probe(c.interface).case, attempts)]:
            return plausible
    return []


def _in_pairs(convention: CallingConvention) -> list[CallingConvention]:
    """The convention with pairs (i, i + d/2), and with pairs (2i, 2i + 1)."""
    angles, interface = convention.angles, convention.interface
    if "interleaved" in interface.takes or angles.startswith("halves"):
        return [convention]
    neighbours = convention.with_interface(implicit={**interface.implicit, "interleaved": True})
    return [neighbours] if angles.startswith(("neighbours", "complex")) else [convention, neighbours]


def is_plausible(convention: CallingConvention, case: Case, attempts: dict[str, str] | None = None) -> bool:
    """Whether the function returns an array of the shape that attention would."""
    attempts = {} if attempts is None else attempts
    response = convention.call(case)
    description = f"{convention.interface.kind} with {in_words(convention)}"
    if response.output is None:
        attempts.setdefault(description, response.error)
        return False
    if not has_shape(response, case):
        attempts.setdefault(description, f"returned shape {response.output.shape}")
        return False
    return True


def in_its_type(convention: CallingConvention) -> CallingConvention:
    """In float32 where the framework computes in that."""
    response = convention.call(first_probe(convention.interface).case)
    if response.framework in _FRAMEWORKS and response.dtype == "float32":
        return convention.with_interface(dtype="float32", compiled=True)
    return convention


def with_windows(convention: CallingConvention, documentation: Documentation) -> Iterator[CallingConvention]:
    """With its window as it takes it: a pair of numbers, or one number in each meaning in use."""
    if "window" not in convention.interface.takes:
        yield convention
        return
    case = first_probe(convention.interface).case
    if convention.window == "pair" and is_plausible(convention, case | {"window": convention.interface.window}):
        yield convention
        return
    yield from _numbered_windows(convention, documentation.window(str(convention.names.get("window", "window"))))


def _numbered_windows(convention: CallingConvention, stated: str = "") -> Iterator[CallingConvention]:
    """With a window that is one number, in each meaning in use or in the one that is documented."""
    for meaning, (window, *_) in WINDOWS.items():
        if not stated or meaning.startswith(stated):
            yield replace(convention.with_interface(window=window), window=meaning)


def in_words(convention: CallingConvention) -> str:
    """How a function is called, for people."""
    interface = convention.interface
    axes = ", ".join(interface.axes)
    if interface.one_query:
        text = f"q of shape ({axes.replace('N, ', '')}) and k of shape ({axes.replace('N', 'M')})"
    elif not interface.of_tokens:
        text = f"q of shape ({axes})"
    elif interface.batched:
        text = f"X of shape ({axes}) and (B, {axes})"
    else:
        text = f"X of shape ({axes})"
    text = text.replace("X", "q", 1) if convention.projects else text
    text += " and matrices (in, out)" * (convention.matrices == "in-out")
    weights = WEIGHTS[convention.weights][0]
    text += {"stack": ", stacked by head", "list": ", a list with one for each head"}.get(weights, "")
    text += ", in float32" * (interface.dtype == "float32")
    return text
