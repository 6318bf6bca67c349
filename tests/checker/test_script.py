"""Attention in the statements of a script or notebook, outside functions."""

import json

import pytest

from headwise import check
from headwise.checker.loading import load_function
from headwise.errors import DataError

START = """import numpy as np

rng = np.random.default_rng(0)
"""
SOFTMAX = """

def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

"""
ONE_HEAD = (
    START
    + """n, d = 5, 6
X = rng.normal(size=(n, d))
W_query, W_key, W_value = (rng.normal(size=(d, 4)) for _ in range(3))
"""
    + SOFTMAX
    + """
Q, K, V = X @ W_query, X @ W_key, X @ W_value
S = Q @ K.T / SCALE
A = softmax(S)
Y = A @ V
print(Y.round(2), (Y - Y.mean(axis=0)).std())
"""
)
HEADS = (
    START
    + """N = 7
D = 12
H = 3
X = rng.normal(size=(N, D))
P_q = rng.normal(size=(D, D)); P_k = rng.normal(size=(D, D)); P_v = rng.normal(size=(D, D))
P_o = rng.normal(size=(D, D))
parts = []
for h in range(H):
    mine = slice(4 * h, 4 * h + 4)
    q, k, v = (X @ P_q)[:, mine], (X @ P_k)[:, mine], (X @ P_v)[:, mine]
    s = q @ k.T / WIDTH
    s = np.exp(s - s.max(1, keepdims=True))
    parts.append(s / s.sum(1, keepdims=True) @ v)
together = np.concatenate(parts, axis=1)
result = together @ P_o
error = np.abs(result - 1).max()
"""
)
CAUSAL = (
    START
    + """T, C = 6, 8
tokens = rng.normal(size=(2, T, C))
c_attn_w = rng.normal(size=(C, 3 * C))
q, k, v = np.split(tokens @ c_attn_w, 3, axis=-1)
scores = np.einsum("btc,bsc->bts", q, k) / np.sqrt(C)
visible = np.tril(np.ones((T, T)), k=SHIFT)
scores = np.where(visible, scores, -np.inf)
weights = np.exp(scores - scores.max(-1, keepdims=True))
weights /= weights.sum(-1, keepdims=True)
out = np.einsum("bts,bsc->btc", weights, v)
"""
)
FILLED = (
    START
    + """words = np.array([[1, 0, 2], [0, 1, 1], [3, 1, 0], [1, 1, 1]], dtype=float)
Q_matrix = np.array([[1, 0, 2], [0, 1, 0], [1, 1, 1]])
K_matrix = np.array([[0, 1, 1], [1, 0, 0], [2, 0, 1]])
V_matrix = np.array([[1, 2, 0], [0, 1, 1], [1, 0, 0]])
outputs = np.zeros((4, 3))
for i in range(4):
    query = words[i] @ Q_matrix
    logits = np.array([query @ (words[j] @ K_matrix) for j in range(4)]) / np.sqrt(3)
    share = np.exp(logits) / np.exp(logits).sum()
    for j in range(4):
        outputs[i] += SHARE * (words[j] @ V_matrix)
"""
)
COLUMNS = (
    START
    + """N, D = 3, 4
all_x = [rng.normal(size=(D, 1)) for _ in range(N)]
omega_q, omega_k, omega_v = (rng.normal(size=(D, D)) for _ in range(3))
beta_q, beta_k, beta_v = (rng.normal(size=(D, 1)) for _ in range(3))
queries, keys, values = [], [], []
for x in all_x:
    queries.append(beta_q + omega_q @ x)
    keys.append(beta_k + omega_k @ x)
    values.append(BIAS + omega_v @ x)
all_x_prime = []
for query in queries:
    weights = np.array([np.exp(key.T @ query / np.sqrt(D)).item() for key in keys])
    weights = weights / weights.sum()
    x_prime = sum(weight * value for weight, value in zip(weights, values))
    all_x_prime.append(x_prime)
"""
)
CROSS = (
    START
    + """enc = rng.normal(size=(8, 10))
dec = rng.normal(size=(5, 10))
params = {"W_Q": rng.normal(size=(10, 6)), "W_K": rng.normal(size=(10, 6)), "W_V": rng.normal(size=(10, 6))}
"""
    + SOFTMAX
    + """
q = dec @ params["W_Q"]
k = SIDE @ params["W_K"]
v = SIDE @ params["W_V"]
attended = softmax(q @ k.T / np.sqrt(q.shape[1])) @ v
"""
)
GIVEN = (
    START
    + """Q, K, V = rng.normal(size=(3, 4, 5))
weights = np.exp(Q @ K.T / SCALE)
weights = weights / weights.sum(axis=1, keepdims=True)
output = weights @ V
"""
)
ALONE = (
    START
    + """inputs = rng.normal(size=(6, 3))
scores = inputs @ inputs.T
weights = np.exp(scores - scores.max(axis=AXIS, keepdims=True))
weights /= weights.sum(axis=AXIS, keepdims=True)
contexts = weights @ inputs
"""
)
UNNAMED = (
    START
    + """E = rng.normal(size=(4, 5))  # a token is a column
A_query = rng.normal(size=(4, 4)); A_key = rng.normal(size=(4, 4)); A_value = rng.normal(size=(4, 4))
queries, keys, values = A_query @ E, A_key @ E, A_value @ E
logits = PRODUCT / 2
weights = np.exp(logits) / np.exp(logits).sum(axis=0)
output = values @ weights
"""
)
LOOKED_UP = (
    START
    + """X = rng.normal(size=(3, 4))
W = {"Q": rng.normal(size=(4, 4)), "K": rng.normal(size=(4, 4)), "V": rng.normal(size=(4, 4))}
projected = {name: X @ w for name, w in W.items()}
S = projected["Q"].dot(projected["K"].T) / SCALE
A = np.exp(S - S.max(1, keepdims=True))
Z = (A / A.sum(1, keepdims=True)).dot(projected["V"])
"""
)
TORCH = """import torch
import torch.nn.functional as F

torch.manual_seed(1)
x = torch.randn(1, 4, 6)
w_q, w_k, w_v = torch.randn(3, 6, 6)
q, k, v = (x @ w for w in (w_q, w_k, w_v))
attn = F.softmax(q @ k.transpose(-2, -1) / 6**0.5, dim=DIM)
context = attn @ v
"""

RIGHT = {
    "one head": ONE_HEAD.replace("SCALE", "np.sqrt(4)"),
    "heads": HEADS.replace("WIDTH", "np.sqrt(4)"),
    "causal": CAUSAL.replace("SHIFT", "0"),
    "filled": FILLED.replace("SHARE", "share[j]"),
    "columns": COLUMNS.replace("BIAS", "beta_v"),
    "cross": CROSS.replace("SIDE", "enc"),
    "given": GIVEN.replace("SCALE", "np.sqrt(5)"),
    "alone": ALONE.replace("AXIS", "1"),
    "unnamed": UNNAMED.replace("PRODUCT", "keys.T @ queries"),
    "looked up": LOOKED_UP.replace("SCALE", "np.sqrt(4)"),
    "permuted": ONE_HEAD.replace("SCALE", "2")
    .replace("Q, K, V = X @", "Z = X[[1, 0, 2, 4, 3]]\nQ, K, V = Z @")
    .replace("X @ W_key, X @", "Z @ W_key, Z @"),
}
WRONG = {
    "one head": (ONE_HEAD.replace("SCALE", "4"), "scale-no-root"),
    "heads": (HEADS.replace("WIDTH", "np.sqrt(D)"), "scale-model-width"),
    "causal": (CAUSAL.replace("SHIFT", "1"), "causal-off-by-one"),
    "filled": (FILLED.replace("SHARE", "share[i]"), None),
    "columns": (COLUMNS.replace("BIAS", "beta_v").replace("np.sqrt(D)", "D"), "scale-no-root"),
    "cross": (CROSS.replace("SIDE", "dec"), "context-ignored"),
    "alone": (ALONE.replace("AXIS", "0"), "softmax-axis"),
    "unnamed": (UNNAMED.replace("PRODUCT", "queries.T @ keys"), "qk-swapped"),
    "looked up": (LOOKED_UP.replace("SCALE", "4"), "scale-no-root"),
    "given": (GIVEN.replace(" / SCALE", ""), "scale-missing"),
}
LAYERS = """import torch
from torch import nn

torch.manual_seed(2)
n_heads = 2
inputs = torch.randn(5, 8)
to_q, to_k, to_v = (nn.Linear(8, 8, bias=False) for _ in range(3))
merge = nn.Linear(8, 8)
split = lambda a: a.view(5, n_heads, 4).transpose(0, 1)
q, k, v = split(to_q(inputs)), split(to_k(inputs)), split(to_v(inputs))
p = (q @ k.transpose(1, 2) / SCALE).softmax(dim=-1)
result = merge((p @ v).transpose(0, 1).reshape(5, 8))
"""


def verdict_on(path, text, name=""):
    path.write_text(text)
    function, source, note = load_function(f"{path}:{name}" if name else str(path))
    assert not note
    return check(function, source=source)


@pytest.mark.parametrize("case", RIGHT)
def test_right_scripts_are_right(case, tmp_path):
    verdict = verdict_on(tmp_path / "script.py", RIGHT[case])
    assert verdict.ok, verdict


@pytest.mark.whole_search
@pytest.mark.parametrize("case", WRONG)
def test_the_mistake_of_a_script_is_named(case, tmp_path):
    text, code = WRONG[case]
    verdict = verdict_on(tmp_path / "script.py", text)
    assert not verdict.ok
    assert code is None or verdict.mistakes == (code,), verdict


def test_the_line_of_a_mistake_is_that_of_the_script(tmp_path):
    text = WRONG["heads"][0]
    number = next(i for i, line in enumerate(text.splitlines(), 1) if "np.sqrt(D)" in line)
    assert f"line {number}: " in verdict_on(tmp_path / "script.py", text).report("text", 200)


def test_the_steps_of_a_notebook_are_checked_as_one_function(tmp_path):
    cells = ["import numpy as np", *(part for part in WRONG["one head"][0].split("\n\n") if part.strip())]
    cells = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path = tmp_path / "steps.ipynb"
    verdict = verdict_on(path, json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert verdict.mistakes == ("scale-no-root",)


def test_one_of_several_outputs_is_chosen_by_its_name(tmp_path):
    again = "q, k, v = X @ W_query, X @ W_key, X @ W_value\nZ = softmax(q @ k.T) @ v\n"
    text = RIGHT["one head"] + again
    with pytest.raises(DataError, match="found these: Y, Z"):
        verdict_on(tmp_path / "script.py", text)
    assert verdict_on(tmp_path / "script.py", text, "Y").ok
    assert verdict_on(tmp_path / "script.py", text, "Z").mistakes == ("scale-missing",)


TORCH_SCRIPTS = [
    (TORCH.replace("DIM", "-1"), ()),
    (TORCH.replace("DIM", "1"), ("softmax-axis",)),
    (LAYERS.replace("SCALE", "2"), ()),
    (LAYERS.replace("SCALE", "8**0.5"), ("scale-model-width",)),
]


def test_the_example_of_a_function_that_is_refused_is_no_script(tmp_path):
    code = START + SOFTMAX + "\ndef attend(a, options):\n    return softmax(a @ a.T) @ options[0]\n"
    (tmp_path / "script.py").write_text(code + "\nX, V = rng.normal(size=(2, 5, 4))\nout = attend(X, [V])\n")
    with pytest.raises(DataError, match="attend"):
        load_function(str(tmp_path / "script.py"))


@pytest.mark.parity
@pytest.mark.parametrize(("text", "mistakes"), TORCH_SCRIPTS)
def test_scripts_of_torch(text, mistakes, tmp_path):
    pytest.importorskip("torch")
    assert verdict_on(tmp_path / "script.py", text).mistakes == mistakes


def test_functions_that_all_call_each_other_are_read_once(tmp_path):
    names = [f"f{i}" for i in range(24)]
    code = "".join(f"def {f}(x):\n    return x if x.ndim else {' + '.join(f'{g}(x)' for g in names)}\n" for f in names)
    text = START + code + "X = rng.normal(size=(4, 3))\nW = rng.normal(size=(3, 3))\nY = f0(X) @ W\nZ = f1(Y)\n"
    with pytest.raises(DataError, match="found none among f0"):
        verdict_on(tmp_path / "script.py", text)
