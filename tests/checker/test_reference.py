"""The reference that mistakes are put into, held to loops over numbers that share nothing with it."""

import numpy as np
import pytest

from headwise.checker.probes import Interface, probes
from headwise.checker.reference.definition import STAGES, build, evaluate, replaced, rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import unscaled
from headwise.checker.search.mistakes import Explanation, singles
from helpers.oracles import attention_loop, self_attention_loop

EVERYTHING = frozenset(["mask", "bias", "causal", "window", "align", "lengths", "scale", "softcap"])


@pytest.mark.parametrize("round_number", [0, 1])
def test_attention_equals_a_loop_on_every_probe(round_number):
    face = Interface("attention", EVERYTHING | {"q", "k", "v"}, frozenset("qkv"), "BHNd")
    for probe in probes(face, round_number, np.random.default_rng(3)):
        case = dict(probe.case)
        clean = {name: a for name, a in case.items() if name != "alone"} | {x: np.nan_to_num(case[x]) for x in "kv"}
        o, p, _ = attention_loop(clean.pop("q"), clean.pop("k"), clean.pop("v"), **clean)
        found = evaluate(case, build())
        np.testing.assert_allclose(found.output, o, atol=1e-10, err_msg=probe.name)
        np.testing.assert_allclose(found.weights[-1], p, atol=1e-10, err_msg=probe.name)


@pytest.mark.parametrize("heads", [1, 3])
def test_tokens_equal_a_loop_over_heads(heads):
    kind = "multi_head" if heads > 1 else "self_attention"
    names = frozenset(["X", "Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo"] + ["heads"] * (heads > 1))
    for probe in probes(Interface(kind, names, frozenset(), "ND", batched=True), 0, np.random.default_rng(4)):
        c = probe.case
        if probe.name == "float32":
            continue
        h = c.get("heads", 1)
        for item, output in zip(c["X"], evaluate(c, build()).output, strict=True):
            parts = [
                self_attention_loop(item, *(np.split(c[f"W{x}"], h)[i] for x in "qkv"), *(
                    np.split(c[f"b{x}"], h)[i] if f"b{x}" in c else None for x in "qkv"
                ))[0]
                for i in range(h)
            ]  # fmt: skip
            joined = np.hstack(parts)
            joined = joined @ c["Wo"].T if "Wo" in c else joined
            np.testing.assert_allclose(output, joined + c.get("bo", 0), atol=1e-10, err_msg=probe.name)


def test_rotary_layouts_are_each_others_permutation(rng):
    a, turns = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(5, 3))
    order = [0, 2, 4, 1, 3, 5]  # neighbours brought to halves
    halves = rotated_halves(a[..., order], np.cos(turns), np.sin(turns))
    np.testing.assert_allclose(rotated_neighbours(a, np.cos(turns), np.sin(turns))[..., order], halves, atol=1e-14)
    one = a[0, 0, 2, 0] + 1j * a[0, 0, 2, 1]
    turned = rotated_neighbours(a, np.cos(turns), np.sin(turns))[0, 0, 2, :2]
    np.testing.assert_allclose(turned, [(one * np.exp(1j * turns[2, 0])).real, (one * np.exp(1j * turns[2, 0])).imag])


def test_changes_are_put_where_they_say():
    log = []
    stages = build([{"scale": lambda t: log.append("instead")}, {"+scale": lambda t: log.append("after")}])
    assert STAGES["scale"] not in stages
    assert [stage(None) for stage in stages if stage not in STAGES.values() and "lambda" in stage.__name__]
    assert log == ["instead", "after"]


def test_two_changes_of_one_stage_cannot_be_made_together():
    assert not replaced([{"scale": print}]).isdisjoint(replaced([{"scale": print}]))
    assert replaced([{"scale": print}]).isdisjoint(replaced([{"+scale": print, "hide": print}]))


def _copied(case):
    """The same arguments as other objects, of which nothing is kept."""
    return {name: np.array(a) if isinstance(a, np.ndarray) else a for name, a in case.items()}


@pytest.mark.parametrize("kind", ["multi_head", "attention"])
def test_what_is_kept_of_one_evaluation_changes_no_other(kind):
    names = {
        "multi_head": ["X", "Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "heads", "mask"],
        "attention": [*"qkv", "mask"],
    }
    face = Interface(kind, frozenset(names[kind]), frozenset(), "BND" if kind == "multi_head" else "BHNd", batched=True)
    case = next(probe.case for probe in probes(face, 0, np.random.default_rng(5)) if "mask" in probe.case)
    changed = [Explanation(), *singles()]
    pairs = [one + other for one, other in zip(changed, changed[7:], strict=False) if one.goes_with(other)]
    assert len(pairs) > 50
    for explanation in (*changed, *pairs, *changed):
        found, expected = explanation.answer(case), explanation.answer(_copied(case))
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(found.output, expected.output, atol=1e-12, err_msg=str(explanation.codes))
            for got, weights in zip(found.weights, expected.weights, strict=True):
                np.testing.assert_allclose(got, weights, atol=1e-12, err_msg=str(explanation.codes))


def test_a_stage_runs_once_for_all_evaluations_that_come_to_it():
    case = {x: np.random.default_rng(6).normal(size=(1, 2, 3, 5)) for x in "qkv"}
    runs = []
    first = {"+scale": lambda t: runs.append("first")}
    for other in ({}, {"hide": lambda t: None}, {"+finish": lambda t: None}):
        evaluate(case, build([first, other]))
    assert runs == ["first"]
    assert evaluate(case, build([first])) is evaluate(case, build([first]))
    evaluate(_copied(case), build([first]))
    assert runs == ["first"] * 2


def test_stages_before_a_change_run_once_also_with_large_matrices(rng):
    calls = []

    def counted(t):
        calls.append(t)
        STAGES["project"](t)

    case = {"X": rng.normal(size=(2, 5, 512)), "heads": 4, **{f"W{x}": rng.normal(size=(512, 512)) for x in "qkv"}}
    first, second = (evaluate(case, build(({"project": counted}, *more))) for more in ((), ({"scale": unscaled},)))
    assert len(calls) == 1
    assert not np.allclose(first.output, second.output)
