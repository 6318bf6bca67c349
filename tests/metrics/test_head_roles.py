"""Roles of heads: hand-built ones are identified, and random ones have none."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from headwise.metrics import ROLES, TokenRoles, head_roles

N = 23
NONE = np.zeros(0, np.int64)
NO_DELIMITERS = NONE.astype(bool)


def normalized(matrix, floor=0.01):
    matrix = matrix + floor
    return matrix / matrix.sum(axis=-1, keepdims=True)


def sequence(ids=NONE, delimiters=NO_DELIMITERS, segments=NONE, n=N):
    return TokenRoles(np.arange(n)[:, None], np.zeros(n, bool), ids, delimiters, segments)


def column(key):
    return np.tile(np.eye(N)[key], (N, 1))


HAND_BUILT = {
    "previous": np.eye(N, k=-1),
    "next": np.eye(N, k=1),
    "self": np.eye(N),
    "offset": np.eye(N, k=-5),
    "local": sum(np.eye(N, k=k) for k in (-2, -1, 0, 1, 2)),
    "first": column(0),
    "outlier": column(7),
    "uniform": np.ones((N, N)),
}


@pytest.mark.parametrize("name", HAND_BUILT)
def test_hand_built_heads_are_identified(name):
    roles = head_roles(normalized(HAND_BUILT[name])[None, None], sequence())
    assert roles.name(0, 0) == name
    assert bool(roles.above_chance[0, 0]) == (name != "uniform")
    if name == "offset":
        assert roles.offsets[0, 0].tolist() == [-5]
    if name in ("first", "outlier"):
        assert roles.has[roles.names.index("sink"), 0, 0]
        assert roles.sinks[0, 0] == (0 if name == "first" else 7)


def test_equal_tokens_delimiters_and_alignment():
    ids = np.arange(N) % 8
    same = (ids[:, None] == ids) & ~np.eye(N, dtype=bool)
    assert head_roles(normalized(same)[None, None], sequence(ids)).name(0, 0) == "same"
    delimiters = np.isin(np.arange(N), (6, 13))
    assert head_roles(normalized(column(6) + column(13))[None, None], sequence(delimiters=delimiters)).name(0, 0) == (
        "delimiter"
    )
    segments = np.repeat([0, -1, 1], [11, 1, 11])
    partner = np.zeros((N, N))
    order = np.random.default_rng(0).permutation(11)
    partner[12 + np.arange(11), order] = partner[order, 12 + np.arange(11)] = 1
    roles = head_roles(normalized(partner)[None, None], sequence(segments=segments))
    assert roles.name(0, 0) == "alignment"
    assert roles.scores[roles.names.index("alignment"), 0, 0] == 1


def test_induction_is_measured_on_repeated_random_tokens():
    half = 12
    causal = np.tri(2 * half)
    induction = np.where(causal, 0.01, 0)
    induction[np.arange(half, 2 * half), np.arange(1, half + 1)] = 1
    even = causal / causal.sum(axis=1, keepdims=True)
    probe = np.stack([induction / induction.sum(axis=1, keepdims=True), even])[None]
    weights = np.tile(np.tri(N) / np.tri(N).sum(axis=1, keepdims=True), (1, 2, 1, 1))
    roles = head_roles(weights, sequence(), visible=np.tri(N, dtype=bool), probe=probe)
    assert [roles.name(0, head) for head in (0, 1)] == ["induction", "uniform"]


def test_a_causal_mask_makes_no_head_local():
    """An even spread over few visible tokens is near, but not more than chance."""
    weights = np.tri(N) / np.tri(N).sum(axis=1, keepdims=True)
    roles = head_roles(weights[None, None], sequence(), visible=np.tri(N, dtype=bool))
    assert not roles.above_chance.any()
    assert roles.name(0, 0) == "uniform"


def test_patches_have_neighbours_in_two_directions():
    cells = np.concatenate([[[0, 0]], np.stack(np.indices((5, 7)), axis=-1).reshape(-1, 2)])
    tokens = TokenRoles(cells, np.arange(36) < 1, NONE, NO_DELIMITERS, NONE)
    steps = cells[None] - cells[:, None]
    up = (steps == (-1, 0)).all(axis=-1)
    around = np.abs(steps).max(axis=-1) <= 1
    around[0] = around[:, 0] = up[0] = up[:, 0] = False
    roles = head_roles(normalized(np.stack([up, around]), 0.003)[None], tokens)
    assert [roles.name(0, head) for head in (0, 1)] == ["offset", "local"]
    assert roles.offsets[0, 0].tolist() == [-1, 0]


@pytest.mark.parametrize("concentration", [0.02, 0.3, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_at_most_five_percent_of_random_heads_have_a_role(rng, concentration, causal):
    weights = rng.gamma(concentration, size=(12, 12, N, N)) + 1e-30
    visible = np.tri(N, dtype=bool) if causal else None
    weights = weights * (np.tri(N) if causal else 1)
    weights /= weights.sum(axis=-1, keepdims=True)
    roles = head_roles(weights, sequence(rng.integers(0, 9, N), rng.random(N) < 0.1), visible=visible)
    assert roles.above_chance.mean() <= 0.05


def test_cross_attention_has_sinks_and_alignment(rng):
    aligned = normalized(np.eye(13)[[0, 1, 2, 4, 3, 5, 6, 8, 10, 9, 12]])
    roles = head_roles(np.stack([aligned, np.tile(normalized(np.eye(13)[4]), (11, 1))])[None], sequence(n=13))
    assert [roles.name(0, head) for head in (0, 1)] == ["alignment", "outlier"]
    assert set(roles.names) <= set(ROLES)
    score = roles.scores[roles.names.index("alignment"), 0]
    assert score[0] == pytest.approx(spearmanr(range(11), [0, 1, 2, 4, 3, 5, 6, 8, 10, 9, 12]).statistic)
    exact = spearmanr(range(11), [0, 1, 2, 4, 3, 5, 6, 8, 10, 9, 12], alternative="greater").pvalue
    assert roles.p_values[roles.names.index("alignment"), 0, 0] == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("shape", [(9, 150), (150, 9), (31, 29)])
def test_random_cross_attention_aligns_nothing(rng, shape):
    """Rows that differ little, as those of a model with random weights, and peaked ones."""
    q, k = rng.normal(size=(4, 7, shape[0], 5)), rng.normal(size=(4, 7, shape[1], 5))
    for scale in (0.01, 3):
        shares = np.exp(scale * np.einsum("lhnd,lhmd->lhnm", q, k))
        roles = head_roles(shares / shares.sum(axis=-1, keepdims=True), sequence(n=shape[1]))
        assert not roles.has[roles.names.index("alignment")].any()
