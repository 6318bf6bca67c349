"""Commands that are killed at random times, and resumed: the results are those of an undisturbed run.

``KILLS`` is the number of kills of each command; without it there are two.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from helpers.processes import PATIENCE

pytestmark = pytest.mark.exhaustive

TESTS = Path(__file__).parent
KILLS = int(os.environ.get("KILLS", "2"))
COMMANDS = {
    name: (*line.split(), "--out", "out")
    for name, line in {
        "train": "train --tokenizer 14x14 --epochs 12 --batch-size 20",
        "report": "report --quick --part gaussian --part attention --processes 1",
        "sets": "study sets --seeds 1 --steps 20",
        "tables": "study tables wine --seeds 2",
        "tokenizers": "study tokenizers --tokenizers 14x14,28x14 --seeds 2 --epochs 1",
        "series": "study series --seeds 2 --epochs 2 --pretrain-epochs 2 --width 8 --heads 2 --depth 1 --no-baselines",
        "faithfulness": "study faithfulness --count 5 --players 4 --maps rollout,AttnLRP",
    }.items()
}
COMMANDS["grade"] = ("grade", "class", "--seed", "1", "--processes", "2", "--out", "grades.csv", "--feedback", "out")


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


def start(arguments, folder):
    command = [sys.executable, "-m", "helpers.small_commands", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, start_new_session=True, **streams)


def copy_class(folder, command):
    """What ``grade`` marks, in a folder that is empty for other commands."""
    folder.mkdir()
    for path in (TESTS.parent / "examples" / "class").iterdir():
        if command == "grade" and path.stem in ("ada", "bo", "chen", "hana", "rubric"):
            shutil.copy(path, folder)


def finish(arguments, folder):
    """Run a command to its end; returns the seconds it took."""
    began = time.monotonic()
    process = start(arguments, folder)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return time.monotonic() - began


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a command that ran to its end, and its seconds; each command runs once."""

    @cache
    def run(name):
        folder = tmp_path_factory.mktemp(name)
        copy_class(folder / "class", name)
        return folder, finish(COMMANDS[name], folder)

    return run


# the tests of a command on one worker, so that it runs undisturbed once
by_command = {name: pytest.param(name, marks=pytest.mark.xdist_group(f"kills-{name}")) for name in COMMANDS}

TIMES = {
    ".html": rb"\d+ s(?=<)",
    ".json": rb'"seconds": [^,}]+|"digest": "\w+"',
    "times.csv": rb",\d+ s",
    "runs.csv": rb",[\d.]+,$",
}


def results(folder):
    """Every file by its path, without times in it and without the versions of a file that depend on them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pdf":
            pattern = TIMES.get(path.name) or TIMES.get(path.suffix)
            content = path.read_bytes().replace(b"\r", b"")
            files[str(path.relative_to(folder))] = re.sub(pattern, b"", content, flags=re.M) if pattern else content
    return files


@pytest.mark.parametrize("name", by_command.values())
def test_killed_and_resumed_it_is_as_if_undisturbed(name, tmp_path, undisturbed):
    rng = np.random.default_rng(int(os.environ.get("SEED", "0")))
    arguments = COMMANDS[name]
    folder = tmp_path
    copy_class(folder / "class", name)
    whole, seconds = undisturbed(name)
    kills = 0
    while kills < KILLS:
        resume = ["--resume"] if (folder / "out" / "training.safetensors").exists() else []
        # an experiment is resumed in one process or in two
        processes = ["--processes", str(rng.integers(1, 3))] if arguments[0] == "study" else []
        fresh = not (folder / "out").exists()
        process, began = start([*arguments, *resume, *processes], folder), time.monotonic()
        try:
            output, _ = process.communicate(timeout=rng.uniform(0, seconds))
            if fresh:
                seconds = min(seconds, time.monotonic() - began)  # the undisturbed run may have been slowed down
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate(timeout=PATIENCE)
            kills += process.returncode != 0
        assert process.returncode in (0, -signal.SIGKILL), output
        state, finished = folder / "out" / "training.safetensors", folder / "out" / "model.safetensors"
        if process.returncode == 0 or (finished.exists() and not state.exists()):
            assert results(folder) == results(whole)
            shutil.rmtree(folder / "out")  # start again, with nothing
    if not (folder / "out" / "model.safetensors").exists():
        resume = ["--resume"] if (folder / "out" / "training.safetensors").exists() else []
        finish([*arguments, *resume], folder)
    assert results(folder) == results(whole)


SPACE = {"train": 300, "sets": 80, "report": 1000, "grade": 30}  # kB, about half of what each writes
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=$SPACE none disk && cd disk || exit 99
cp -r ../class .
"$@"; echo "status $?"
find . -path ./class -prune -o -name ".*" -type f -print
echo "no more hidden files"
mount -o remount,size=100m .
[ -e out/training.safetensors ] && set -- "$@" --resume
"$@" && cp -r . ../copy
"""


def can_mount():
    return shutil.which("unshare") and not subprocess.run(["unshare", "--map-root-user", "--mount", "true"]).returncode


@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
@pytest.mark.parametrize("name", [by_command[name] for name in SPACE])
def test_a_full_disk_is_one_line_and_the_next_run_resumes(name, tmp_path, undisturbed):
    (tmp_path / "disk").mkdir()
    copy_class(tmp_path / "class", name)
    command = [sys.executable, "-m", "helpers.small_commands", *COMMANDS[name]]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", *command],
        cwd=tmp_path, env=ENVIRONMENT | {"SPACE": f"{SPACE[name]}k"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    first = done.stdout[: done.stdout.index("status")]
    assert "status 2\nno more hidden files\n" in done.stdout
    assert "Traceback" not in first
    assert "internal error" not in first
    assert first.splitlines()[-1].startswith("headwise: ")
    whole, _ = undisturbed(name)
    assert results(tmp_path / "copy") == results(whole)
