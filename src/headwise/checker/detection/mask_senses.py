"""What True means in the masks of a function, and whether a mask is of keys alone: as documented, else measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.roles import role_of
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.options import is_function
from headwise.checker.calling.responses import Response, has_shape
from headwise.checker.measurement.influence import options_without_effect
from headwise.checker.modules.torch_modules import without_dropout
from headwise.checker.probes import first_probe, probes
from headwise.checker.reference.conventions import Requirements
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.user_code.numpy_guard import np

_SAME = 1e-6
_KEYS = 24  # how many of them are changed one by one
OF_LOGITS = frozenset({"mask", "padding", "bias"})  # options that are arrays for the logits


def with_senses(
    convention: CallingConvention, documentation: Documentation, requirements: Requirements
) -> CallingConvention:
    """With what True means in each of its masks, and whether its mask is of keys alone."""
    for name in ("mask", "padding"):
        if name not in convention.interface.takes or is_function(convention.names.get(name)):
            continue
        name_in_call = convention.names.get(name)
        spelled = name_in_call if isinstance(name_in_call, str) else name
        if name == "mask":
            forms = [*_forms(convention, documentation.mask_axes(spelled), padding=role_of(spelled) == "padding")]
            working = (form for sense in ("attends", "adds") for form in forms if _takes_a_mask(form, sense))
            convention = next(working, convention)
        stated = documentation.mask(spelled)
        if stated == "adds" and _converts_to_numbers(documentation.code, spelled):
            stated = ""
        if name == "mask" and convention.interface.graph:
            stated = stated or "attends"
        if name == "mask" and re.search(rf"\b{spelled}\.(ndim|dim\(\)) *== *3\b", documentation.code):
            convention = _with_mask_of_items(convention, documentation)
        with without_dropout():  # which says nothing about a mask
            sense = getattr(requirements, name) or stated or _measured_sense(convention, name, documentation)
        convention = _with_sense(convention, name, sense)
    return convention


def _with_sense(convention: CallingConvention, name: str, sense: str) -> CallingConvention:
    return replace(convention, senses={**convention.senses, name: sense})


def _forms(convention: CallingConvention, axes: str, padding: bool) -> Iterator[CallingConvention]:
    """The forms of its mask: with the axes that are documented, of pairs, of keys alone, and as numbers."""
    if axes:
        yield convention.with_interface(key_mask=axes in ("BM", "M", "B11M"), mask_axes=axes)
    of_keys = convention.with_interface(key_mask=True)
    yield from (of_keys, convention) if padding else (convention, of_keys)
    yield replace(convention, mask_type="float64")


def _with_mask_of_items(convention: CallingConvention, documentation: Documentation) -> CallingConvention:
    """With a mask (B, N, M) if only such a mask hides anything, for code that treats it apart."""
    of_items = convention.with_interface(mask_axes="BNM")
    hides = [bool(_hiding_sense(one, "mask", documentation)) for one in (convention, of_items)]
    return of_items if hides == [False, True] else convention


def takes_a_mask(convention: CallingConvention) -> bool:
    """Whether it can be called with its mask."""
    return any(_takes_a_mask(convention, sense) for sense in ("attends", "adds"))


def _takes_a_mask(convention: CallingConvention, sense: str) -> bool:
    return bool(_answers(_with_sense(convention, "mask", sense), "mask", ("mask",)))


def takes_option(convention: CallingConvention, name: str) -> bool:
    """Whether it can be called with its mask, padding mask or bias, in some form and on some input."""
    names = ("mask", "mask-each", "mask-keys", "bias", "together")
    of_keys = convention.with_interface(key_mask=True)
    forms = (convention, of_keys) if name == "mask" else (convention,)
    senses = ("attends",) if name == "bias" else ("attends", "adds")
    return any(_answers(_with_sense(form, name, sense), name, names) for form in forms for sense in senses)


def _answers(convention: CallingConvention, name: str, probes_of: tuple[str, ...]) -> bool:
    """Whether it answers one of the probes of these names that have an argument."""
    cases = (p.case for p in probes(convention.interface, 0, np.random.default_rng(0)) if p.name in probes_of)
    return any(has_shape(convention.call(case), case) for case in cases if name in case)


def _measured_sense(convention: CallingConvention, name: str, documentation: Documentation) -> str:
    """What hides a key; where nothing does, as next to a mistake, what changes nothing in a mask that hides nothing."""
    word = re.escape(str(convention.names[name]))
    added = bool(re.search(rf"\+=?\s*{word}\b", documentation.code))
    return _hiding_sense(convention, name, documentation) or _neutral_sense(convention, name, documentation, added)


def _candidates(convention: CallingConvention, name: str, documentation: Documentation) -> dict[str, CallingConvention]:
    """The function with each sense that a mask may have."""
    argument = convention.names[name]
    is_boolean = _converts_to_numbers(documentation.code, argument) or documentation.says_true(str(argument))
    is_boolean = is_boolean or convention.interface.graph
    senses = ["attends", "hides"] + ["adds"] * (not is_boolean)
    return {sense: _with_sense(convention, name, sense) for sense in senses}


def _visible(convention: CallingConvention, name: str, case: Case) -> Any:
    """A mask that hides nothing."""
    batch, _, n, m = grid(case)
    return options_without_effect(convention.interface, batch, n, m)[name]


def _hiding_sense(convention: CallingConvention, name: str, documentation: Documentation) -> str:
    """The sense of the mask under which a hidden key, and no other, has no influence; empty if there is none."""
    case = first_probe(convention.interface).case
    hidden = _visible(convention, name, case)
    hidden[..., 1] = False
    for source in ("v", "k") if "v" in case else ("context",) if "context" in case else ("X",):
        for sense, candidate in _candidates(convention, name, documentation).items():
            if _hides_alone(candidate, case | {name: hidden}, source, hidden=1):
                return sense
    return ""


def _hides_alone(convention: CallingConvention, case: Case, source: str, hidden: int) -> bool:
    """Whether no output depends on the hidden key, but for that of its own query, and some does on each other key."""
    before = convention.call(case).output
    if before is None or not has_shape(Response(before), case) or not np.isfinite(before).all():
        return False
    count = case[source].shape[-2]
    others = dict.fromkeys(np.linspace(0, count - 1, min(count, _KEYS)).round().astype(int))
    for key in [hidden, *(other for other in others if other != hidden)]:
        other = case | {source: case[source].copy()}
        other[source][..., key, :] += np.cos(np.arange(case[source].shape[-1]))  # which no norm takes away
        after = convention.call(other).output
        if after is None or after.shape != before.shape:
            return False
        rows = [row for row in range(before.shape[-2]) if row != hidden or key != hidden or source != "X"]
        same = np.abs(after - before)[..., rows, :].max() <= _SAME * np.abs(before).max()
        if same != (key == hidden):
            return False
    return True


def _neutral_sense(convention: CallingConvention, name: str, documentation: Documentation, added: bool) -> str:
    """The sense in which a mask that hides nothing changes nothing; `added` if the code adds the mask to something."""
    candidates, case = _candidates(convention, name, documentation), first_probe(convention.interface).case
    visible = _visible(convention, name, case)
    usual = next(iter(candidates.values()))
    bare = {key: value for key, value in case.items() if key != name}
    plain = usual.call(bare).output
    if plain is None and isinstance(argument := usual.names[name], str):  # it has to be passed, if only as None
        plain = replace(usual, fixed={**usual.fixed, argument: None}).call(bare).output
    if plain is None:
        senses = ("adds",) if added and "adds" in candidates else ("attends", "hides")
        shown = [sense for sense in senses if _queries_count(candidates[sense], case | {name: visible})]
        return next(iter(shown or senses))

    def unchanged(sense: str) -> bool:
        output = candidates[sense].call(case | {name: visible}).output
        return output is not None and output.shape == plain.shape and difference(output, plain) <= _SAME

    if "adds" in candidates and unchanged("adds"):
        column = np.where(np.arange(visible.shape[-1]) == 1, -0.5, 0.0) * visible
        half, full = (candidates["adds"].call(case | {name: times * column}).output for times in (1, 2))
        continuous = half is not None and full is not None and difference(half, full) > _SAME
        if continuous or added:
            return "adds"
    return "hides" if unchanged("hides") and not unchanged("attends") else "attends"


def _queries_count(convention: CallingConvention, case: Case) -> bool:
    """Whether queries have an influence, which they have not where everything is hidden."""
    queries = "q" if "q" in case else "Wq" if "Wq" in case else "X"
    output, other = (convention.call(case | {queries: by * case[queries]}).output for by in (1, 2))
    if output is None or other is None or output.shape != other.shape:
        return False
    return bool(np.isfinite(output).all() and difference(other, output) > _SAME)


def _converts_to_numbers(code: str, name: object) -> bool:
    """Whether a function turns its boolean mask into numbers: a sign that the mask is not meant to be added."""
    pattern = rf"\w*mask\w*|{re.escape(name)}" if isinstance(name, str) else r"\w*mask\w*"
    return bool(re.search(rf"\b({pattern})\)?\.(float|int|long|double|astype|type_as)\b", code))
