"""Scripts with a main function, of one token's output, of lists of numbers, and of arrays whose names say little."""

import pytest

from headwise import check
from headwise.checker.loading import load_function
from headwise.checker.user_code.main_block import without_main
from headwise.errors import DataError

SOFTMAX = """import numpy as np


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
"""
IN_MAIN = f"""{SOFTMAX}

def options():
    return {{"tokens": 5}}


def main(seed=3, *, d=6):
    '''Draw and attend.'''
    rng = np.random.default_rng(seed)
    n = options()["tokens"]
    X = rng.normal(size=(n, d))
    W_q, W_k, W_v = rng.normal(size=(3, d, d))
    S = (X @ W_q) @ (X @ W_k).T / SCALE
    RETURN


if __name__ == "__main__":
    CALL
"""
RETURN = "return softmax(S) @ (\n        X @ W_v)"
NAMED = "Y = softmax(S) @ (X @ W_v)\n    print(Y)"
ONE_QUERY = """import numpy as np

rng = np.random.default_rng(0)
words = ["a", "small", "boat", "sails"]
x = rng.normal(size=(len(words), 7))
d = x.shape[1]
W_query, W_key = rng.normal(size=(2, d, 6))
W_value = rng.normal(size=(d, 5))
i = 2
q_i = QUERY
keys, values = x @ W_key, x @ W_value
scores = np.array([q_i @ key for key in keys])
weights = np.exp(scores / SCALE)
context = weights / weights.sum() @ values
"""
ONE_COLUMN = """import numpy as np

rng = np.random.default_rng(0)
X = rng.normal(size=(4, 5))  # a token is a column
omega_q, omega_k, omega_v = rng.normal(size=(3, 4, 4))
q = omega_q @ X[:, -1]
scores = (omega_k @ X).T @ q / SCALE
output = omega_v @ X @ (np.exp(scores) / np.exp(scores).sum())
"""
TORCH_ONE = """import torch

torch.manual_seed(0)
table = torch.nn.Embedding(9, 6)
looked_up = table(torch.tensor([3, 1, 4, 8])).detach()
W_q, W_k, W_v = (torch.nn.Parameter(torch.rand(looked_up.shape[1], 4)) for _ in range(3))
q_1 = looked_up[1] @ W_q
weights_1 = torch.softmax(q_1 @ (looked_up @ W_k).T / SCALE, dim=-1)
context_1 = weights_1 @ (looked_up @ W_v)
"""
LISTS = """import math

words = [[0.1, 0.9], [0.8, 0.3], [0.5, 0.5]]
W_Q, W_K, W_V = [[0.2, 0.7], [0.5, 0.1]], [[0.9, 0.3], [0.4, 0.6]], [[0.3, 0.8], [0.7, 0.2]]


def matvec(row, M):
    return [sum(r * M[i][j] for i, r in enumerate(row)) for j in range(len(M[0]))]


Q = [matvec(word, W_Q) for word in words]
K = [matvec(word, W_K) for word in words]
V = [matvec(word, W_V) for word in words]
outputs = []
for q in Q:
    e = [math.exp(sum(a * b for a, b in zip(q, k)) / SCALE) for k in K]
    outputs.append([sum(w / sum(e) * v[j] for w, v in zip(e, V)) for j in range(2)])
"""
STATES = """import numpy as np

width = 6
encoder_states = np.random.normal(size=(2, 5, width))
decoder_states = np.random.normal(size=(2, 3, width))
energy = np.einsum("bth,bsh->bts", decoder_states, encoder_states) / SCALE
alpha = np.exp(energy - energy.max(axis=-1, keepdims=True))
alpha /= alpha.sum(axis=-1, keepdims=True)
context = np.einsum("bts,bsh->bth", alpha, encoder_states)
"""
FUSED = """import numpy as np

rng = np.random.default_rng(10)
n, D, h = 4, 8, 2
tok = rng.normal(size=(n, D))
wqkv, w_out = rng.normal(size=(D, 3 * D)), rng.normal(size=(D, D))
qkv = tok @ wqkv
qkv = qkv.reshape(n, 3, h, D // h)
q, k, v = qkv[:, 0], qkv[:, 1], qkv[:, 2]
logits = np.einsum("ihd,jhd->hij", q, k) / SCALE
logits[:, np.triu(np.ones((n, n), dtype=bool), k=1)] = -np.inf
att = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
final = np.einsum("hij,jhd->ihd", att, v).reshape(n, D) @ w_out
"""
OF_FOUR = """import numpy as np

rng = np.random.default_rng(42)
x = rng.normal(size=(4, 8))
Wq, Wk, Wv = rng.normal(size=(3, 8, 8))
num_heads = 2
Q, K, V = ((x @ W).reshape(4, num_heads, 4).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
scores = Q @ K.transpose(0, 2, 1) / 4
mask = np.triu(np.full((4, 4), -1e9), 1)
scores = scores + mask
exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
concat = (exp / exp.sum(axis=-1, keepdims=True) @ V).reshape(4, 8)
"""
HEADS = """import numpy as np

rng = np.random.default_rng(0)
H, d = 2, 4
X = rng.normal(size=(5, 8))
Wq, Wk, Wv = ([rng.normal(size=(8, d)) for _ in range(H)] for _ in range(3))
heads = []
for h in range(H):
    s = np.exp((X @ Wq[h]) @ (X @ Wk[h]).T / np.sqrt(d))
    heads.append(s / s.sum(axis=1, keepdims=True) @ (X @ Wv[h]))
Y = TOGETHER
"""
CASES = {
    "returned by main": (IN_MAIN.replace("RETURN", RETURN).replace("CALL", "print(main())"), "np.sqrt(6)", "6"),
    "assigned in main": (IN_MAIN.replace("RETURN", NAMED).replace("CALL", "main()"), "np.sqrt(6)", "6"),
    "main in one line": (IN_MAIN.replace("RETURN", NAMED).replace("\n    CALL", " main()"), "np.sqrt(d)", "d"),
    "one query": (ONE_QUERY.replace("QUERY", "x[i] @ W_query"), "np.sqrt(6)", "6"),
    "one of the queries": (ONE_QUERY.replace("QUERY", "(x @ W_query)[i]"), "6**0.5", "6"),
    "one column": (ONE_COLUMN, "2", "4"),
    "lists": (LISTS, "math.sqrt(2)", "2"),
    "states": (STATES, "np.sqrt(width)", "width"),
    "fused": (FUSED, "np.sqrt(D // h)", "(D // h)"),
}


def verdict_on(path, text):
    path.write_text(text)
    function, source, note = load_function(str(path))
    assert not note
    return check(function, source=source)


@pytest.mark.parametrize("case", CASES)
def test_the_scale_of_a_script(case, tmp_path):
    text, root, width = CASES[case]
    verdict = verdict_on(tmp_path / "script.py", text.replace("SCALE", root))
    assert verdict.ok, verdict
    assert verdict_on(tmp_path / "script.py", text.replace("SCALE", width)).mistakes == ("scale-no-root",)


def test_what_queries_are_made_from_attends_in_whatever_order(tmp_path):
    text = """import numpy as np

rng = np.random.default_rng(3)
english, german = rng.normal(size=(6, 10)), rng.normal(size=(4, 10))
Wq, Wk, Wv = rng.normal(size=(3, 10, 10))
weights = np.exp((german @ Wq) @ (english @ Wk).T / np.sqrt(10))
translated = weights / weights.sum(axis=1, keepdims=True) @ (english @ Wv)
"""
    assert verdict_on(tmp_path / "script.py", text).ok


@pytest.mark.parity
def test_one_token_of_torch(tmp_path):
    pytest.importorskip("torch")
    assert verdict_on(tmp_path / "script.py", TORCH_ONE.replace("SCALE", "2")).ok
    assert verdict_on(tmp_path / "script.py", TORCH_ONE.replace("SCALE", "4")).mistakes == ("scale-no-root",)


@pytest.mark.parametrize(("together", "mistakes"), [("np.hstack(heads)", ()), ("sum(heads)", ("heads-summed",))])
def test_a_list_of_heads_is_not_the_output(together, mistakes, tmp_path):
    verdict = verdict_on(tmp_path / "script.py", HEADS.replace("TOGETHER", together))
    assert (verdict.name, verdict.mistakes) == ("Y", mistakes)


@pytest.mark.whole_search
def test_two_mistakes_of_few_tokens(tmp_path):
    verdict = verdict_on(tmp_path / "script.py", OF_FOUR)
    assert verdict.mistakes == ("scale-no-root", "heads-merged-unmoved")


def test_tokens_are_mixed_instead_of_values(tmp_path):
    text = (
        ONE_QUERY.replace("QUERY", "x[i] @ W_query")
        .replace("SCALE", "np.sqrt(6)")
        .replace("size=(d, 5)", "size=(d, 7)")
    )
    verdict = verdict_on(tmp_path / "script.py", text.replace("@ values\n", "@ x\n"))
    assert verdict.mistakes == ("values-are-inputs",)


def test_one_token_next_to_all_is_checked_only_if_it_differs(tmp_path):
    one = ONE_QUERY.replace("QUERY", "x[i] @ W_query").replace("SCALE", "np.sqrt(6)")
    everyone = one + "S = np.exp(x @ W_query @ keys.T / SCALE)\nZ = S / S.sum(axis=1, keepdims=True) @ values\n"
    assert verdict_on(tmp_path / "script.py", everyone.replace("SCALE", "np.sqrt(6)")).name == "Z"
    with pytest.raises(DataError, match="found these: context, Z"):
        verdict_on(tmp_path / "script.py", everyone.replace("SCALE", "6"))


def test_statements_of_main_stay_in_their_lines():
    text = IN_MAIN.replace("RETURN", NAMED).replace("CALL", "main()")
    moved = without_main(text)
    for line in ("rng = np.random.default_rng(seed)", "S = (X @ W_q) @ (X @ W_k).T / SCALE", "print(Y)"):
        assert f"    {line}" in text.splitlines()
        assert moved.splitlines().index(line) == text.splitlines().index(f"    {line}")
    assert without_main(SOFTMAX) == SOFTMAX
