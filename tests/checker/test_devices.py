"""A user's code runs on the processor, whatever device it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwise import check
from headwise.checker.loading import load_function

pytestmark = pytest.mark.parity

_MODULE = """
import torch
from torch import nn

device = "cuda"
table = torch.zeros(4, device=device)

class Attention(nn.Module):
    def __init__(self, width=12, heads=3):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        x = x.to(device)
        split = lambda layer: layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = split(self.query), split(self.key), split(self.value)
        hidden = torch.ones(x.shape[1], x.shape[1], device=torch.device("cuda", 0)).triu(1).bool().cuda()
        weights = (q @ k.mT / {scale}).masked_fill(hidden, -torch.inf).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))

model = Attention().to(device)
"""
_FUNCTION = """
import torch

torch.set_default_device("cuda:0")
neutral = torch.zeros(1)

def attention(X, Wq, Wk, Wv):
    X = torch.cat([X.to(torch.device("cuda")), torch.empty(0, X.shape[-1], dtype=X.dtype)])
    scores = (X @ Wq.T) @ (X @ Wk.T).T / {scale} + neutral.to("cuda", X.dtype)
    return torch.softmax(scores, dim=-1).cuda() @ (X @ Wv.T)
"""


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [(_MODULE, "(x.shape[-1] // self.heads) ** 0.5", "1"), (_FUNCTION, "Wk.shape[0] ** 0.5", "1")],
    ids=("module", "function"),
)
def test_code_for_another_device(tmp_path: Path, text: str, right: str, wrong: str) -> None:
    import torch

    before = torch.get_default_device()
    try:
        for scale, mistakes in ((right, ()), (wrong, ("scale-missing",))):
            path = tmp_path / "theirs.py"
            path.write_text(text.replace("{scale}", scale))
            function, source, _ = load_function(str(path))
            assert check(function, source=source).mistakes == mistakes
    finally:
        torch.set_default_device(before)


def test_an_object_of_a_class_that_fits_is_no_choice(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text(_MODULE.replace("{scale}", "2"))
    assert load_function(str(path))[0].__name__ == "Attention"
