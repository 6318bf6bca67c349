"""How much work a report is: a preview, the standard report, or as many seeds as a paper would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwise.experiments.series import SeriesPlan
from headwise.experiments.tables import TablesPlan
from headwise.experiments.tokenizers import TokenizersPlan
from headwise.models.vit import ViTConfig
from headwise.train.config import TrainingConfig


@dataclass(frozen=True)
class Budget:
    """The work for each part of the report."""

    name: str
    vision: TrainingConfig  # for the model whose attention is shown
    tokenizers: TokenizersPlan
    series: Mapping[str, Any]  # fields of `SeriesPlan` other than the data; ``seeds`` is always among them
    tables: TablesPlan  # for the second article
    pretraining: TrainingConfig  # for the network that predicts masked values of a Gaussian series
    # functions of each family that the other is fitted to, random starts for each, steps of gradient descent
    targets: int
    starts: int
    steps: int
    samples: int  # samples for each correlation and size
    # whether independent runs are long enough for separate processes, which take seconds to start
    parallel: bool = True
    seed: int = 0  # for everything but the runs on series, whose seeds start from 0

    def with_seed(self, seed: int) -> Budget:
        """The same with another seed."""
        return replace(
            self,
            vision=replace(self.vision, seed=seed),
            tokenizers=replace(self.tokenizers, recipe=replace(self.tokenizers.recipe, seed=seed)),
            pretraining=replace(self.pretraining, seed=seed),
            seed=seed,
        )


# small, so that thirty trainings take a minute or two; the long study is recorded
_SMALL = ViTConfig(d_model=32, n_layers=2, d_ff=64)
# the others are compared with the first; then the first two again, with shuffled pixels or rows
_TOKENIZERS = ("7x7", "rows", "scrambled-7x7", "scrambled-rows", "reordered-rows")
_PRETRAINING = TrainingConfig(
    epochs=40, batch_size=64, learning_rate=3e-3, max_grad_norm=4.0, max_shift=0.0, max_rotation=0.0
)

BUDGETS = {
    "quick": Budget(
        "quick",
        vision=TrainingConfig(epochs=4),
        tokenizers=TokenizersPlan(_TOKENIZERS, seeds=2, recipe=TrainingConfig(epochs=2)),
        series={
            "seeds": 1,
            "recipe": replace(SeriesPlan.recipe, epochs=10),
            "pretraining": replace(SeriesPlan.pretraining, epochs=15),
        },
        tables=TablesPlan(("wine",), 1, {"max_iter": 20}),
        pretraining=replace(_PRETRAINING, epochs=5),
        targets=2,
        starts=2,
        steps=300,
        samples=200,
        parallel=False,
    ),
    "default": Budget(
        "default",
        vision=TrainingConfig(epochs=15),
        tokenizers=TokenizersPlan(_TOKENIZERS, seeds=6, model=_SMALL, recipe=TrainingConfig(epochs=5)),
        series={
            "seeds": SeriesPlan.seeds,
            "d_model": 32,
            "n_heads": 4,
            "d_ff": 64,
            "recipe": replace(SeriesPlan.recipe, epochs=30),
            "pretraining": replace(SeriesPlan.pretraining, epochs=50),
        },
        tables=TablesPlan(("wine",), 2),
        pretraining=replace(_PRETRAINING, epochs=20),
        targets=3,
        starts=3,
        steps=400,
        samples=400,
    ),
    "full": Budget(
        "full",
        vision=TrainingConfig(epochs=60),
        tokenizers=TokenizersPlan(
            (*_TOKENIZERS, "4x4", "columns"), seeds=20, sizes=(500, 2000), recipe=TrainingConfig(epochs=30)
        ),
        series={"seeds": 20, "recipe": SeriesPlan.recipe, "pretraining": SeriesPlan.pretraining},
        tables=TablesPlan(),
        pretraining=replace(_PRETRAINING, epochs=200),
        targets=10,
        starts=10,
        steps=2000,
        samples=4000,
    ),
}
