"""The command line: one module for each command, without mathematics.

A new command is a module with a function of its name, and an entry in `COMMANDS`; ``study`` is a group of experiments.
"""

from __future__ import annotations

import ast
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

import typer

from headwise import __version__
from headwise.cli.interrupts import InterruptibleGroup, UsageError, usage_message
from headwise.errors import DataError, HeadwiseError, describe_exception

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
    "doctor",
    "study",
)

_FOLDER = Path(__file__).parent
# environment variables, and the numbers that the libraries which read them accept
_RANGES = {
    "NUMBA_NUM_THREADS": (1, 2**31 - 1),
    "SOURCE_DATE_EPOCH": (0, 253_402_300_799),  # to the last second of the year 9999
}


def application(commands: Sequence[str] = COMMANDS, experiment: str | None = None) -> typer.Typer:
    """The command line with these commands, and of the experiments only this one if it is named."""
    app = _without_commands()
    for name in commands:
        module = import_module(f"headwise.cli.{name}")
        if name == "study":
            app.add_typer(module.study(experiment), name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _overview() -> typer.Typer:
    """The command line for its help and for mistyped commands: it imports no command, which would take seconds."""
    app = _without_commands()
    for name in COMMANDS:
        file = next(p for p in (_FOLDER / f"{name}.py", _FOLDER / name / "__init__.py") if p.exists())
        functions = (n for n in ast.parse(file.read_text("utf-8")).body if isinstance(n, ast.FunctionDef))
        docstring = next(ast.get_docstring(function) for function in functions if function.name == name)
        app.command(name, help=docstring)(lambda: None)
    return app


def _without_commands() -> typer.Typer:
    app = typer.Typer(
        name="headwise",
        cls=InterruptibleGroup,
        help="Self-attention you can check: find mistakes in attention code, and see what a model attends to.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    return app


def run() -> int:
    """Run the command line; returns its exit status.

    An error is printed on one line, with status 2. Status 1 means that what a command checks or compares is wrong.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell has closed it, as in `headwise doctor >&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal cannot show is no reason to stop
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ["MPLBACKEND"] = "agg"  # figures are files, and any other value may be one that matplotlib rejects
    typed = next(iter(sys.argv[1:]), None)
    try:
        _check_environment()
        # only what was typed is imported
        app = application([typed], next(iter(sys.argv[2:]), None)) if typed in COMMANDS else _overview()
        status = app(prog_name="headwise", standalone_mode=False)
        sys.stdout.flush()
        return int(status or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except UsageError as error:
        message = usage_message(error)
        return _fail(f"headwise: {message}") if message else 2
    except (HeadwiseError, OSError) as error:
        return _fail(f"headwise: {error}")
    except MemoryError as error:
        return _fail(f"headwise: not enough memory ({error}).")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            return 141  # rich turns it into status 1
        if "HEADWISE_TRACEBACK" in os.environ:
            raise
        if not isinstance(error, Exception):  # only a user's code raises it
            return _fail(f"headwise: the code that was run raised {describe_exception(error)}.")
        return _fail(
            f"headwise: internal error: {_describe(error)}. HEADWISE_TRACEBACK=1 shows where; please report it."
        )


def _check_environment() -> None:
    """Raise DataError for a variable with which a library that reads it when imported fails without naming it."""
    for name, (low, high) in _RANGES.items():
        value = os.environ.get(name, str(low))
        try:
            valid = low <= int(value) <= high
        except ValueError:
            valid = False
        if not valid:
            raise DataError(
                f"the environment variable {name}: expected a whole number from {low} to {high}; "
                f"got {value[:80]!r}. Correct it, or unset it."
            )


def _fail(message: str) -> int:
    """Print a message on one line, and code to fill in, if it has any, on standard output; returns the status."""
    sentence, start, code = message.partition("\n\n    def ")
    print(" ".join(sentence.split()), file=sys.stderr, flush=True)
    if code:
        print(f"{start.lstrip()}{code.rstrip()}".replace("\n    ", "\n"))
    return 2


def _describe(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    kind, _, message = describe_exception(error).partition(": ")
    return f"{kind} in {Path(frame.filename).name}, line {frame.lineno} ({message})"


def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit
