"""How much work a report is: a look, the standard one, or as many seeds as a paper would have."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwise.experiments.series.run import Plan as SeriesPlan
from headwise.experiments.tokenizers.plan import Plan as CutsPlan
from headwise.train.config import TrainingConfig

__all__ = ["BUDGETS", "Budget"]


@dataclass(frozen=True)
class Budget:
    """What each part of the report spends.

    Attributes
    ----------
    name : str
    vision : Recipe
        Of the model whose attention is shown.
    cuts : CutsPlan
        Of the comparison of tokenisations.
    series : SeriesPlan
        Of the series transformer and its baselines.
    bridge : Recipe
        Of the network that fills in the values of a Gaussian series.
    targets, starts, steps : int
        Functions of each family that the other is fitted to, random starts for each, steps of gradient descent.
    samples : int
        Samples for each correlation and size.
    spread : bool
        Whether independent runs are long enough for processes of their own, which take seconds to start.
    seed : int
        Of all but the series' runs, which have seeds from 0 on.
    """

    name: str
    vision: TrainingConfig
    cuts: CutsPlan
    series: SeriesPlan
    bridge: TrainingConfig
    targets: int
    starts: int
    steps: int
    samples: int
    spread: bool = True
    seed: int = 0

    def seeded(self, seed: int) -> Budget:
        """The same with another seed."""
        return replace(
            self,
            vision=replace(self.vision, seed=seed),
            cuts=replace(self.cuts, recipe=replace(self.cuts.recipe, seed=seed)),
            bridge=replace(self.bridge, seed=seed),
            seed=seed,
        )


# The first is what the others are compared with; then the same two with their pixels, or their rows, out of order.
_CUTS = ("7x7", "rows", "scrambled-7x7", "scrambled-rows", "reordered-rows")
_SERIES = SeriesPlan()
_BRIDGE = TrainingConfig(
    epochs=40, batch_size=64, learning_rate=3e-3, max_grad_norm=4.0, max_shift=0.0, max_rotation=0.0
)

BUDGETS = {
    "quick": Budget(
        "quick",
        vision=TrainingConfig(epochs=4),
        cuts=CutsPlan(_CUTS, seeds=2, recipe=TrainingConfig(epochs=2)),
        series=replace(
            _SERIES,
            seeds=1,
            recipe=replace(_SERIES.recipe, epochs=10),
            pretraining=replace(_SERIES.pretraining, epochs=15),
        ),
        bridge=replace(_BRIDGE, epochs=5),
        targets=2,
        starts=2,
        steps=300,
        samples=200,
        spread=False,
    ),
    "default": Budget(
        "default",
        vision=TrainingConfig(),
        cuts=CutsPlan(_CUTS, seeds=6, recipe=TrainingConfig(epochs=10)),
        series=_SERIES,
        bridge=_BRIDGE,
        targets=3,
        starts=4,
        steps=600,
        samples=400,
    ),
    "full": Budget(
        "full",
        vision=TrainingConfig(epochs=60),
        cuts=CutsPlan((*_CUTS, "4x4", "columns"), seeds=20, sizes=(500, 2000), recipe=TrainingConfig(epochs=30)),
        series=replace(_SERIES, seeds=20),
        bridge=replace(_BRIDGE, epochs=200),
        targets=10,
        starts=10,
        steps=2000,
        samples=4000,
    ),
}
