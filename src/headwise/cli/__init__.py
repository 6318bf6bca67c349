"""The command line: one module for each command, without mathematics of its own.

A new command is a module with a function of its name, and an entry in `COMMANDS`; ``study`` is a group of experiments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import typer

from headwise import __version__
from headwise.errors import HeadwiseError

__all__ = ["COMMANDS", "application", "run"]

COMMANDS = (
    "check",
    "diff",
    "capture",
    "inspect",
    "explain",
    "caption",
    "explore",
    "serve",
    "attend",
    "train",
    "grade",
    "report",
    "bench",
    "study",
)


def application(commands: Sequence[str] = COMMANDS, experiment: str | None = None) -> typer.Typer:
    """The command line with these commands, and of the experiments only this one if it is named."""
    app = typer.Typer(
        name="headwise",
        help="Self-attention you can check: find mistakes in attention code, and see what a model attends to.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    for name in commands:
        module = import_module(f"headwise.cli.{name}")
        if name == "study":
            app.add_typer(module.study(experiment), name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def run() -> int:
    """Run the command line; returns its exit status.

    An error of Headwise or the system is printed on one line, with status 2. Ctrl-C is status 130.
    """
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal cannot show is no reason to stop
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    typed = next(iter(sys.argv[1:]), None)
    try:
        # only what was typed is imported
        application([typed] if typed in COMMANDS else COMMANDS, next(iter(sys.argv[2:]), None))()
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HeadwiseError, OSError) as error:
        print(f"headwise: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to start over.", file=sys.stderr)
        return 130
    return 0


def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit
