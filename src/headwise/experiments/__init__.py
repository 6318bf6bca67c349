"""Experiments that can be resumed: a plan, runs, findings, tables and figures each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from headwise.experiments.protocol import Experiment, Result, Run, Runner, run_together
from headwise.experiments.store import Outcome, RunStore

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Outcome",
    "Result",
    "Run",
    "RunStore",
    "Runner",
    "get_experiment",
    "run_together",
]

EXPERIMENTS = ("tokenizers", "faithfulness", "series", "sets", "tables")


def get_experiment(name: str) -> Experiment[Any, Any]:
    """The experiment in the package of this name; no other is imported."""
    experiment: Experiment[Any, Any] = import_module(f"headwise.experiments.{name}").EXPERIMENT
    return experiment
