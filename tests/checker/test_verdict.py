"""What a verdict rests on and how it reads."""

import json
from functools import cache

import numpy as np
import pytest

import headwise as hw
from headwise.checker import CATALOGUE, CheckError, Verdict
from headwise.checker.search.effort import evaluations, limited_evaluations
from headwise.errors import DataError
from planted import handwritten


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def unscaled(X, Wq, Wk, Wv):
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    S = Q @ K.T
    return softmax(S) @ V


def squashed(X, Wq, Wk, Wv):
    return np.sin(softmax(X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))) @ X @ Wv.T)


@cache
def check_squashed():
    return hw.check(squashed)


@pytest.mark.parametrize("function", [hw.self_attention, hw.multi_head_attention, hw.attention])
def test_our_own_are_right(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert verdict.difference < 1e-9
    assert all(result.agrees for result in verdict.probes)
    assert all(p.holds for p in verdict.properties)


MARKS = {handwritten.two_sides: pytest.mark.whole_search}


@pytest.mark.sampled
@pytest.mark.parametrize(
    "function", [pytest.param(f, marks=MARKS.get(f, ())) for f in handwritten.EXPECTED], ids=lambda f: f.__name__
)
def test_mistakes_as_people_write_them(function):
    verdict = hw.check(function)
    assert {*verdict.mistakes, *verdict.hazards} == handwritten.EXPECTED[function]


def test_an_explanation_must_hold_on_inputs_it_was_not_chosen_on():
    """Right in the sizes of the second round, unscaled in those of the first: neither right nor unscaled."""

    def sometimes(X, Wq, Wk, Wv):
        return unscaled(X, Wq, Wk, Wv) if len(X) == 5 else hw.self_attention(X, Wq, Wk, Wv).output

    assert hw.check(sometimes, source="").mistakes == ("unknown",)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda o: o * (1 + 1e-5), {"unknown"}),  # near, and not what rounding does
        (lambda o: o.astype(np.float32), {"dtype-lowered"}),
        (lambda o: o.astype(np.float32).astype(float), {"dtype-lowered"}),
        (lambda o: o.astype(np.float16), {"dtype-lowered"}),
        (lambda o: o * (1 + 1e-6 * np.random.default_rng().normal()), {"unknown"}),
        (lambda o: np.full_like(o, np.nan), {"unknown"}),
        (lambda o: o[..., :0], {"unknown"}),
        (lambda o: o * 1e300, {"unknown"}),
        (lambda o: np.ma.array(o), set()),
        (lambda o: o.astype(object), set()),
    ],
)
def test_what_is_near_is_not_the_same(change, codes):
    verdict = hw.check(lambda X, Wq, Wk, Wv: change(hw.self_attention(X, Wq, Wk, Wv).output), source="")
    assert {*verdict.mistakes, *verdict.hazards} == codes
    assert verdict.report()


def test_what_refuses_ordinary_inputs_is_not_right():
    calls = iter(range(1000))

    def f(X, Wq, Wk, Wv):
        if next(calls) % 5 == 4:
            raise RuntimeError("now and then")
        return hw.self_attention(X, Wq, Wk, Wv).output

    assert hw.check(f, source="").mistakes == ("unknown",)


@pytest.mark.whole_search
def test_three_mistakes_at_once():
    def f(X, Wq, Wk, Wv):
        return softmax((X @ Wq @ (X @ Wk).T).T).T @ X @ Wv

    assert hw.check(f, weights="out-in").mistakes == ("weights-transposed", "scale-missing", "softmax-axis")


def test_values_without_influence_are_reported():
    def squashed_keys(q, k, v):
        return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ np.tanh(k[..., : v.shape[-1]])

    verdict = hw.check(squashed_keys)
    assert verdict.mistakes == ("unknown",)
    assert "The values have no influence on any output." in verdict.notes


def test_a_failure_of_the_check_itself_is_one_of_our_errors(monkeypatch):
    def fail(*_):
        raise ValueError("no reason")

    monkeypatch.setattr("headwise.checker.core.to_verdict", fail)
    with pytest.raises(CheckError, match=r"unscaled failed with ValueError: no reason.*adapter="):
        hw.check(unscaled)


@pytest.mark.whole_search
def test_beyond_the_limit_only_single_mistakes_are_named():
    with limited_evaluations(-20_000):  # two mistakes have so many more
        assert hw.check(unscaled).mistakes == ("scale-missing",)
        assert hw.check(handwritten.two_sides).mistakes == ("unknown",)
    assert set(hw.check(handwritten.two_sides).mistakes) == {"scale-inverted", "softmax-axis"}


def test_unknown_comes_with_facts_and_an_example():
    verdict = check_squashed()
    assert verdict.mistakes == ("unknown",)
    holds = {p.name: p.holds for p in verdict.properties}
    assert holds["permutation-equivariant"]
    assert holds["shift-invariant"]
    assert not holds["linear-in-values"]
    assert not holds["rows-sum-to-one"]
    assert verdict.example is not None
    assert verdict.example.expected != verdict.example.got


def test_scrambled_tokens_are_told_from_the_rest():
    def f(X, Wq, Wk, Wv):
        return np.cumsum(hw.self_attention(X, Wq, Wk, Wv).output, axis=0)

    assert hw.check(f, source="").mistakes == ("tokens-scrambled",)


def test_the_example_is_small_and_true():
    """Two or three tokens, whole numbers, and the definition's answer and the function's own."""
    example = hw.check(unscaled).example
    X, Wq, Wk, Wv = (np.array(json.loads(_commas(text)), float) for _, text in example.inputs)
    assert len(X) in (2, 3)
    with np.printoptions(precision=3, suppress=True):
        assert example.expected == str(hw.self_attention(X, Wq, Wk, Wv).output)
        assert example.got == str(unscaled(X, Wq, Wk, Wv))


def _commas(text):
    return ",".join(text.split()).replace("[,", "[")


def test_the_place_in_the_source():
    place, = hw.check(unscaled).locations  # fmt: skip
    assert place.text == "S = Q @ K.T"
    source = "# a comment\n\ndef unscaled(X, Wq, Wk, Wv):\n    return X\n"
    assert hw.check(unscaled, source=source).locations == ()


def merged_unmoved(X, Wq, Wk, Wv, heads):
    Q, K, V = (np.moveaxis((X @ W.T).reshape(len(X), heads, -1), 1, 0) for W in (Wq, Wk, Wv))
    O = softmax(Q @ K.swapaxes(1, 2) / np.sqrt(Q.shape[-1])) @ V
    return O.reshape(len(X), -1)


def without_output(X, Wq, Wk, Wv, Wo, heads):
    Q, K, V = (np.moveaxis((X @ W.T).reshape(len(X), heads, -1), 1, 0) for W in (Wq, Wk, Wv))
    O = softmax(Q @ K.swapaxes(1, 2) / np.sqrt(Q.shape[-1])) @ V
    return np.moveaxis(O, 0, 1).reshape(len(X), -1)


def masked_after(q, k, v, mask):
    weights = softmax(np.where(True, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), 0))
    weights = weights * mask
    return weights @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "line"),
    [
        (merged_unmoved, "return O.reshape"),
        (without_output, "return np.moveaxis"),
        (masked_after, "weights * mask"),
        (handwritten.student_a, "Q, K, V = X @ Wq"),
        (handwritten.student_b, "weights = np.exp(scores)"),
        (handwritten.student_c, "np.sqrt(D)"),
        (handwritten.student_d, "reshape(B, num_heads, N"),
        (handwritten.student_g, "+ x"),
        (handwritten.causal_a, "np.triu"),
        (handwritten.causal_b, "np.tril"),
        (handwritten.grouped, "np.concatenate([k]"),
        (handwritten.rooted, "/ queries.shape[-1]"),
    ],
)
def test_places_of_mistakes_as_people_write_them(function, line):
    assert any(line in place.text for place in hw.check(function, weights="out-in").locations)


def test_the_text_says_what_it_is_what_it_should_be_and_where():
    text = hw.check(unscaled).report()
    for part in ("scale-missing", CATALOGUE["scale-missing"].title, CATALOGUE["scale-missing"].formula, "S = Q @ K.T"):
        assert part in text
    assert "expected" in text
    assert "got" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_text_for_what_is_right_says_what_was_verified():
    verdict = hw.check(hw.self_attention)
    text = verdict.report()
    assert "is right" in text
    assert f"all {verdict.inputs} inputs" in text
    assert "logits in the thousands" in text


def test_markdown_and_json():
    verdict = check_squashed()
    assert verdict.report("markdown").startswith("## squashed is not self-attention")
    assert json.loads(verdict.report("json"))["mistakes"] == ["unknown"]
    assert Verdict.from_json(verdict.report("json")) == verdict
    with pytest.raises(DataError, match="format: expected one of text, markdown, json"):
        verdict.report("html")


def test_the_same_verdict_every_time():
    assert hw.check(unscaled) == hw.check(unscaled)


@pytest.mark.whole_search
@pytest.mark.parametrize(
    ("function", "most"), [(squashed, 15_000), (handwritten.masked_a, 1_000), (hw.attention, 2_000)]
)
def test_a_check_is_quick(function, most):
    before = evaluations()  # of some 0.1 ms, however busy the machine is
    hw.check(function)
    assert evaluations() - before < most
