"""Ctrl-C before the command ``headwise`` runs: imported first, because NumPy takes a while to import."""

import os
import signal
import sys

# as `python -m headwise`, and as the installed command
is_command = os.path.basename(getattr(sys, "argv", [""])[0]) in ("-m", "headwise", "headwise.exe")
if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as in the background
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
