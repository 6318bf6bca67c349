"""Commands that are killed at random times, and resumed: the results are those of an undisturbed run.

``KILLS`` is the number of kills of each command; without it there are two.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.processes import PATIENCE

pytestmark = pytest.mark.exhaustive

TESTS = Path(__file__).parent
KILLS = int(os.environ.get("KILLS", "2"))
COMMANDS = {
    "train": ("train", "--tokenizer", "14x14", "--epochs", "12", "--batch-size", "20", "--out", "out"),
    "study": ("study", "sets", "--seeds", "2", "--steps", "20", "--out", "out"),
    "report": ("report", "--quick", "--part", "gaussian", "--part", "attention", "--processes", "1", "--out", "out"),
    "grade": ("grade", "class", "--seed", "1", "--processes", "2", "--out", "grades.csv", "--feedback", "out"),
}


def start(arguments, folder, **options):
    command = [sys.executable, "-m", "helpers.small_commands", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams, **options)


def finish(arguments, folder):
    """Run a command to its end; returns the seconds it took."""
    began = time.monotonic()
    process = start(arguments, folder)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return time.monotonic() - began


def results(folder):
    """Every file by its path, without the times and the versions of files that depend on them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pdf" and path.name != "times.csv":
            content = path.read_bytes()
            if path.suffix == ".html":
                content = re.sub(rb"\d+ s<", b"<", content)
            files[str(path.relative_to(folder))] = content
    return files


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_resumed_it_is_as_if_undisturbed(name, tmp_path):
    rng = np.random.default_rng(int(os.environ.get("SEED", "0")))
    arguments = COMMANDS[name]
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        if name == "grade":
            shutil.copytree(TESTS.parent / "examples" / "class", folder / "class")
            shutil.rmtree(folder / "class" / "__pycache__", ignore_errors=True)
    seconds = finish(arguments, folders[0])
    kills = 0
    while kills < KILLS:
        resume = ["--resume"] if (folders[1] / "out" / "training.safetensors").exists() else []
        process = start([*arguments, *resume], folders[1])
        time.sleep(rng.uniform(0, seconds))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, -signal.SIGKILL), output
        state, finished = folders[1] / "out" / "training.safetensors", folders[1] / "out" / "model.safetensors"
        if process.returncode == 0 or (finished.exists() and not state.exists()):
            assert results(folders[1]) == results(folders[0])
            shutil.rmtree(folders[1] / "out")  # start again, with nothing
    if not (folders[1] / "out" / "model.safetensors").exists():
        resume = ["--resume"] if (folders[1] / "out" / "training.safetensors").exists() else []
        finish([*arguments, *resume], folders[1])
    assert results(folders[1]) == results(folders[0])


def limit_file_size():
    """A disk that is full after so many bytes of a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_the_next_run_resumes(name, tmp_path):
    if name == "grade":
        shutil.copytree(TESTS.parent / "examples" / "class", tmp_path / "class")
    process = start(COMMANDS[name], tmp_path, preexec_fn=limit_file_size)
    output, _ = process.communicate(timeout=PATIENCE)
    if name == "grade":  # its files are smaller
        assert process.returncode == 0, output
        return
    assert process.returncode == 2
    assert "Traceback" not in output
    assert "internal error" not in output
    assert output.splitlines()[-1].startswith("headwise: ")
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    finish(COMMANDS[name], tmp_path)
