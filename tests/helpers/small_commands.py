"""``python -m helpers.small_commands ARGUMENTS``: the command line with few digits, small models and a small report."""

import sys
from dataclasses import replace
from functools import partial
from importlib import import_module

from headwise import cli
from headwise.coursework.report import BUDGETS
from headwise.experiments.tables import TablesPlan
from helpers.budgets import TINY
from helpers.digits import few

if __name__ == "__main__":
    import_module("headwise.cli.train").load_bundled_mnist = few
    import_module("headwise.cli.study.tokenizers").load_digits = few
    import_module("headwise.experiments.tokenizers.run").step_times = lambda models, *_: [0.01] * len(models)
    small = {"max_iter": 1, "d_model": 8, "n_layers": 1, "n_heads": 2}
    import_module("headwise.cli.study.tables").TablesPlan = partial(TablesPlan, settings=small)
    BUDGETS["quick"] = replace(TINY, name="quick")
    sys.exit(cli.run())
