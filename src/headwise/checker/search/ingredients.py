"""Parts of attention that a function says that it has, of which no call shows anything, and slopes that are others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.signatures import signature_of
from headwise.checker.arguments.windows import BESIDES_WINDOW
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.influence import attended_keys
from headwise.checker.measurement.recovery import fitted_scores, recovered_runs
from headwise.checker.measurement.rotation import order_of_grid
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.stages import SLOPES, slopes
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_POSITIONS = frozenset(code for code, convention in CONVENTIONS.items() if convention.of_positions)
_BY_ROWS = (
    r"row[- ]major|row[- ]by[- ]row|raster|rows?[- ]first|C[- ]order|height *[*x×] *width|\bh *[*x×] *w\b|\(h w\)"
)
_OF_BLOCKS = (
    r"(within|inside|in|of) (its|their|the same|the query's|each) (own )?(block|chunk|segment)|"
    r"same (block|chunk|segment)|block[- ]?(diagonal|local)"
)
_OF_STEPS = r"multiples? of|% *`*(stride|dilation|step|d|s|r)`* *(==|=|is) *0"
_OF_NEIGHBOURS = r"natten\b|neighbou?rhood[ _]attention"
_AND_OTHERS = (
    r"global|neighbou?r|previous|next|preceding|adjacent|overlap|random|sink|window|also|look|halo|last|first token|cls"
)
_NEGATED = r"\b(no|not|without|optional\w*|un(capped|normali[sz]ed))\b"
_LEARNED_SLOPES = r"slopes?\w*\s*[:=].*(Parameter|param\(|add_weight|Variable)"
_OTHER_BIAS = r"relative|table|bucket"
_CLOSE = 1e-3  # between slopes, as a share of the larger


@dataclass(frozen=True, slots=True)
class _Ingredient:
    """How a part is stated, made and shown."""

    name: str  # in words
    stated: str  # how the name of a function or the first line of its docstring states it
    made: str  # the operations without which its code has none
    conventions: frozenset[str]  # those in which it shows
    arguments: frozenset[str]  # of the reference: if one is passed, its mistakes are found anyway
    unset: str  # names of arguments that may switch it on, and that were never passed
    mistake: str = ""  # what it is called if nothing of it shows; `unknown` if empty


_INGREDIENTS = (
    _Ingredient(
        "rotary positions",
        r"rotary|\brope\b|_rope\b|\brope_",
        r"\bcos\(|polar\(",
        _POSITIONS,
        frozenset({"cos", "kpast"}),
        r"use|rope|rotary|pos",
        "rope-axis",
    ),
    _Ingredient(
        "a bias of positions",
        r"alibi|relative[ _](position|bias)|linear bias|distance[ _]bias",
        r"arange|indices\(|range\(|table|slope",
        _POSITIONS,
        frozenset({"slopes", "bias", "kpast"}),
        r"use|alibi|pos|bias",
    ),
    _Ingredient(
        "a window",
        r"sliding[ _]window|local[ _]attention|windowed|banded",
        r"arange|tri[lu]?\(|indices\(|band|range\(",
        _POSITIONS | {"window-built-in"},
        frozenset({"window", "mask", "kpast"}),
        r"use|window|local|block",
    ),
    _Ingredient(
        "a softcap",
        r"soft-?[ _]?cap(p|\b|_)|capped|tanh[ -]clip",
        r"tanh\(",
        frozenset({"softcap-built-in"}),
        frozenset({"softcap"}),
        r"use|cap|clip",
    ),
    _Ingredient(
        "a norm of queries and keys",
        r"\bqk[ _-]?norm|query[ -]key[ -]norm|normali[sz]\w+ (the )?(queries|q and k|q, k)|"
        r"(queries and keys|q and k) \w+ (\w+ )?normali[sz]ed|cosine[ _]attention",
        r"norm|sqrt|mean\(|\*\*",
        frozenset({"qk-norm", "qk-norm-of-all-heads"}),
        frozenset(),
        r"use|norm|gain|gamma",
    ),
)


def with_missing_ingredients(findings: Findings, documentation: Documentation) -> Findings:
    """With what is wrong if a function says that it has a part, and nothing shows of it."""
    if not findings.is_right:
        return findings
    convention = findings.convention
    if convention.interface.grid and "rope" in findings.conventions and order_of_grid(convention) == "columns":
        if re.search(_BY_ROWS, documentation.text, re.IGNORECASE):
            return findings.with_problem(
                "It says that tokens come row by row, and rotates them as if they came column by column."
            )
        findings = findings.with_observed("grid-by-columns")
    if "buckets" in convention.names and not _falls_with_distance(convention):
        return findings.with_problem(
            "The bias that it takes from its table does not depend on the distance of query and key alone."
        )
    if {"pattern-built-in", "window-built-in"} & {*findings.conventions} and not _keeps_pattern(
        findings, documentation
    ):
        return findings.with_problem(
            "The keys that a query sees are not those of the pattern that it says that it has."
        )
    for part in _stated(documentation):
        shown = part.conventions & {*findings.conventions}
        passed = part.arguments & convention.interface.takes
        if shown or passed or any(re.search(part.unset, name) for name in convention.unused):
            continue
        if part.mistake:
            return findings.with_observed(part.mistake)
        return findings.with_problem(f"It says that it has {part.name}, and its outputs show nothing of it.")
    return findings


def _falls_with_distance(convention: CallingConvention) -> bool:
    """Whether the bias of the logits is the same for pairs of tokens at the same distance, as far as it can be told."""
    runs = recovered_runs(convention, first_probe(convention.interface).case)
    scores = fitted_scores(convention, runs) if runs else None
    if scores is None or not scores.biased:
        return False
    steps = np.diff(scores.bias, axis=-1)
    return bool(np.abs(steps[:, 1:, 1:] - steps[:, :-1, :-1]).max() <= 4 * scores.close)


def _keeps_pattern(findings: Findings, documentation: Documentation) -> bool:
    """Whether queries see the keys of their own block, those at multiples of a step, or the same number of keys each.

    The last is neighbourhood attention (Hassani et al., 2023). Each counts only if the function says it.
    """
    attended = attended_keys(findings.convention)
    if attended is None:
        return True
    if re.search(_OF_NEIGHBOURS, documentation.name + documentation.text, re.IGNORECASE):
        return len({*attended.sum(axis=1)}) == 1
    if "window-built-in" in findings.conventions:
        return True
    windows = (p.name for p in signature_of(findings.convention.function) or () if role_of(p.name) == "window")
    if any(map(documentation.window, windows)) and not re.search(BESIDES_WINDOW, documentation.text, re.IGNORECASE):
        return False
    count = len(attended)
    rows, columns = np.arange(count)[:, None], np.arange(count)
    causal = not np.triu(attended, 1).any()
    patterns = [
        [rows // size == columns // size for size in range(1, count + 1)],
        [(rows - columns) % step == 0 for step in range(1, count + 1)],
    ]
    stated = [re.search(words, documentation.text, re.IGNORECASE) for words in (_OF_BLOCKS, _OF_STEPS)]
    if not any(stated) or re.search(_AND_OTHERS, documentation.text, re.IGNORECASE):
        return True
    likely = [p for one, found in zip(patterns, stated, strict=True) if found for p in one]
    return any(np.array_equal(attended, np.tril(p) if causal else p) for p in likely)


def _stated(documentation: Documentation) -> Iterator[_Ingredient]:
    """The parts that the name or the first line of the docstring states and that the code makes."""
    first = f"{documentation.name}\n{documentation.docstring.strip().partition(chr(10))[0]}"
    if re.search(_NEGATED, first, re.IGNORECASE):
        return
    code = documentation.code_with_helpers
    for part in _INGREDIENTS:
        if re.search(part.stated, first, re.IGNORECASE) and re.search(part.made, code):
            yield part


def with_wrong_slopes(findings: Findings, documentation: Documentation) -> Findings:
    """With what is wrong if ALiBi is stated, and the bias does not fall by its slopes."""
    text = "\n".join((documentation.name, documentation.text, documentation.code))
    stated = re.search("alibi", text, re.IGNORECASE) and not re.search(f"{_LEARNED_SLOPES}|{_OTHER_BIAS}", text)
    if "position-bias" not in findings.conventions or findings.explanation is None or not stated:
        return findings
    convention = findings.convention
    runs = recovered_runs(convention, first_probe(convention.interface).case)
    scores = fitted_scores(convention, runs)
    if scores is None:
        return findings
    steps = np.diff(scores.bias, axis=-1)
    falls = steps[:, np.tril(np.ones(steps.shape[1:], bool), -1)]  # towards each query, the same for all keys before it
    own, heads = np.asarray(falls.mean(axis=-1)), len(falls)
    if np.ptp(falls, axis=-1).max() <= 4 * scores.close and any(_equal(own, other) for other in _in_use(heads)):
        return findings
    if heads > 1 and any(np.allclose(own, other[0], rtol=_CLOSE) for other in _in_use(heads)):
        return findings.with_observed("bias-not-broadcast")
    shown = [", ".join(f"{slope:.4g}" for slope in some) for some in (slopes(heads).ravel(), own)]
    return findings.with_problem(
        f"It says that it has ALiBi, with slopes of {shown[0]} for its {heads} heads; those of its bias are {shown[1]}."
    )


def _equal(own: Array, other: Array) -> bool:
    """Whether slopes are the same, of whichever heads."""
    return bool(np.allclose(np.sort(own), np.sort(other), rtol=_CLOSE))


def _in_use(heads: int) -> list[Array]:
    """The slopes of the paper; those of its code and of MPT; and the first of those of eight heads."""
    power = 1 << (heads - 1).bit_length()
    mpt = np.concatenate([slopes(power)[1::2], slopes(power)[::2]])
    return [own.ravel()[:heads] for own in (*(of(heads) for of in SLOPES), mpt, slopes(max(8, heads)))]
