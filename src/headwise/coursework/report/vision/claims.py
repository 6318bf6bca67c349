"""What a cut into rows loses and what it keeps: each claim beside the experiment that tests it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from headwise.data.mnist import Digits
from headwise.document import Table
from headwise.experiments.statistics import ALPHA, sign_flip_test
from headwise.experiments.tokenizers.findings import SAME
from headwise.experiments.tokenizers.locality import Locality, ink_lost, locality
from headwise.experiments.tokenizers.result import Comparison, PairedComparison
from headwise.experiments.tokenizers.store import SHIFTS
from headwise.text import Statement, scientific
from headwise.tokenizers import get_tokenizer

__all__ = ["claims_table"]

_NEARLY_ALL, _HARDLY_ANY = 0.99, 0.1

Row = tuple[str, str, str, str]


def claims_table(comparison: Comparison, digits: Digits) -> Table:
    """Of the first two cuts, and of the same two with their pixels or tokens out of order where they were trained."""
    names = comparison.names[:2]
    cuts = [get_tokenizer(name, comparison.model.image_size) for name in names]
    moves = [(1, 0), (0, 1), (cuts[0].patch_size[0], 0), (0, cuts[0].patch_size[1])]
    found = [locality(cut, digits.test.images, moves) for cut in cuts]
    lost = {move: ink_lost(digits.test.images, move) for move in moves}
    rows = [*_counted(names, found, moves, lost), *_trained(comparison)]
    return Table(
        Statement(
            "Claims, experiments, and whether they bear the claim out; shares are counted on the {n:,} test digits.",
            {"n": len(digits.test.labels)},
        ),
        ("claim", "experiment", "outcome", "borne out"),
        tuple(rows),
        "claims",
        words=True,
    )


def _counted(
    names: Sequence[str],
    found: Sequence[Locality],
    moves: list[tuple[int, int]],
    lost: Mapping[tuple[int, int], float],
) -> Iterator[Row]:
    """What needs no training."""
    first, second = found
    yield (
        "No pixel is lost.",
        "Pixels that are in exactly one token",
        _each(names, [(cut.kept,) for cut in found]),
        _shown(all(cut.kept == 1 for cut in found)),
    )
    yield (
        f"In {names[1]}, what lies one above the other no longer meets inside a token, and what lies side by side "
        "always does.",
        "Pairs of neighbouring pixels in one token, vertical and horizontal",
        _each(names, [(cut.above, cut.beside) for cut in found]),
        _shown(second.above < first.above and second.beside == 1),
    )
    down, right, far_down, far_right = moves
    yield _moved(
        f"Moving a digit down by a pixel only changes which of the {names[1]} holds what.",
        f"Digits moved down by {down[0]}",
        lost[down],
        names,
        [cut.found_again[down] for cut in found],
        second.found_again[down] > _NEARLY_ALL,
    )
    yield _moved(
        "Moving it to the right by a pixel changes what nearly every token holds, however the image is cut.",
        f"Digits moved to the right by {right[1]}",
        lost[right],
        names,
        [cut.found_again[right] for cut in found],
        all(cut.found_again[right] < _HARDLY_ANY for cut in found),
    )
    yield _moved(
        f"Moving it down by a whole token of {names[0]} only changes which token holds what of it stays, either way.",
        f"Digits moved down by {far_down[0]}",
        lost[far_down],
        names,
        [cut.found_again[far_down] for cut in found],
        all(cut.found_again[far_down] > _NEARLY_ALL for cut in found),
    )
    yield _moved(
        f"Moving it as far to the right does so for {names[0]}, but changes nearly all of the {names[1]}.",
        f"Digits moved to the right by {far_right[1]}",
        lost[far_right],
        names,
        [cut.found_again[far_right] for cut in found],
        first.found_again[far_right] > _NEARLY_ALL and second.found_again[far_right] < _HARDLY_ANY,
    )


def _trained(comparison: Comparison) -> Iterator[Row]:
    first, second = comparison.names[:2]
    for pair in comparison.pairs:
        same = comparison.relabelled.get(pair.name)
        if same is not None:
            yield (
                f"Attention joins the {pair.base} in whatever order they come.",
                f"The {pair.base} in another order, alike for all digits: given to the same weights, and trained anew",
                f"logits the same to {scientific(same)} once the positions are relabelled; trained, "
                + _outcome(comparison, pair),
                _shown(same <= SAME),
            )
        if pair.name == f"scrambled-{pair.base}":
            yield (
                f"Which pixels share a token matters to {pair.base}.",
                f"Trained on pixels scrambled, alike for all digits, before they are cut into {pair.base}",
                _outcome(comparison, pair),
                _verdict(pair.verdict == "worse", pair.p_seeds),
            )
        if (pair.name, pair.base) == (second, first):
            extra = comparison.costlier(pair, "right") - comparison.costlier(pair, "down")
            p, each = sign_flip_test(extra.tolist()), np.mean(extra) / (comparison.tested_on * len(SHIFTS))
            yield (
                f"So, beside {first}, {second} bear a move down better than a move to the right.",
                "Trained models, judged on moved digits: how much more a move to the right costs than one downwards, "
                "beside " + first + ", mean over distances",
                "; ".join(
                    f"{name} loses {comparison.points_lost(name, 'right'):.1f} points to the right and "
                    f"{comparison.points_lost(name, 'down'):.1f} down"
                    for name in (second, first)
                )
                + f": {100 * each:+.1f} points, p = {p:.2g} over {comparison.seeds} seeds",
                _verdict(each > 0, p),
            )


def _moved(claim: str, experiment: str, lost: float, names: Sequence[str], again: Sequence[float], shown: bool) -> Row:
    ran = f"{experiment}, by which {lost:.1%} of the ink leaves the image: tokens with ink that were some token before"
    return claim, ran, _each(names, [(share,) for share in again]), _shown(shown)


def _each(names: Sequence[str], shares: Sequence[tuple[float, ...]]) -> str:
    return "; ".join(
        f"{name} " + " and ".join(f"{share:.0%}" for share in each) for name, each in zip(names, shares, strict=True)
    )


def _outcome(comparison: Comparison, pair: PairedComparison) -> str:
    points = 100 * comparison.difference(pair).mean
    return f"{points:+.2f} points, p = {pair.p_seeds:.2g} over {comparison.seeds} seeds: {pair.verdict}"


def _shown(holds: bool) -> str:
    return "yes" if holds else "no"


def _verdict(holds: bool, p: float) -> str:
    return "not shown" if p > ALPHA else _shown(holds)
