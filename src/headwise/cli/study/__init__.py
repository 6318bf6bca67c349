"""``headwise study``: the experiments, one command each.

A new experiment is a package in `headwise.experiments`, its name in `headwise.experiments.EXPERIMENTS`, and a module
here with a function of that name.
"""

from __future__ import annotations

from importlib import import_module

import typer

from headwise.experiments import EXPERIMENTS

__all__ = ["study"]


def study(only: str | None = None) -> typer.Typer:
    """Run an experiment. After an interruption the same command resumes it.

    Returns the command group with every experiment, or with the one that is named and nothing imported for any other.
    """
    group = typer.Typer(
        help=(study.__doc__ or "").partition("\n\n")[0],
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.callback()(lambda: None)  # so that a group of one experiment stays a group
    for name in (only,) if only in EXPERIMENTS else EXPERIMENTS:
        group.command(name)(getattr(import_module(f"headwise.cli.study.{name}"), name))
    return group
