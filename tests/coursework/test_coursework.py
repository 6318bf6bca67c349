import numpy as np
import pytest

from headwise.coursework.results import coursework
from headwise.data import LabelledImages, coursework_arrays
from headwise.errors import DataError, ShapeError
from headwise.explanation import pick_contrasting_examples


def test_the_coursework_on_our_own_arrays():
    study = coursework(coursework_arrays())
    assert [run.heads for run in study.runs] == [1, 3]
    assert study.permutations == 120
    for run in study.runs:
        assert run.result.weights.shape == (run.heads, 5, 5)
        assert max(run.equivariance) < 1e-14
        assert min(run.causal, run.positions) > 0.01
        assert run.leak == 0
        np.testing.assert_allclose(run.swapped.output, run.result.output[[1, 0, 2, 3, 4]], atol=1e-14)
    assert study.decomposition.error < 1e-14
    assert study.decomposition.products < 1e-14
    assert np.abs(study.runs[0].result.output - study.runs[1].result.output).max() > 0.1


@pytest.mark.exhaustive
def test_other_arrays_and_heads(rng):
    arrays = {"X": rng.normal(size=(8, 4)), **{n: rng.normal(size=(4, 4)) for n in ("Wq", "Wk", "Wv", "Wo")}}
    study = coursework(arrays, heads=(1, 2, 4), swap=(2, 7))
    assert study.permutations == 720  # of 40,320: drawn at random
    assert max(run.equivariance.output for run in study.runs) < 1e-13
    np.testing.assert_allclose(study.runs[2].swapped.output[2], study.runs[2].result.output[7], atol=1e-13)


def test_logits_and_values_of_any_size(rng):
    """Where rounding ends follows the numbers, and weights smaller than any number do no harm."""
    small = coursework_arrays()
    for name, factor in (("X", 20.0), ("Wq", 300.0), ("Wv", 1e8), ("Wv", 1e-12)):
        study = coursework(small | {name: small[name] * factor})
        assert max(max(run.equivariance) for run in study.runs) < study.rounding < 1e-6
        assert max(study.decomposition.error, study.decomposition.products) < study.rounding
        assert min(min(run.causal, run.positions) for run in study.runs) > study.rounding


def test_values_of_another_width_and_what_comes_after_the_heads(rng):
    arrays = {
        "X": rng.normal(size=(4, 6)),
        **{name: rng.normal(size=(6, 6)) for name in ("Wq", "Wk")},
        "Wv": rng.normal(size=(9, 6)),
        "Wo": rng.normal(size=(2, 9)),
        "bo": rng.normal(size=2),
    }
    study = coursework(arrays)
    assert study.runs[1].result.output.shape == (4, 2)
    assert max(max(run.equivariance) for run in study.runs) < study.rounding


def test_what_breaks_equivariance_is_told_apart(rng):
    equal = coursework_arrays() | {"X": np.ones((5, 6))}
    assert max(run.causal for run in coursework(equal).runs) < 1e-12
    assert min(run.positions for run in coursework(equal).runs) > 0.1
    even = coursework_arrays() | {name: np.zeros((6, 6)) for name in ("Wq", "Wk")}
    assert min(run.causal for run in coursework(even).runs) > 0.1
    assert max(run.positions for run in coursework(even).runs) < 1e-12


def test_the_mask_is_run_with_the_final_transformation(rng):
    arrays = coursework_arrays()
    turned = arrays | {"Wo": np.eye(6)[::-1].copy(), "bo": np.ones(6)}
    plain, other = (study.runs[1].causal for study in map(coursework, (arrays, turned)))
    assert plain != other  # bo is in the largest entry


def test_a_head_that_looked_at_anothers_rows_would_be_seen(monkeypatch):
    from headwise.coursework import results as module

    def mixing(X, arrays, heads):  # every head takes its logits from all rows
        logits = X @ arrays["Wq"].T @ arrays["Wk"] @ X.T
        return module.AttentionResult(logits @ X @ arrays["Wv"].T, np.zeros((heads, len(X), len(X))))

    monkeypatch.setattr(module, "multi_head", mixing)
    assert module._leak(coursework_arrays(), 3, np.random.default_rng(0)) > 0.1


def test_refusals(rng):
    arrays = coursework_arrays()
    with pytest.raises(DataError, match="swap: expected two different inputs from 0 to 4; got 0 and 5"):
        coursework(arrays, swap=(0, 5))
    with pytest.raises(ShapeError, match="heads: expected a divisor of the 6 rows"):
        coursework(arrays, heads=(1, 4))
    with pytest.raises(ShapeError, match="X: expected two tokens or more"):
        coursework(arrays | {"X": rng.normal(size=(1, 6))})
    with pytest.raises(ShapeError, match="X: expected one set of tokens"):
        coursework(arrays | {"X": rng.normal(size=(2, 5, 6))})


def test_telling_digits():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.99, 0.01]])
    data = LabelledImages(np.zeros((5, 28, 28), np.float32), np.array([0, 0, 0, 0, 0]))
    assert pick_contrasting_examples(p, data) == {"surest": 4, "least sure, yet right": 1, "surest mistake": 3}
    assert "surest mistake" not in pick_contrasting_examples(p[:2], LabelledImages(data.images[:2], data.labels[:2]))
