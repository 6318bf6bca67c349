"""A report of the smallest size that has everything in it."""

from dataclasses import replace

from headwise.coursework.report import BUDGETS
from headwise.experiments.tokenizers import TokenizersPlan
from headwise.train.config import TrainingConfig

QUICK = BUDGETS["quick"]
TINY = replace(
    QUICK,
    name="tiny",
    vision=TrainingConfig(epochs=2, batch_size=50),
    tokenizers=TokenizersPlan(
        ("7x7", "rows", "scrambled-rows", "reordered-rows"), 2, (100,), recipe=TrainingConfig(epochs=1, batch_size=100)
    ),
    series={
        "seeds": 1,
        "baselines": False,
        "recipe": replace(QUICK.series["recipe"], epochs=2),
        "pretraining": replace(QUICK.series["pretraining"], epochs=2),
    },
    tables=replace(QUICK.tables, settings={"max_iter": 2}),
    pretraining=replace(QUICK.pretraining, epochs=1),
    targets=1,
    starts=1,
    steps=40,
    samples=60,
)
