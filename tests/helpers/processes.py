"""Processes that a test starts as a person would at a terminal, and waiting for them."""

import signal
import time

PATIENCE = 300  # seconds before a test fails; on a loaded machine everything takes long


def restore_sigint():
    """For ``preexec_fn``: Ctrl-C is heard even if the tests were started in the background, where it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(condition, interval=0.05):
    """Wait until a condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(interval)
