"""The layouts in which a function of queries, keys and values takes them, and returns its output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.packed import LAYOUTS, MERGED, axes_of, by_dimensions
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.detection.acceptance import accepted
from headwise.checker.detection.mask_senses import OF_LOGITS, takes_option
from headwise.checker.probes import probes
from headwise.checker.reference.conventions import Requirements
from headwise.checker.user_code.numpy_guard import np

_MATRICES = frozenset({"Wq", "Wk", "Wv"})
_QKV_AXES = (("BHNd", "BNHd"), ("HNd", "BNd", "BdN", "NHd"), ("Nd", "dN"))
_WITH_HEADS = ("BHNd", "BNHd", "HNd", "NHd")
_ONE_QUERY_AXES = (("BNd", "BdN"), ("Nd", "dN"), ("BHNd", "BNHd"), ("HNd",))
_PACKED_AXES = (("NHd", "HNd"), ("Nd", "dN"))  # of sequences one after the other


def qkv_layouts(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    """The layouts of queries, keys and values that a function takes: alternatives with as many axes."""
    stated = tuple(requirements.axes and [requirements.axes]) or documentation.axes("attention")
    usual: Iterable[Iterable[str]] = _ONE_QUERY_AXES if start.interface.one_query else _QKV_AXES
    usual = _PACKED_AXES if "starts" in start.names else usual
    groups: Iterable[Iterable[str]] = [(axes,) for axes in stated] or usual
    if not (stated or start.output or start.weights_only or start.interface.one_query):
        tokens_first = replace(start, output="tokens-first").with_interface(axes="BHNd")
        if not accepted(start.with_interface(axes="BHNd"), attempts) and (tier := accepted(tokens_first, {})):
            return [tier]  # of fewer axes, its last two could be taken for exchanged ones
    tiers = []
    for attempt in (groups, usual):
        for group in attempt:
            tier = [c for axes in group for c in accepted(start.with_interface(axes=axes), attempts)]
            if _per_item(start):
                tier.sort(key=lambda c: c.interface.axes == "HNd")
            if tier:
                tiers.append(tier)
        if tiers or attempt is usual:
            break
    if usual is _QKV_AXES and (heads_first := _with_fewer_key_heads(tiers)):
        return [heads_first]
    if tiers or start.output or start.weights_only:
        return sorted(tiers, key=_refused_options)  # where an option is only taken with fewer axes
    layouts = [axes for axes in stated or _WITH_HEADS if "H" in axes and not start.interface.cached]
    shared = start.with_interface(key_heads=1)
    if of_one_head := [c for axes in layouts for c in accepted(shared.with_interface(axes=axes), attempts)]:
        return [of_one_head[:1]]
    forms = (("tokens-first", False), ("merged", False), ("", True), ("merged", True))
    others = (replace(start, output=output, grouped=grouped) for output, grouped in forms)
    return next((accepted_layouts for other in others if (accepted_layouts := _with_output(other, attempts))), [])


def _with_output(start: CallingConvention, attempts: dict[str, str]) -> list[list[CallingConvention]]:
    """The layouts with an axis of heads that it takes, if its output has another."""
    layouts = ("BHNd", "HNd") if start.output == "tokens-first" else _WITH_HEADS
    accepted_conventions = [c for axes in layouts for c in accepted(start.with_interface(axes=axes), attempts)]
    return [accepted_conventions[:1]] if accepted_conventions else []


def packed_layouts(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    """The layouts of one array of queries, keys and values, or of keys and values: alternatives with as many axes."""
    takes = start.interface.takes - {"q", "k", "v"} | {"X", "heads", *_MATRICES}
    # it merges the heads, of which it is not given the number
    merging = replace(start.with_interface(kind="multi_head", takes=takes), projects=True)
    merges = not start.projects and start.interface.packed == "qkv"
    for candidate, layouts in ((start, LAYOUTS[start.projects]), *([(merging, MERGED)] if merges else [])):
        for group in by_dimensions(documentation.packed or layouts):
            packed = [replace(candidate, packed=x).with_interface(axes=axes_of(x, candidate.projects)) for x in group]
            if tier := [c for one in packed for c in accepted(one, attempts)]:
                return [tier]
    return []


def _refused_options(tier: list[CallingConvention]) -> int:
    """How many options that change the logits no convention of a tier takes in any form."""
    options = OF_LOGITS & (tier[0].interface.takes - tier[0].interface.needs)
    return sum(not any(takes_option(convention, name) for convention in tier) for name in options)


def _with_fewer_key_heads(tiers: list[list[CallingConvention]]) -> list[CallingConvention]:
    """The layout without a batch, if in it alone a function takes fewer heads of keys: its first axis is no batch."""
    by_axes = {convention.interface.axes: convention for tier in tiers for convention in tier}
    if len(by_axes) < 2 or "HNd" not in by_axes or not _takes_fewer_key_heads(by_axes["HNd"]):
        return []
    return [] if "BHNd" in by_axes and _takes_fewer_key_heads(by_axes["BHNd"]) else [by_axes["HNd"]]


def _takes_fewer_key_heads(convention: CallingConvention) -> bool:
    """Whether a function takes fewer heads of keys than of queries, each of which reads one of them."""
    for case in [p.case for p in probes(convention.interface, 0, np.random.default_rng(0)) if p.name == "groups"]:
        output, each = convention.call(case).output, np.eye(case["v"].shape[1])[:, None, :, None, None]
        outputs = [convention.call(case | {"v": case["v"] + of_one}).output for of_one in each]
        if output is not None and output.ndim == 4 and all(o is not None and o.shape == output.shape for o in outputs):
            reads = [np.any(changed != output, axis=(0, 2, 3)) for changed in outputs]
            return output.shape[1] == case["q"].shape[1] and bool((np.sum(reads, axis=0) == 1).all())
    return False


def _per_item(convention: CallingConvention) -> bool:
    """Whether it takes something that is different for each item of a batch."""
    return bool({"lengths", "padding"} & convention.interface.takes) or convention.interface.key_mask


def paged_layouts(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    """The layouts of queries and of pages that a function takes, the first that works."""
    queries = ("BNHd", "BHNd") if "BNHd" in (requirements.axes, *documentation.axes("attention")) else ("BHNd", "BNHd")
    for cache, axes in product(("BNHd", "BHNd"), queries):
        if tier := accepted(replace(start, cache=cache).with_interface(axes=axes), attempts):
            return [tier]
    return []
