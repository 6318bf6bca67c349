"""The catalogue: every stable name is there, every entry makes a difference, and the page says what it says."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headwise.checker import CATALOGUE
from headwise.checker.catalogue.docs import mistakes_page
from headwise.checker.probes import Interface, probes
from headwise.checker.reference.definition import STAGES
from headwise.checker.reference.differences import PRECISIONS, difference
from headwise.checker.report.locations import OPERATIONS
from headwise.checker.search.mistakes import Explanation

DOCS = Path(__file__).parents[2] / "docs"

CODES = """
weights-transposed qk-swapped qv-swapped kv-swapped values-are-inputs values-are-keys weights-reused qkv-interleaved
projection-activated logits-of-inputs reshaped-not-transposed
context-ignored context-swapped mix-transposed scale-heads scale-ignored softmax-over-heads softmax-over-batch
online-not-rescaled heads-summed heads-batch-mixed rope-axis rope-one-side rope-offset rope-on-values
bias-before-scale inputs-exchanged
bias-not-broadcast bias-transposed alibi-sign qk-norm-across-heads padding-inverted mask-of-another-item
mask-fill-too-small window-ignored sinks-ignored softcap-ignored lengths-off-by-one causal-off-by-one
weights-from-outputs scale-missing
scale-model-width scale-no-root scale-inverted scale-tokens scale-other scale-after-softmax softmax-axis
softmax-global
softmax-keepdims softmax-missing softmax-twice softmax-base-2 softmax-overflow heads-ignored heads-interleaved
heads-split-unmoved heads-merged-unmoved heads-averaged heads-share-weights heads-share-matrices heads-attend-heads
output-projection-missing output-projection-transposed bias-missing residual-added positions-added norm-added
dropout-active mask-inverted mask-ignored mask-added-as-number mask-after-softmax mask-on-queries mask-not-broadcast
mask-finite-fill mask-all-hidden-nan mask-leaks-nan causal-missing causal-reversed causal-strict causal-alignment
window-off-by-one softcap-order groups-tiled rope-layout batch-mixed lengths-ignored dtype-lowered input-changed
output-transposed weights-transposed-out weights-before-softmax tokens-scrambled unknown
"""

OPTIONS = ["mask", "bias", "slopes", "causal", "window", "align", "lengths", "scale", "temperature", "softcap"]
OPTIONS += ["cos", "sin", "interleaved"]
FACES = [
    Interface(
        "multi_head", frozenset(["X", "Wq", "Wk", "Wv", "Wo", "heads", "bq", "bk", "bv", "bo"]), frozenset(), "BND"
    ),
    Interface("attention", frozenset(["q", "k", "v", *OPTIONS]), frozenset("qkv"), "BHNd"),
    Interface("attention", frozenset(["q", "k", "v", "segments"]), frozenset("qkv"), "BHNd"),
]


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(5)
    tokens = next(probe.case for probe in probes(FACES[0], 0, rng) if probe.name == "plain")
    made = [probe.case for face in FACES for probe in probes(face, 0, rng)]
    b, n, width = tokens["X"].shape
    made += [tokens | {"context": rng.normal(size=(b, m, width))} for m in (n, n + 2)]
    made.append(tokens | {x: rng.normal(size=(b, n, width)) for x in ("context", "values")})
    q, k = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 3, 70, 4))
    k[..., -1, :] += 2 * q[..., 0, :]  # so that the last block of a running softmax has a maximum
    padding = rng.random((2, 1, 1, 70)) < 0.6
    sinks = {"q": q, "k": k, "v": k + 1, "sinks": rng.normal(size=(1, 3))}
    made.append({"q": q, "k": k, "v": k + 1, "padding": padding, "causal": True})
    return [*made, {"q": q, "k": k, "v": k + 1}, {"q": q, "k": k, "v": k + 1, "padding": padding}, sinks]


def test_every_stable_name_is_there():
    assert set(CATALOGUE) == set(CODES.split())


@pytest.mark.parametrize("entry", list(CATALOGUE.values()), ids=list(CATALOGUE))
def test_an_entry_is_whole(entry):
    assert all((entry.title.endswith("."), entry.formula, entry.symptom.endswith("."), entry.fix.endswith(".")))
    assert set(entry.operations) <= set(OPERATIONS)
    for change in entry.changes:
        assert {name.removeprefix("+") for name in change} <= set(STAGES)


def test_no_change_writes_into_what_an_evaluation_keeps(cases):
    """An evaluation begins with what the definition has up to the first change."""
    for entry in CATALOGUE.values():
        for case in cases[:2]:
            before = Explanation().answer(case)
            for change in entry.changes:
                Explanation((entry.code,), (change,)).answer(case)
            after = Explanation().answer(dict(case))
            again = Explanation(("context-ignored",), ({"+arrange": lambda t: None},)).answer(case)
            for one in (after, again):
                np.testing.assert_array_equal(one.output, before.output)


@pytest.mark.sampled
@pytest.mark.parametrize("code", [code for code, entry in CATALOGUE.items() if entry.changes])
def test_every_way_of_making_a_mistake_shows(code, cases):
    """On some probe the answer is another, in the output or in every array that may pass for the weights."""
    plain = [Explanation().answer(case) for case in cases]
    for change in CATALOGUE[code].changes:
        changed = [Explanation((code,), (change,)).answer(case) for case in cases]
        assert any(a is not None and _differ(a, b) for a, b in zip(changed, plain, strict=True))


@pytest.mark.parametrize(
    "code", [code for code, entry in CATALOGUE.items() if entry.level == "hazard" and entry.changes]
)
def test_a_hazard_changes_nothing_ordinary(code):
    """Else a function that is wrong could be called right but for this hazard."""
    rng = np.random.default_rng(5)
    faces = [*FACES, replace(FACES[1], takes=FACES[1].takes | {"sinks"})]
    edges = ("empty-rows", "hidden-nan", "large-logits", "float32")
    ordinary = [p.case for face in faces for n in (0, 1) for p in probes(face, n, rng) if p.name not in edges]
    for change in CATALOGUE[code].changes:
        for case in ordinary:
            plain, changed = Explanation().answer(case), Explanation((code,), (change,)).answer(case)
            if changed is not None:
                attends = plain.output.any(axis=-1)  # with more queries than keys, some may attend to nothing
                assert difference(changed.output[attends], plain.output[attends]) < 1e-9


def _differ(a, b):
    if difference(a.output, b.output) > PRECISIONS["float64"]:
        return True
    return all(difference(x, b.weights[-1]) > PRECISIONS["float64"] for x in a.weights)


def test_the_page_is_current():
    assert (DOCS / "mistakes.md").read_text() == mistakes_page()


def test_the_command_prints_the_page():
    command = [sys.executable, "-m", "headwise.checker.catalogue.docs"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == mistakes_page()
