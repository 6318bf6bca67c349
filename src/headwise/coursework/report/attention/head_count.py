"""Why one head and several give different outputs with the same matrices."""

from __future__ import annotations

import numpy as np

from headwise.coursework.results import Coursework, max_relative_difference
from headwise.document import Block, Derivation, Paragraph, Section, Step, Table
from headwise.text import Statement, scientific


def head_count_section(study: Coursework) -> Section:
    """The logits expanded, the identities that tie the heads to the single head, and one pair of tokens in numbers."""
    blocks: list[Block] = [_outcome(study), _expanded(study), _worked(study), _meaning(study)]
    verb = "differ" if _differ(study) else "could differ"
    return Section("difference", f"Why they {verb} though the matrices are the same", tuple(blocks), number="1.5")


def _differ(study: Coursework) -> bool:
    single_head, multi_head = study.runs[0].result, study.runs[-1].result
    return max_relative_difference(single_head.output, multi_head.output) > study.rounding


def _weight_difference(study: Coursework) -> float:
    """The largest difference between two heads' weights, or between a head's and the single head's."""
    single_head, multi_head = study.runs[0].result, study.runs[-1].result
    return float(np.ptp(np.concatenate([single_head.weights, multi_head.weights]), axis=0).max())


def _outcome(study: Coursework) -> Paragraph:
    single_head, multi_head = study.runs[0], study.runs[-1]
    values = {"few": single_head.heads, "many": multi_head.heads}
    if _differ(study):
        difference = float(np.abs(single_head.result.output - multi_head.result.output).max())
        statement = Statement(
            "With the same matrices, the outputs for H = {few} and H = {many} differ by up to {difference:.4g}. The "
            "values are the same numbers, each in the same place; what differs is the weights they are mixed with.",
            {**values, "difference": difference},
        )
    elif _weight_difference(study) > study.rounding:
        statement = Statement(
            "On these arrays the outputs for H = {few} and H = {many} agree, though the weights do not: with these "
            "values both mixtures are the same.",
            values,
        )
    else:
        statement = Statement(
            "On these arrays the outputs for H = {few} and H = {many} agree, since all heads have the same weights. On "
            "others they would not, for the following reason.",
            values,
        )
    return Paragraph(statement)


def _expanded(study: Coursework) -> Derivation:
    decomposition = study.decomposition
    multi_head = study.runs[-1]
    followed = "Wo" in study.arrays or "bo" in study.arrays
    left_out = Step("The steps leave out what follows the heads, which is the same for any number of them.")
    final = "Before the" if "Wo" in study.arrays else "With the identity as"
    return Derivation(
        *([left_out] if followed else []),
        Step(
            "One head sums over all coordinates, divides by √D, and has one softmax: one pattern of weights for "
            "every output coordinate i.",
            r"A_{n,m} = \frac{e^{\ell_{n,m}}}{\sum_{j} e^{\ell_{n,j}}}, \quad \ell_{n,m} = \frac{1}{\sqrt{D}}"
            r" \sum_{i} q_{n,i}\, k_{m,i}, \qquad o_{n,i} = \sum_{m} A_{n,m}\, v_{m,i}",
        ),
        Step(
            "Each of H heads sums over its own D/H coordinates, divides by √(D/H), and has its own softmax: H "
            "patterns, each for its own output coordinates i.",
            r"A^{(h)}_{n,m} = \frac{e^{\ell^{(h)}_{n,m}}}{\sum_{j} e^{\ell^{(h)}_{n,j}}}, \quad \ell^{(h)}_{n,m} ="
            r" \frac{1}{\sqrt{D/H}} \sum_{i \in \mathrm{head}\, h} q_{n,i}\, k_{m,i}, \quad o_{n,i} = \sum_{m}"
            r" A^{(h)}_{n,m}\, v_{m,i}",
        ),
        Step(
            Statement(
                "Before scaling, nothing is lost: the sum over all coordinates is the sum of the heads' sums, here "
                "to within {error}.",
                {"error": scientific(decomposition.error)},
            ),
            r"\sum_{h} Q_h K_h^{\top} = Q K^{\top}, \qquad \ell_{n,m} = \frac{1}{\sqrt{H}} \sum_{h}"
            r" \ell^{(h)}_{n,m}",
            decomposition.error < study.rounding,
        ),
        Step(
            Statement(
                "So the single head's weights are the product of the heads' weights, each to the power of one over "
                "the root of H, with every row divided by its sum; here to within {products}.",
                {"products": scientific(decomposition.products)},
            ),
            r"A_{n,m} = \frac{\prod_{h} \left( A^{(h)}_{n,m} \right)^{1/\sqrt{H}}}{\sum_{j} \prod_{h} \left("
            r" A^{(h)}_{n,j} \right)^{1/\sqrt{H}}}",
            decomposition.products < study.rounding,
        ),
        Step(
            Statement(
                final
                + " final transformation the heads never mix. Other queries and keys for the last head change the "
                "other heads' output coordinates by {leak}: an output coordinate depends on the rows that its own head "
                "owns, and on no others.",
                {"leak": scientific(multi_head.leak)},
            ),
            holds=multi_head.leak < study.rounding,
        ),
    )


def _worked(study: Coursework) -> Table:
    """The pair of tokens for which the heads' weights differ most, from the logits to the weights."""
    single_head, multi_head = study.runs[0], study.runs[-1]
    ranges = np.ptp(multi_head.result.weights, axis=0)
    n, m = (int(i) for i in np.unravel_index(int(ranges.argmax()), ranges.shape))
    wide, narrow = np.sqrt(study.width / single_head.heads), np.sqrt(study.width / multi_head.heads)
    logit = float(study.decomposition.single_head[n, m])
    rows = [
        (f"head {h}", f"{q_k:.4f}", f"{narrow:.4f}", f"{q_k / narrow:.4f}", f"{weight:.4f}")
        for h, (q_k, weight) in enumerate(
            zip(study.decomposition.by_head[:, n, m], multi_head.result.weights[:, n, m], strict=True)
        )
    ]
    rows.append(("their sum", f"{float(study.decomposition.by_head[:, n, m].sum()):.4f}", "", "", ""))
    if single_head.heads == 1:
        weight = float(single_head.result.weights[0, n, m])
        rows.append(("one head", f"{logit:.4f}", f"{wide:.4f}", f"{logit / wide:.4f}", f"{weight:.4f}"))
    which = (
        "the pair for which the weights of the {heads} heads differ most."
        if ranges.max() > study.rounding
        else "one pair of many: the {heads} heads have the same weights."
    )
    return Table(
        Statement("Output {n} and input {m}, " + which, {"n": n, "m": m, "heads": multi_head.heads}),
        ("", "q · k", "divided by", "logit", "weight"),
        tuple(rows),
        "one-pair",
    )


def _meaning(study: Coursework) -> Paragraph:
    heads = study.runs[-1].result.weights
    difference = float(np.ptp(heads, axis=0).max())
    statements = [
        Statement(
            "So the single head uses the sum of the heads' logits. A pair of tokens can have a large sum because all "
            "heads favour it a little, or because one favours it strongly; in both cases it has the same weight for "
            "all output coordinates. With separate heads, each uses only its own term of the sum, so an output can "
            "take some coordinates from one token and the rest from another."
        )
    ]
    if difference > study.rounding:
        statements.append(
            Statement(
                "Here two heads' weights for the same pair of tokens differ by up to {difference:.2g}.",
                {"difference": difference},
            )
        )
    statements.append(
        Statement(
            "The scale matters too: a sum over fewer coordinates varies less, and is divided by the smaller "
            "<root D/H> instead of <root D>."
        )
    )
    return Paragraph(*statements)
