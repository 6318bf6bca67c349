"""One line for a command line that cannot be parsed, with the name that was probably meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

import typer

# the base class of typer's parsing errors, which has no public name
UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def usage_message(error: Any) -> str:
    """The message of a `UsageError` in one line, with a suggestion and the command whose help to read.

    It is empty if the error was a missing command, for which typer has printed the help.
    """
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    if not message:
        return ""
    message = re.sub(r" \(Possible options: .*\)$", "", message).rstrip(".")
    if close := get_close_matches(*_received_and_possible(error, message), n=1):
        message += f". Did you mean {close[0]}?"
    end = "" if message.endswith("?") else "."
    # the path begins with how the program was started, which may be `python -m headwise`
    words = error.ctx.command_path.split()[error.ctx.find_root().command_path.count(" ") + 1 :] if error.ctx else []
    return f"{message}{end} See {' '.join(['headwise', *words, '--help'])}."


def _received_and_possible(error: Any, message: str) -> tuple[str, list[str]]:
    """What was typed in place of an option or of one of several values, and what could have been."""
    if name := getattr(error, "option_name", ""):
        return name, [
            option for parameter in error.ctx.command.params for option in parameter.opts
        ] if error.ctx else []
    if values := re.search(r"'([^']*)' is not one of (.*)", message):
        return values[1], re.findall(r"'(.*?)'", values[2])
    return "", []
