"""How a command ends early: by Ctrl-C, or because its output is no longer read."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup


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
