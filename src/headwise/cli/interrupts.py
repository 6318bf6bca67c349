"""How a command ends early: by Ctrl-C, because its output is no longer read, or because it cannot be parsed."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

# the base class of typer's parsing errors, which has no public name
UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt in the block, also where a library turns it into another exception."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def unraisable(lost: sys.UnraisableHookArgs) -> None:  # raised where Python only prints it, as in a destructor
        if issubclass(lost.exc_type, KeyboardInterrupt):
            main = threading.main_thread().ident or 0
            threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT)).start()  # also ends waiting for a lock
        else:
            unraisable_before(lost)

    unraisable_before, sys.unraisablehook = sys.unraisablehook, unraisable
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        raise KeyboardInterrupt if interrupted else error from None
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = unraisable_before


class InterruptibleGroup(TyperGroup):
    """The commands, with the exit statuses of a shell: 130 after Ctrl-C, 141 after the output was closed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        try:
            with keyboard_interrupts():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted. Run the same command again to start over.", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise typer.Exit(141) from None


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
        parameters = error.ctx.command.params if error.ctx else ()
        return name, [option for parameter in parameters for option in parameter.opts]
    if values := re.search(r"'([^']*)' is not one of (.*)", message):
        return values[1], re.findall(r"'(.*?)'", values[2])
    return "", []
