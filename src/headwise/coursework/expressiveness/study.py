"""Both counterexamples, what a final transformation changes, and the fits, in one study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.coursework.expressiveness.constructions import (
    RANK,
    Setting,
    directions,
    outside_interval_example,
    outside_segment_example,
    projections,
    read_off_forms,
)
from headwise.coursework.expressiveness.fitting import Fit, fit


@dataclass(frozen=True)
class Expressiveness:
    """Both counterexamples, what a final transformation changes, and the fits."""

    setting: Setting
    # how far an output of several heads lies from the segment on which every single head's output must lie, and that
    # segment's length
    off_segment: float
    segment: float
    # of the bilinear form that each output coordinate shows: for a random single head, and for several
    ranks: tuple[tuple[int, ...], ...]
    one_form: float  # by how much the single head's coordinates differ in what they show
    # by how much the forms that were read off the outputs differ from those that the functions were made with
    read_off: float
    # what several heads with a final transformation make of a coordinate that is 1 in one token and 0 in the other
    outside: float
    # how far the heads' shares of an identity are from being projections that annihilate one another
    projections: float
    # in how many directions the weights can move so that the function changes: of one head and of several, without
    # and with a final transformation
    directions: tuple[tuple[int, ...], ...]
    fits: tuple[Fit, ...]  # each family to itself and to the other, over many inputs
    # steps of gradient descent, random starts, inputs (N, D) in the training batch, and what all was drawn with
    steps: int
    starts: int
    inputs: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        fits = [{"heads": fit.heads, "of": fit.of, "losses": fit.losses.tolist()} for fit in self.fits]
        return {**vars(self), "fits": fits}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Expressiveness:
        """The inverse of `to_json`."""
        fits = tuple(Fit(fit["heads"], fit["of"], np.array(fit["losses"])) for fit in content["fits"])
        lists = {name: tuple(map(tuple, content[name])) for name in ("ranks", "directions")}
        return cls(**{**content, **lists, "setting": Setting(*content["setting"]), "fits": fits})


def expressiveness(
    setting: Setting | None = None,
    *,
    targets: int = 3,
    starts: int = 4,
    steps: int = 600,
    inputs: int = 64,
    seed: int = 0,
    on_fit: Callable[[], None] = lambda: None,
) -> Expressiveness:
    """Construct the counterexamples and run the fits.

    `setting`: D = 6, H = 3 and N = 5 by default.
    `targets`, `starts`, `steps`, `inputs`: functions drawn from each family, random starts for each, steps of Adam, and
    inputs in the batch.
    `on_fit`: called after each of the four fits.
    """
    setting = setting or Setting()
    n_heads = setting.heads
    distance, length = outside_segment_example(setting)
    forms = [read_off_forms(heads, np.random.default_rng([seed, 5]), width=setting.width) for heads in (1, n_heads)]
    fits = []
    for heads, of in ((1, 1), (n_heads, 1), (1, n_heads), (n_heads, n_heads)):
        fits.append(fit(heads, of, setting, targets=targets, starts=starts, steps=steps, inputs=inputs, seed=seed))
        on_fit()
    return Expressiveness(
        setting,
        distance,
        length,
        tuple(tuple(int(rank) for rank in np.linalg.matrix_rank(form, rtol=RANK)) for form, _ in forms),
        float(np.abs(forms[0][0] - forms[0][0][0]).max()),
        max(deviation for _, deviation in forms),
        outside_interval_example(setting),
        projections(setting, np.random.default_rng([seed, 6])),
        tuple(
            tuple(directions(heads, setting.width, final, np.random.default_rng([seed, 8])) for heads in (1, n_heads))
            for final in (False, True)
        ),
        tuple(fits),
        steps,
        starts,
        inputs,
        seed,
    )
