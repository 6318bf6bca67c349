"""Caches of keys and values: a step with one gives what the pass over all tokens gives, or that is a mistake."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.cached_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and what is not tested
VERDICTS = {
    "PairOfArguments": ((), ()),
    "PairOfArgumentsSeesLater": (("causal-missing",), ()),
    "PairOfArgumentsOnlyCausalWithCache": (("causal-missing",), ()),
    "UnsplitPair": ((), ()),
    "UnsplitPairUnaligned": (("causal-alignment",), ()),
    "OwnCache": ((), ()),
    "OwnCacheUnaligned": (("causal-alignment",), ()),
    "OwnCacheOverwritten": (("unknown",), ()),
    "PositionAlone": ((), ("start_pos",)),
    "DictCache": ((), ()),
    "DictCacheValuesLost": (("unknown",), ()),
    "ObjectCache": ((), ()),
    "ObjectCacheSwapped": (("unknown",), ()),
    "ListCache": ((), ()),
    "ListCacheReversed": (("unknown",), ()),
    "FlaggedCache": ((), ()),
    "FlaggedCacheUnread": (("unknown",), ()),
    "RotaryCache": ((), ()),
    "RotaryCacheFromFirst": (("rope-offset",), ()),
    "RotaryCacheQueriesFromFirst": (("rope-offset",), ()),
    "SharedCache": ((), ()),
    "RoomCache": ((), ()),
    "RoomCacheMoved": (("unknown",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    verdict = hw.check(getattr(layers, name))
    assert (verdict.mistakes, verdict.untested) == VERDICTS[name]


def test_an_empty_cache_is_of_the_class_of_the_file():
    layers = pytest.importorskip("layers.file_cache_layers")
    verdicts = {name: hw.check(getattr(layers, name)) for name in ("Annotated", "NamedAlone", "AnnotatedUnaligned")}
    assert {name: verdict.mistakes for name, verdict in verdicts.items()} == {
        "Annotated": (),
        "NamedAlone": (),
        "AnnotatedUnaligned": ("causal-alignment",),
    }
    assert not any(verdict.untested for verdict in verdicts.values())


@pytest.mark.parametrize("name", ["RotaryCacheStale", "OwnCacheFrozen", "DictCacheStale"])
def test_a_call_that_disturbs_later_ones_is_a_mistake(name):
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == ("unknown",)
    assert any(note.startswith("Its result depends on earlier calls: ") for note in verdict.notes)


REMEMBERING = {
    "Remembering": (),
    "RememberingRotary": (),
    "RememberingRotaryFromFirst": ("rope-offset",),
    "RememberingUnaligned": ("causal-alignment",),
    "RememberingSwapped": ("unknown",),
    "InEvaluation": (),
    "OnDemand": (),
    "OnDemandUnaligned": ("causal-alignment",),
    "OfArrays": (),
    "OfArraysUnaligned": ("causal-alignment",),
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_cache_that_a_method_empties_is_empty_at_the_beginning(name):
    from layers import remembering_layers

    assert hw.check(getattr(remembering_layers, name)).mistakes == REMEMBERING[name]
