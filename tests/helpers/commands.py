"""The command line: in this process, which is fast, or in a process of its own, as a user runs it."""

import contextlib
import io
import os
import shlex
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from unittest import mock

import typer

from headwise import cli
from helpers.processes import PATIENCE, restore_sigint, wait_until

SCREEN = {"COLUMNS": "100", "NO_COLOR": "1"}


def headwise(*arguments, folder=None):
    """``headwise ARGUMENTS`` in this process: its status, output and messages, as those of a finished process."""
    words = ["headwise", *map(str, arguments)]
    output, messages = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder or Path.cwd()),
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, SCREEN),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(messages),
    ):
        status = cli.run()
    assert "internal error" not in messages.getvalue(), messages.getvalue()
    return subprocess.CompletedProcess(words, status, output.getvalue(), messages.getvalue())


def parse(line):
    """Parse ``headwise LINE`` without running it; raises an error for an option that does not exist."""
    command, words = typer.main.get_command(cli.application()), shlex.split(line, comments=True)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


def headwise_process(*arguments, folder=None, **environment):
    """The finished process of ``headwise ARGUMENTS``."""
    done = subprocess.run(
        [sys.executable, "-m", "headwise", *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, env=os.environ | SCREEN | environment, timeout=PATIENCE,
    )  # fmt: skip
    assert "internal error" not in done.stderr, done.stderr
    return done


def interrupt_after(monkeypatch, owner, name, calls=1):
    """Ctrl-C as soon as ``owner.name`` has been called so many times; calls after that are as before."""
    function, numbers = getattr(owner, name), count(1)

    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        if next(numbers) == calls:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, wrapper)


def interrupt(*arguments, until, folder=None, group=False):
    """(status, output, messages) of a process that gets Ctrl-C as soon as ``until()`` is true, or its whole group."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headwise", *map(str, arguments)],
        preexec_fn=restore_sigint, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env=os.environ | SCREEN, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: until() or process.poll() is not None, 0.005)
    os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in messages, messages
    return process.returncode, output, messages
