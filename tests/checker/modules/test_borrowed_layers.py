"""Layers as packages have them: what is optional, set by flags or by the configuration."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.measurement.influence import sees_by_place
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.borrowed_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "OfTupleOrTokens": ((), ()),
    "FlagOfContext": ((), ()),
    "FlagOfKeys": ((), ()),
    "ContextIgnored": (("context-ignored",), ()),
    "CausalByAttribute": ((), ("causal-unasked",)),
    "NamelessFused": ((), ()),
    "NormedHeads": ((), ("qk-norm", "unscaled")),
    "NormedHeadsScale": (("scale-missing",), ("qk-norm",)),
    "ScaleOfOne": ((), ("unscaled",)),
    "CapOfWords": ((), ()),
    "HalfRotated": ((), ("rope",)),
    "Packed": ((), ("rope",)),
    "PackedOfNeighbours": ((), ("rope",)),
    "ColumnsAndResidual": ((), ("tokens-as-columns", "residual-inside")),
    "AddsPositions": ((), ()),
    "AddsPositionsToValues": (("unknown",), ()),
    "NormOfQueriesTwice": (("unknown",), ("qk-norm",)),
    "RotaryWithoutContext": ((), ("rope-without-context",)),
    "RotaryWithoutContextScaledTwice": (("scale-no-root",), ("rope",)),
    "NormsNotUsed": ((), ()),
    "DropsWhereLong": (("dropout-active",), ()),
    "NamelessGroups": ((), ()),
    "TiledGroups": (("groups-tiled",), ()),
    "MaskOfTargets": (("mask-on-queries",), ()),
}

# in no way that the catalogue has
ROTATES = """
import torch
from layers.borrowed_layers import Fused

class Turned(Fused):
    def rotate_half(self, a):
        return torch.cat([-a[..., 4:], a[..., :4]], dim=-1)

    def forward(self, x):
        q, k, v = self.heads(x)
        angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] ** 1.5
        q = q * angles.cos() + self.rotate_half(q) * angles.sin()
        return self.mixed(q, k * angles.cos(), v)
"""


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_a_norm_that_is_not_used_next_to_one_that_is():
    report = hw.check(layers.NormOfQueriesTwice).report()
    assert "its outputs are those of multi-head attention, but:" in " ".join(report.split())
    assert report.count("k_norm changes no output, and another norm of queries and keys does.") == 1
    assert "no entry of the catalogue" not in report


def test_an_optional_context_of_another_width_is_passed():
    verdict = hw.check(layers.NarrowContext())
    assert verdict.ok
    assert "context" not in verdict.untested


def test_positions_of_a_context_are_tested():
    assert not {"pos", "query_pos"} & set(hw.check(layers.AddsPositions).untested)


def test_rotations_in_an_installed_package_are_seen():
    names = {"__name__": "package.layers"}
    exec(compile(ROTATES, "/lib/site-packages/package/layers.py", "exec"), names)
    assert hw.check(names["Turned"](24, 3)).mistakes == ("unknown",)


@pytest.mark.parametrize(
    ("attended", "by_place"),
    [
        (np.kron(np.eye(2, dtype=bool), np.ones((3, 3), bool)), True),  # windows
        (np.tril(np.ones((5, 5), bool)), True),
        (np.ones((5, 5), bool), False),
        (np.eye(5, dtype=bool)[[1, 0, 2, 4, 3]], False),
    ],
)
def test_tokens_that_see_by_place_are_not_scrambled(attended, by_place):
    assert sees_by_place(attended) == by_place
