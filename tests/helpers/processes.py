"""Processes that a test starts as a person would at a terminal."""

import signal


def restore_sigint():
    """For ``preexec_fn``: Ctrl-C is heard even if the tests were started in the background, where it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
