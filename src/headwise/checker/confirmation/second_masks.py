"""Optional masks next to the one that is passed: alone they have to hide, and together both of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from headwise.checker.arguments.roles import role_of
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import Response
from headwise.checker.probes import first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import BoolArray

_CLOSE = 1e-4  # a module may compute in float32
_SENSES = ("attends", "hides", "adds")


def with_second_masks(findings: Findings) -> Findings:
    """The findings, and whether each such mask hides what it should next to the first one."""
    convention = findings.convention
    first = convention.names.get("mask")
    if not isinstance(first, str) or not findings.is_right or convention.interface.masks_apart:
        return findings
    for name in [name for name in convention.unused if name.isidentifier() and role_of(name) in ("mask", "padding")]:
        right = _hides_with_first(findings, name)
        if right is None:
            continue
        findings = findings.with_tested(name)
        if not right:
            findings = findings.with_problem(f"With {first} and {name}, it does not hide what either of them hides.")
    return findings


def _hides_with_first(findings: Findings, name: str) -> bool | None:
    """Whether two masks hide what either of them hides; None if nothing is known of the second by itself."""
    convention = findings.convention
    case = first_probe(convention.interface).case
    rng = np.random.default_rng(41)
    one = {"mask": _mask(rng, case, convention.interface.key_mask)}
    for sense, of_keys in product(_SENSES, (True, False)):
        other = {"mask": _mask(rng, case, of_keys)}
        second = replace(
            convention.with_interface(key_mask=of_keys, mask_axes=""),
            names={**convention.names, "mask": name},
            senses={**convention.senses, "mask": sense},
        )
        if not _agrees(findings, case | other, second.call(case | other)):
            continue
        both = case | {"mask": one["mask"] & other["mask"]}
        return any(_agrees(findings, both, response) for response in _with_both(convention, second, case, one, other))
    return None


def _with_both(
    convention: CallingConvention, second: CallingConvention, case: Case, one: Case, other: Case
) -> Iterator[Response]:
    """What the function returns with both, the first in each shape in use."""
    for arguments in convention.presentations(case | one):
        fixed = {**second.fixed, str(convention.names["mask"]): convention.convert(arguments["mask"])}
        yield replace(second, fixed=fixed).call(case | other)


def _agrees(findings: Findings, case: Case, response: Response) -> bool:
    expected = findings.explanation.answer(case) if findings.explanation is not None else None
    if expected is None or response.output is None:
        return False
    return difference(response.output, expected.output) < _CLOSE


def _mask(rng: np.random.Generator, case: Case, of_keys: bool) -> BoolArray:
    """A mask of keys (B, 1, 1, M), or of pairs (1, 1, N, M), with the first key visible."""
    batch, _, n, m = grid(case)
    visible = rng.random((batch, 1, 1, m) if of_keys else (1, 1, n, m)) < 0.5
    visible[..., 1] = False
    visible[..., 0] = True
    return visible
