"""Classes that a rubric names: graded by the checker, while their objects stay in the sandbox."""

import sys
from textwrap import dedent

import pytest

from headwise.grading import Limits, Rubric, Submission, Task, default_rubric, grade_submission

POINTS = {"runs": 1.0, "rows-sum-to-one": 2.0, "right": 5.0}
LAYER = """
    import numpy as np
    from layers import softmax

    class Base:
        def __init__(self, d_model, heads):
            self.heads = heads
            self.params = {name: np.random.randn(d_model, d_model) for name in ("Wq", "Wk", "Wv", "Wo")}

    class MultiHeadAttention(Base):
        def __call__(self, X):
            N, D = X.shape
            q, k, v = (
                (X @ self.params[name]).reshape(N, self.heads, -1).swapaxes(0, 1) for name in ("Wq", "Wk", "Wv")
            )
            p = softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
            return (p @ v).swapaxes(0, 1).reshape(N, D) @ self.params["Wo"]
"""
LAYERS = """
    import numpy as np

    def softmax(z):
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
"""


def grade(main, layers=LAYERS, kind="multi_head", **limits):
    """The grade of the class MultiHeadAttention, 8 points being possible."""
    task = Task("heads", ("MultiHeadAttention",), kind, POINTS, {"scale-missing": 2.0})
    rubric = Rubric("", (task,), Limits(**{"seconds_per_call": 5.0, **limits}))
    submission = Submission("ada", {"main.py": dedent(main), "layers.py": dedent(layers)})
    return grade_submission(submission, rubric, 7).tasks[0]


def test_a_class_is_graded_like_a_function():
    right = grade(LAYER)
    assert (right.points, right.mistakes, right.problem) == (8.0, (), "")
    assert right.verdict.kind == "multi_head"
    assert right.verdict.phrases.count("(in, out) matrices") == 1
    assert "weights-in-out" in right.verdict.conventions
    unscaled = grade(LAYER.replace(" / np.sqrt(q.shape[-1])", ""))
    assert (unscaled.points, unscaled.mistakes) == (6.0, ("scale-missing",))
    assert unscaled.verdict.locations[0].text.strip().startswith("p = softmax")
    assert grade(LAYER.replace("(p @ v).swapaxes(0, 1)", "(p @ v)")).mistakes == ("heads-merged-unmoved",)


def test_a_class_takes_its_matrices():
    made = """def __init__(self, d_model, heads):
            self.heads = heads
            self.params = {name: np.random.randn(d_model, d_model) for name in ("Wq", "Wk", "Wv", "Wo")}
"""
    taken = """def __init__(self, W_q, W_k, W_v, W_o, heads=3):
            self.heads, self.params = heads, {"Wq": W_q, "Wk": W_k, "Wv": W_v, "Wo": W_o}
"""
    assert made in LAYER
    given = LAYER.replace(made, taken)
    assert grade(given).points == 8.0
    assert grade(given.replace(" / np.sqrt(q.shape[-1])", "")).mistakes == ("scale-missing",)


def test_a_class_is_made_with_a_configuration():
    of_config = LAYER.replace("d_model, heads):", "cfg):").replace("(d_model, d_model)", '(cfg.width, cfg["width"])')
    of_config = of_config.replace("self.heads = heads", "self.heads = cfg.n_heads").replace("width", "d_model")
    assert grade(of_config).points == 8.0


ONE = """
    import numpy as np
    class MultiHeadAttention:
        def __init__(self, d):
            self.Wq, self.Wk, self.Wv = np.random.randn(3, d, d)
        def forward(self, X):
            s = X @ self.Wq @ (X @ self.Wk).T / len(self.Wq) ** 0.5
            return np.exp(s) / np.exp(s).sum(1, keepdims=True) @ X @ self.Wv
"""


def test_one_head_is_no_solution_for_several():
    assert grade(ONE).problem.endswith("MultiHeadAttention has one head, and the task is about several.")
    assert grade(ONE, kind="self_attention").mistakes == ("softmax-overflow",)


NO_CLASS = {
    "def split(self): ...\n    def merge(self): ...": "MultiHeadAttention has no method forward or __call__.",
    "def __init__(self, d, h): 1 / 0\n    def forward(self, X): ...": "(ZeroDivisionError: division",
    "def __init__(self, d, h): self.a = [0.5] * 10**6\n    def forward(self, X): return X": "not those of attention",
    "def __init__(self, d, h):\n        while True: ...\n    def forward(self, X): ...": "Attention was made",
}


@pytest.mark.parametrize("body", NO_CLASS)
def test_the_page_says_why_a_class_cannot_be_graded(body):
    task = grade(f"class MultiHeadAttention:\n    {body}\n", seconds_per_call=1.0)
    assert NO_CLASS[body] in task.problem
    assert "init=" not in task.problem
    assert task.points == 0


def test_what_an_object_holds_changes_nothing_of_the_grader():
    hostile = ONE.replace(
        "            self.Wq",
        """
            held = {"__class__": np.eye(3), "forward": np.eye(2), "_number": 3, "a.b.__init__": 1.0, "": 2.0}
            vars(self).update(held, me=self, names=[["x", self]])
            self.Wq""",
        1,
    )
    assert grade(hostile, kind="self_attention").points in (0.0, 8.0)
    assert not [name for name in sys.modules if name.startswith("class_of_")]
    missing = dedent(ONE) + "\ndel MultiHeadAttention\n"
    assert "there is no class of that name once the file has run" in grade(missing).problem


def test_the_shipped_rubric_accepts_classes():
    one, several = default_rubric().tasks
    assert "SelfAttention" in one.function
    assert "MultiHeadAttention" in several.function


TORCH = """
    import torch
    from torch import nn
    class MultiHeadAttention(nn.Module):
        def __init__(self, d_model, num_heads, dropout=0.1):
            super().__init__()
            self.num_heads = num_heads
            self.qkv = nn.Linear(d_model, 3 * d_model)
            self.proj = nn.Linear(d_model, d_model)
            self.dropout = nn.Dropout(dropout)
        def forward(self, x):
            B, N, D = x.shape
            q, k, v = self.qkv(x).view(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
            p = self.dropout((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1))
            return self.proj((p @ v).transpose(1, 2).reshape(B, N, D))
"""


@pytest.mark.parity
def test_torch_modules():
    right = grade(TORCH)
    assert (right.points, right.mistakes) == (8.0, ())
    assert grade(TORCH.replace("dim=-1", "dim=-2")).mistakes == ("softmax-axis",)
    normed = TORCH.replace("self.qkv(x)", "self.qkv(self.norm(x))").replace(
        "self.num_heads = num", "self.norm = nn.LayerNorm(d_model); self.num_heads = num"
    )
    assert grade(normed).problem.endswith("normalises its tokens or its output; grade it by hand.")
