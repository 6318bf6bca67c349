import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_cache_gives_what_all_tokens_at_once_give():
    printed = run("kv_cache.py")
    assert float(printed.rsplit(" ", 1)[1]) < 1e-14


@pytest.mark.exhaustive
def test_files_larger_than_the_memory_used_for_them():
    printed = run("out_of_core.py", "--tokens", "131072")
    files, peak = (float(re.search(pattern, printed)[1]) for pattern in (r"(\d+) MiB in files", r"memory: (\d+) MiB"))
    assert files == 128
    assert peak < 60
