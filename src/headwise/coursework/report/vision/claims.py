"""What rows lose and keep compared with patches: each claim with the experiment that tests it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from headwise.data.mnist import Digits
from headwise.document import Table
from headwise.experiments.statistics import ALPHA, sign_flip_test
from headwise.experiments.tokenizers import PairedComparison, TokenizersResult
from headwise.experiments.tokenizers.findings import ROUNDING
from headwise.experiments.tokenizers.locality import Locality, foreground_lost, locality
from headwise.experiments.tokenizers.training import SHIFTS
from headwise.text import Statement, format_number, scientific
from headwise.tokenizers import get_tokenizer

_NEARLY_ALL, _HARDLY_ANY = 0.99, 0.1

Row = tuple[str, str, str, str]


def claims_table(result: TokenizersResult, digits: Digits) -> Table:
    """Claims about the first two tokenizers, and about the same two with shuffled pixels or tokens if present."""
    names = result.names[:2]
    tokenizers = [get_tokenizer(name, result.model.image_size) for name in names]
    shifts = [(1, 0), (0, 1), (tokenizers[0].patch_size[0], 0), (0, tokenizers[0].patch_size[1])]
    localities = [locality(tokenizer, digits.test.images, shifts) for tokenizer in tokenizers]
    lost = {shift: foreground_lost(digits.test.images, shift) for shift in shifts}
    rows = [*_without_training(names, localities, shifts, lost), *_with_training(result)]
    return Table(
        Statement(
            "Claims, experiments, and whether they support the claim; shares are over the {n:,} test digits.",
            {"n": len(digits.test.labels)},
        ),
        ("claim", "experiment", "outcome", "supported"),
        tuple(rows),
        "claims",
        words=True,
    )


def _without_training(
    names: Sequence[str],
    localities: Sequence[Locality],
    shifts: list[tuple[int, int]],
    lost: Mapping[tuple[int, int], float],
) -> Iterator[Row]:
    first, second = localities
    yield (
        "No pixel is lost.",
        "Pixels that are in exactly one token",
        _by_name(names, [(item.single_token,) for item in localities]),
        _yes_or_no(all(item.single_token == 1 for item in localities)),
    )
    yield (
        f"With {names[1]}, vertical neighbours are no longer in one token, and horizontal neighbours always are.",
        "Pairs of neighbouring pixels in one token, vertical and horizontal",
        _by_name(names, [(item.vertical_pairs, item.horizontal_pairs) for item in localities]),
        _yes_or_no(second.vertical_pairs < first.vertical_pairs and second.horizontal_pairs == 1),
    )
    down, right, far_down, far_right = shifts

    def shifted(claim: str, direction: str, shift: tuple[int, int], supported: bool) -> Row:
        return (
            claim,
            f"Digits shifted {direction} by {max(shift)}, which moves {lost[shift]:.1%} of the ink out of the image: "
            "tokens with ink that equal a token of the unshifted digit",
            _by_name(names, [(item.unchanged[shift],) for item in localities]),
            _yes_or_no(supported),
        )

    yield shifted(
        f"A shift down by one pixel only changes which of the {names[1]} has which content.",
        "down",
        down,
        second.unchanged[down] > _NEARLY_ALL,
    )
    yield shifted(
        "A shift to the right by one pixel changes the content of nearly every token, with either tokenizer.",
        "to the right",
        right,
        all(item.unchanged[right] < _HARDLY_ANY for item in localities),
    )
    yield shifted(
        f"A shift down by a whole token of {names[0]} only changes which token has which content, with either "
        f"tokenizer.",
        "down",
        far_down,
        all(item.unchanged[far_down] > _NEARLY_ALL for item in localities),
    )
    yield shifted(
        f"A shift as far to the right does so for {names[0]}, but changes nearly all of the {names[1]}.",
        "to the right",
        far_right,
        first.unchanged[far_right] > _NEARLY_ALL and second.unchanged[far_right] < _HARDLY_ANY,
    )


def _with_training(result: TokenizersResult) -> Iterator[Row]:
    first, second = result.names[:2]
    for pair in result.pairs:
        error = result.relabelling_errors.get(pair.name)
        if error is not None:
            yield (
                f"Attention combines the {pair.base} in any order.",
                f"The {pair.base} in another order, the same for all digits: with the same weights, and trained again",
                f"logits equal to {scientific(error)} with relabelled positions; trained, {_outcome(result, pair)}",
                _yes_or_no(error <= ROUNDING),
            )
        if pair.name == f"scrambled-{pair.base}":
            yield (
                f"It matters to {pair.base} which pixels share a token.",
                f"Trained on pixels shuffled in the same way for all digits, then cut into {pair.base}",
                _outcome(result, pair),
                _if_shown(pair.verdict == "worse", pair.p_seeds),
            )
        if (pair.name, pair.base) == (second, first):
            extra = result.extra_shift_loss(pair, "right") - result.extra_shift_loss(pair, "down")
            p, mean = sign_flip_test(extra.tolist()), np.mean(extra) / (result.n_test * len(SHIFTS))
            losses = [
                f"{name} loses {result.shift_loss_points(name, 'right'):.1f} points to the right and "
                f"{result.shift_loss_points(name, 'down'):.1f} down"
                for name in (second, first)
            ]
            yield (
                f"So, compared with {first}, {second} tolerate a shift down better than a shift to the right.",
                "Trained models, tested on shifted digits: how much more a shift to the right costs than one down, "
                f"compared with {first}, mean over distances",
                f"{'; '.join(losses)}: {format_number(100 * mean, '+.1f')} points, "
                f"p = {p:.2g} over {result.seeds} seeds",
                _if_shown(mean > 0, p),
            )


def _by_name(names: Sequence[str], shares: Sequence[tuple[float, ...]]) -> str:
    texts = [" and ".join(f"{share:.0%}" for share in row) for row in shares]
    return "; ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))


def _outcome(result: TokenizersResult, pair: PairedComparison) -> str:
    points = 100 * result.difference(pair).mean
    return f"{format_number(points, '+.2f')} points, p = {pair.p_seeds:.2g} over {result.seeds} seeds: {pair.verdict}"


def _yes_or_no(supported: bool) -> str:
    return "yes" if supported else "no"


def _if_shown(supported: bool, p: float) -> str:
    return "not shown" if p > ALPHA else _yes_or_no(supported)
