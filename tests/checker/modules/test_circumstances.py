"""Circumstances that should change nothing: training, many tokens, one token, weights that nobody asks for."""

import pytest

import headwise as hw

torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")
layers = pytest.importorskip("layers.circumstances_layers")
pytestmark = pytest.mark.parity

# class: the circumstance that the notes name
WRONG = {
    "WrongScaleInTraining": "In training mode, without dropout, it returns another output.",
    "MaskWithWeightsOnly": "With need_weights=False it returns another output.",
    "MostlyCausal": "With 64 tokens it returns another output.",
    "LargestEight": "With 64 tokens it returns another output.",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_differs_is_named(name):
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == ("unknown",)
    assert WRONG[name] in verdict.notes


@pytest.mark.parametrize("name", ["Usual", "WideWindow"])
def test_what_does_not_differ_is_right(name):
    assert hw.check(getattr(layers, name)).ok


def test_a_wide_window_is_measured():
    verdict = hw.check(layers.WideWindow)
    assert "window-built-in" in verdict.conventions
    assert any("20 before and 20 after" in phrase for phrase in verdict.phrases)


def test_masks_of_another_type_are_listed():
    untested = hw.check(layers.NumbersOnly).untested
    assert "attn_mask with True and False, which it does not treat alike" in untested


def test_several_new_tokens_next_to_a_cache_are_listed():
    untested = hw.check(layers.CausalAtFirst).untested
    assert "several new tokens at once with earlier ones in its cache, which get other outputs" in untested


def test_norms_and_scales_that_change_nothing_are_listed():
    untested = hw.check(layers.UnusedParts).untested
    assert {"norm_of_queries, which changes no output", "logit_scale, which changes no output"} == set(untested)


WRAPPERS = {
    "compiled": lambda m: torch.compile(m, backend="eager"),
    "for several devices": torch.nn.DataParallel,
    "with norms of its weights": lambda m: made_of_others(m, torch.nn.utils.parametrizations.weight_norm),
    "with norms of its weights by hooks": lambda m: made_of_others(m, torch.nn.utils.weight_norm),
    "with spectral norms": lambda m: made_of_others(m, torch.nn.utils.parametrizations.spectral_norm),
    "with spectral norms by hooks": lambda m: made_of_others(m, torch.nn.utils.spectral_norm),
    "pruned": lambda m: made_of_others(m, lambda part: prune.l1_unstructured(part, "weight", 0.2)),
    "in half precision": lambda m: m.bfloat16(),
}


def made_of_others(module, change):
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            change(part)
    return module


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_module_is_checked_as_it_is(wrap):
    module = layers.Usual(24, 3)
    assert hw.check(wrap(module)).conventions == hw.check(layers.Usual(24, 3)).conventions
    wrapped = wrap(layers.Usual(24, 3))
    tokens = torch.ones(1, 4, 24, dtype=next(wrapped.parameters()).dtype)
    before = wrapped.eval()(tokens)
    assert hw.check(wrapped).ok
    assert torch.equal(wrapped(tokens), before)
