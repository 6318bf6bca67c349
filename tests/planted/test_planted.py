"""Every planted mistake is named exactly, no correct function is accused, and of two mistakes both are named."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker import CATALOGUE
from planted import correct, mutants, pairs

UNPLANTABLE = {"unknown", "tokens-scrambled"}  # what is left when nothing explains; see tests/checker/test_verdict.py


def each_in_three_styles():
    """Style, kind and code: each code in three styles, the kinds taken in turn."""
    for place, code in enumerate(CATALOGUE):
        if code in UNPLANTABLE:
            continue
        kinds = mutants.kinds_of(code)
        styles = list(mutants.STYLES)
        if any(code in codes for codes in mutants.SPECIAL.values()):
            styles.remove("columns")
        elif kinds != ["attention"]:
            styles.pop(place % 3)  # three are enough, and columns are one of them where they can be
        for number, style in enumerate(styles):
            fitting = [kind for kind in kinds if style != "columns" or kind != "attention"]
            if fitting:
                yield style, fitting[(place + number) % len(fitting)], code


def test_every_entry_is_planted_in_three_styles():
    planted = list(each_in_three_styles())
    for code in CATALOGUE.keys() - UNPLANTABLE:
        assert len({style for style, _, planted_code in planted if planted_code == code}) >= 3


def is_fast(place, number, styles):
    """Whether a version is in the fast tests: one of each, of the styles in turn, but not loops, the slowest."""
    several = [n for n, style in enumerate(styles) if style != "loops"] or [0]
    return number == several[place % len(several)]


def one_style_in_the_fast_tests():
    """The planted versions in turn: of each mistake, another style is in the fast tests."""
    versions = {}
    for style, kind, code in each_in_three_styles():
        versions.setdefault(code, []).append((style, kind))
    for place, (code, several) in enumerate(versions.items()):
        for number, (style, kind) in enumerate(several):
            marks = () if is_fast(place, number, [s for s, _ in several]) else pytest.mark.exhaustive
            yield pytest.param(style, kind, code, marks=marks)


@pytest.mark.parametrize(("style", "kind", "code"), list(one_style_in_the_fast_tests()))
def test_a_planted_mistake_is_named_and_nothing_else(style, kind, code):
    verdict = hw.check(mutants.plant(style, kind, [code]), weights="out-in", mask="attends")
    assert verdict.mistakes + verdict.hazards == (code,)
    assert verdict.ok == (CATALOGUE[code].level == "hazard")


def each_presentation_in_one_style():
    """Right functions: of each kind and presentation, another style is in the fast tests."""
    versions = {}
    for style, kind, name, function in correct.presented():
        versions.setdefault((kind, name), []).append((style, function))
    for place, ((kind, name), several) in enumerate(versions.items()):
        for number, (style, function) in enumerate(several):
            marks = () if is_fast(place, number, [s for s, _ in several]) else pytest.mark.exhaustive
            yield pytest.param(function, marks=marks, id=f"{style}, {kind}, {name}")
    for function in correct.UNUSUAL:
        marks = pytest.mark.exhaustive if function is correct.sigmoids_of_differences else ()  # N³ exponentials
        yield pytest.param(function, marks=marks, id=getattr(function, "__name__", None))


@pytest.mark.sampled
@pytest.mark.parametrize("function", list(each_presentation_in_one_style()))
def test_a_correct_function_is_not_accused(function):
    verdict = hw.check(function)
    assert verdict.ok, verdict.mistakes
    assert verdict.mistakes + verdict.hazards == ()
    assert verdict.difference < 1e-3
    assert verdict.inputs >= 8


@pytest.mark.exhaustive  # tests/checker/test_verdict.py has functions with two and three mistakes
def test_of_two_mistakes_both_are_named():
    """A sample; `benchmarks/checker.py` does three hundred."""
    sample = pairs.random_pairs(20, seed=11)
    verdicts = [hw.check(mutants.plant(s, k, codes), weights="out-in", mask="attends") for s, k, *codes in sample]
    both = [{*v.mistakes, *v.hazards} == {*codes} for v, (_, _, *codes) in zip(verdicts, sample, strict=True)]
    assert both.count(False) <= 2


@pytest.mark.whole_search
@pytest.mark.parametrize(
    ("style", "kind", "codes"),
    [
        # the scale that the attention weights show is that of an entry, and is not named in its place
        ("matrices", "attention", ["scale-inverted", "causal-alignment"]),
        ("einsums", "self_attention", ["scale-other", "weights-from-outputs"]),
        # seen only next to another way to write the definition
        ("einsums", "attention", ["mask-on-queries", "mask-fill-too-small"]),
        ("einsums", "self_attention", ["residual-added", "norm-added"]),  # both in forms that are not the usual ones
        ("columns", "self_attention", ["residual-added", "norm-added"]),
    ],
)
def test_two_mistakes_of_which_one_hides_the_other_are_named(style, kind, codes):
    verdict = hw.check(mutants.plant(style, kind, codes), weights="out-in", mask="attends")
    assert verdict.mistakes + verdict.hazards == tuple(codes)
    assert not verdict.notes or "scale-other" in codes


def test_dropout_is_named_next_to_weights_that_are_computed_from_the_outputs():
    planted = mutants.plant("matrices", "multi_head", ["weights-from-outputs", "dropout-active"])
    assert hw.check(planted, weights="out-in").mistakes == ("dropout-active", "weights-from-outputs")


def test_dropout_is_named_next_to_weights_that_nothing_explains():
    planted = mutants.plant("matrices", "multi_head", ["dropout-active"], weights=True)

    def with_other_weights(X, Wq, Wk, Wv, Wo, heads):
        output, weights = planted(X, Wq, Wk, Wv, Wo, heads)
        return output, np.cos(weights)

    verdict = hw.check(with_other_weights, weights="out-in")
    assert verdict.mistakes == ("dropout-active",)
    assert "The weights that it returns are not explained." in verdict.notes


@pytest.mark.parametrize(
    ("style", "kind", "codes", "shows"),
    [
        ("einsums", "attention", ["kv-swapped", "causal-alignment"], False),  # refuses other numbers of keys
        pytest.param(  # returns the softmax
            "loops", "multi_head", ["softmax-over-heads", "weights-before-softmax"], False, marks=pytest.mark.exhaustive
        ),
        ("loops", "multi_head", ["scale-missing", "weights-before-softmax"], True),
        pytest.param("loops", "attention", ["bias-transposed", "mix-transposed"], True, marks=pytest.mark.exhaustive),
        ("matrices", "self_attention", ["scale-missing", "input-changed"], True),
        ("matrices", "self_attention", ["scale-other", "softmax-base-2"], False),  # another scale
        ("einsums", "self_attention", ["softmax-overflow", "projection-activated"], False),  # another rounding
    ],
)
def test_a_mistake_that_shows_next_to_no_other_is_not_asked_for(style, kind, codes, shows):
    assert pairs.all_show(style, kind, codes) == shows
