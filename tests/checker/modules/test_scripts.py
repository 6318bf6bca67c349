"""Functions that torch has compiled as scripts, and others of which Python does not know the arguments."""

import math

import numpy as np
import pytest
from typer.testing import CliRunner

import headwise as hw
from headwise.cli import application

torch = pytest.importorskip("torch")


def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, key_padding_mask: torch.Tensor | None = None):
    p = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.size(-1)), dim=-1)
    if key_padding_mask is not None:
        p = p.masked_fill(key_padding_mask[:, None, None, :], 0.0)
    return p @ v


@pytest.mark.filterwarnings("ignore:`torch.jit.script`")
def test_the_options_of_a_script_are_passed():
    verdict = hw.check(torch.jit.script(masked))
    assert verdict.name == "masked"
    assert verdict.mistakes == ("mask-after-softmax",)


FILE = """
import torch

@torch.jit.script
def attention(q, k, v):
    return torch.softmax(q @ k.transpose(-2, -1) / float(q.size(-1)) ** 0.5, dim=-1) @ v
"""


@pytest.mark.filterwarnings("ignore:`torch.jit.script`")
def test_a_script_of_a_file_is_found(tmp_path):
    (tmp_path / "script.py").write_text(FILE)
    result = CliRunner().invoke(application(("check",)), ["check", str(tmp_path / "script.py")])
    assert result.exit_code == 0, result.output
    assert "attention is right" in result.stdout


def test_arguments_that_a_signature_does_not_name_are_listed():
    def attention(*arrays):
        q, k, v = arrays
        s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v

    verdict = hw.check(attention)
    assert verdict.ok
    assert "further arguments, which its signature does not name" in verdict.untested
