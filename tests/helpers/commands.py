"""The command line as a user runs it, in a process of its own."""

import os
import signal
import subprocess
import sys
import time

from helpers.processes import restore_sigint

ENVIRONMENT = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}


def headwise(*arguments, folder=None, **environment):
    """The finished process of ``headwise ARGUMENTS``."""
    return subprocess.run(
        [sys.executable, "-m", "headwise", *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, env=ENVIRONMENT | environment, timeout=120,
    )  # fmt: skip


def interrupt(*arguments, until, folder=None, group=False):
    """(status, output, messages) of a command that gets Ctrl-C as soon as ``until()`` is true, with its processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headwise", *map(str, arguments)],
        preexec_fn=restore_sigint, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not until() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=60)
    assert "Traceback" not in messages
    return process.returncode, output, messages
