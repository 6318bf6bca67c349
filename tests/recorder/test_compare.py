"""Arrays extracted elsewhere, judged against a capture."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.recorder import AttentionLayer, Capture, KeyMask
from headwise.recorder.compare import compare_arrays

B, L, H, N, d = 1, 2, 3, 7, 5


@pytest.fixture
def ours(tmp_path, rng):
    import headwise as hw

    layers = []
    for index in range(L):
        q, k, v = rng.normal(size=(3, B, H, N, d)).astype(np.float32)
        mask = KeyMask.from_rule((B, H, N, N), causal=True)
        output = hw.attention(q, k, v, causal=True)
        layers.append(AttentionLayer(f"{index}", "self", q, k, v, output=output, scale=d**-0.5, mask=mask, index=index))
    Capture(None, tuple(layers)).save(tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as file:
        return dict(file)


def softmax(s):
    power = np.exp(s - s.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


EXTRACTED = {
    "weights": ("", lambda a: a["weights"][0]),
    "half": ("", lambda a: a["weights"][0].astype(np.float16)),
    "layers-first": ("", lambda a: a["weights"].swapaxes(0, 1)),
    "mean": ("heads-averaged", lambda a: a["weights"][0].mean(axis=1)),
    "sum": ("heads-averaged", lambda a: a["weights"][0].sum(axis=1)),
    "second-softmax": ("softmax-twice", lambda a: softmax(a["weights"][0])),
    "second-softmax-of-the-mean": ("softmax-twice", lambda a: softmax(a["weights"][0].mean(axis=1))),
    "no-causal-mask": ("causal-missing", lambda a: softmax(a["q"] @ a["k"].mT / d**0.5)),
    "transposed": ("weights-transposed-out", lambda a: a["weights"].mT),
    "scores": ("weights-before-softmax", lambda a: a["q"] @ a["k"].mT / d**0.5),
    "products": ("weights-before-softmax", lambda a: a["q"] @ a["k"].mT),
    "unscaled": (
        "scale-missing",
        lambda a: softmax(np.where(a["weights"] > 0, a["q"] @ a["k"].mT, -np.inf)),
    ),
    "outputs": ("", lambda a: a["output"]),
    "merged-outputs": ("", lambda a: a["output"].swapaxes(2, 3).reshape(B, L, N, H * d)),
    "outputs-times-values": ("softmax-missing", lambda a: a["output"] @ a["v"].mT),
    "first-column": ("", lambda a: a["weights"][..., 1:]),
    "class-row": ("", lambda a: a["weights"][..., 0, 1:]),
    "one-layer": ("", lambda a: a["weights"][0, 1]),
}
SAME = ("weights", "half", "layers-first", "one-layer")


@pytest.mark.parametrize("name", EXTRACTED)
def test_each_is_named(ours, name):
    code, extract = EXTRACTED[name]
    found = compare_arrays({"a": extract(ours)}, ours)
    assert (found.same, found.code) == (name in SAME, code), found.text
    assert "nor close to them" not in found.text


def test_text(ours):
    found = compare_arrays({"layer2": ours["weights"][0, 1], "layer1": ours["weights"][0, 0]}, ours)
    assert "(largest difference 0.0e+00)" in found.text
    assert ", of layer 1 alone" in compare_arrays({"a": ours["weights"][0, 1].mean(axis=0)}, ours).text
    assert "the first column was cut off" in compare_arrays({"a": ours["weights"][..., 1:]}, ours).text


def test_nothing_is_claimed_about_other_arrays(ours, rng):
    found = compare_arrays({"a": rng.dirichlet(np.ones(N), (L, H, N))}, ours)
    assert (found.same, found.code) == (False, "")
    assert "nor close to them" in found.text
    assert "shapes (3, 4)" in compare_arrays({"a": np.zeros((3, 4))}, ours).text


def test_an_unverified_capture_says_so(ours):
    ours["verified"] = np.array([True, False])
    assert "The capture itself is not verified" in compare_arrays({"a": ours["weights"]}, ours).text


def test_errors(ours):
    with pytest.raises(DataError, match="expected a file that a capture saved"):
        compare_arrays(ours, {"weights": ours["weights"]})
    with pytest.raises(DataError, match="theirs: expected one array of floats"):
        compare_arrays({"a": ours["weights"], "b": np.zeros(2)}, ours)
