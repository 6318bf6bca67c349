"""The README's figure, sessions and commands are what the package gives."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headwise.cli import COMMANDS
from headwise.data.image_files import load_digit
from headwise.explanation import explain
from headwise.figures import AttentionRecord, CaptionedFigure
from headwise.train.checkpoint import pretrained_vit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_is_of_the_model_that_ships(little_work):
    saved = pretrained_vit()
    image = load_digit(ROOT / "examples/digit.png").image
    with little_work():
        now = explain(saved, image, label=4).record
    shown = AttentionRecord.load(ROOT / "docs/picture/attention.npz")
    np.testing.assert_allclose(shown.weights, now.weights, atol=1e-5)
    np.testing.assert_allclose(shown.probabilities, now.probabilities, atol=1e-5)


def test_the_caption_is_the_pictures():
    caption = CaptionedFigure(AttentionRecord.load(ROOT / "docs/picture/attention.npz")).caption
    written = (ROOT / "docs/picture/attention.md").read_text(encoding="utf-8")
    assert written == f"{caption.markdown()}\n{caption.markdown(full=True)}"


def test_every_command_is_in_the_readme():
    for command in COMMANDS:
        assert f"`headwise {command}`" in README


SESSIONS = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", README)
USES_TORCH = "gpt.py", "capture_torch.py"


def _marks(command):
    """Which tests a session belongs to; tests/grading/test_grade_command.py grades the same class."""
    if any(name in command for name in USES_TORCH):
        return [pytest.mark.parity]
    return [pytest.mark.exhaustive] * command.startswith("headwise grade")


@pytest.mark.parametrize(
    ("command", "shown"),
    [pytest.param(*session, marks=_marks(session[0])) for session in SESSIONS],
    ids=[command for command, _ in SESSIONS],
)
def test_a_session_prints_what_is_shown(command, shown, tmp_path):
    program, *arguments = command.split()
    start = [sys.executable, "-m", "headwise"] if program == "headwise" else [sys.executable]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    result = subprocess.run([*start, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment)
    printed = result.stdout.rstrip() + "\n"
    pattern = ".*".join(map(re.escape, shown.split("…\n")))  # the README leaves out lines in one place
    pattern = re.sub(r"\d\\\.\de\\-\d\d", r"\\d\\.\\de-\\d\\d", pattern)  # rounding errors differ between processors
    if os.environ.get("UPDATE_SNAPSHOTS") and not re.fullmatch(pattern, printed, re.DOTALL):
        path = ROOT / "README.md"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"$ {command}\n{shown}```", f"$ {command}\n{printed}```"), encoding="utf-8")
    else:
        assert re.fullmatch(pattern, printed, re.DOTALL), f"{printed}{result.stderr}"


def test_the_function_of_the_readme_is_the_one_it_checks():
    code = (ROOT / "examples/mine.py").read_text(encoding="utf-8")
    shown = re.search(r"```py\n(import numpy.*?)```", README, re.DOTALL)[1]
    assert code.split() == shown.split()


def test_the_card_is_the_weights():
    import hashlib

    weights = ROOT / "src/headwise/models/weights/vit-mnist-7x7.safetensors"
    card = weights.with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    assert weights.stat().st_size < 1_000_000
