"""``python -m helpers.small_commands ARGUMENTS``: the command line with few digits and a small report."""

import sys
from dataclasses import replace
from importlib import import_module

from headwise import cli
from headwise.coursework.report import BUDGETS
from helpers.budgets import TINY
from helpers.digits import few

if __name__ == "__main__":
    import_module("headwise.cli.train").load_bundled_mnist = few
    BUDGETS["quick"] = replace(TINY, name="quick")
    sys.exit(cli.run())
