"""The command line: one module a command, none of them with any mathematics.

A new command is a module with a function of its name, and a line in `COMMANDS`.
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
    "attend",
    "train",
    "explain",
    "explore",
    "serve",
    "caption",
    "audit",
    "compare",
    "report",
    "check",
    "diff",
    "capture",
    "inspect",
    "series",
    "sets",
    "tables",
    "grade",
    "bench",
)


def application(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands, and nothing imported for any other."""
    app = typer.Typer(
        name="headwise",
        help="Self-attention you can check: exact weights and outputs, trained models, captioned pictures.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    for name in commands:
        app.command(name)(getattr(import_module(f"headwise.cli.{name}"), name))
    return app


def run() -> int:
    """Run the command that was typed; returns its exit status.

    What Headwise or the system refuses is told on one line, with status 2. Ctrl-C is status 130.
    """
    for stream in (sys.stdout, sys.stderr):  # what a terminal of another encoding cannot show is no reason to stop
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    typed = sys.argv[1:2]
    try:
        application(typed if typed and typed[0] in COMMANDS else COMMANDS)()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HeadwiseError, OSError) as error:
        print(f"headwise: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("headwise: interrupted", file=sys.stderr)
        return 130
    return 0


def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit
