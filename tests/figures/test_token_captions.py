"""Captions of texts and series: every number is recomputed from the saved arrays, and another model has others."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from headwise.figures import CaptionedFigure, select_figures
from helpers.captions import all_values
from helpers.factories import SCORE, make_dependence, make_record, make_series_record, make_text_record
from helpers.recomputed_tokens import RecomputedTokens


def words(text):
    return text.split()


SENTENCE = words("[CLS] the cat saw the dog the dog saw the cat . [SEP]")
PAIR = words("[CLS] a small cat sat on the mat . [SEP] one feline rests upon this rug , now [SEP]")
REPEATED = words("red blue seven tree house door red blue seven tree house door red blue seven tree house")


def sentence(rng):
    t, same = len(SENTENCE), np.array([[a == b for b in SENTENCE] for a in SENTENCE])
    last, first = np.zeros((2, t, t), bool)
    last[:, -2:], first[:, 0] = True, True
    heads = {(0, 0): np.eye(t, k=-1), (0, 1): same & ~np.eye(t, dtype=bool), (1, 0): last, (1, 1): first}
    return make_text_record(rng, SENTENCE, heads, value_norms=rng.uniform(1, 3, (2, 2, t)), label=2)


def pair(rng):
    t, segments, cat = len(PAIR), np.full(len(PAIR), -1), np.zeros((len(PAIR), len(PAIR)), bool)
    segments[1:9], segments[10:18], cat[:, 3] = 0, 1, True
    aligned = np.eye(t, k=9, dtype=bool) | np.eye(t, k=-9, dtype=bool)
    dependence = make_dependence(rng, range(t - 3), map="leave-one-out", audited=0)
    heads = {(0, 0): aligned, (1, 0): cat, (1, 1): np.ones((t, t))}
    return make_text_record(rng, PAIR, heads, segments=segments, dependence=dependence)


def causal(rng):
    t, half = len(REPEATED), 11
    probe = rng.dirichlet(np.full(2 * half, 0.7), (2, 2, 2 * half))
    probe[1, 1] += 20 * np.eye(2 * half, k=1 - half)
    probe = np.tril(probe)
    probe /= probe.sum(axis=-1, keepdims=True)
    first = np.zeros((t, t), bool)
    first[:, 0] = True
    heads = {(0, 0): np.eye(t, k=-1), (0, 1): np.ones((t, t)), (1, 0): first, (1, 1): np.eye(t, k=-6)}
    return make_text_record(
        rng, REPEATED, heads, visible=np.tri(t, dtype=bool), probe=probe.astype(np.float32), next_token=True,
        top_names=("“door”", "“red”"), value_norms=rng.uniform(1, 3, (2, 2, t)),
        dependence=make_dependence(rng, range(t)),
    )  # fmt: skip


def windowed(rng):
    """Causal, and in the first layer with a window of four tokens."""
    t = len(REPEATED)
    visible = np.stack([np.tri(t, dtype=bool) & ~np.tri(t, k=-4, dtype=bool), np.tri(t, dtype=bool)])
    heads = {(0, 0): np.eye(t, k=-1), (0, 1): visible[0], (1, 0): visible[1], (1, 1): np.eye(t, k=-5)}
    return make_text_record(rng, REPEATED, heads, visible=visible, next_token=True, top_names=("“door”", "“red”"))


def many_heads(rng):
    """More heads than are drawn."""
    t, first = len(REPEATED), np.zeros((17, 17), bool)
    first[:, 0] = True
    heads = {(0, 3): np.eye(t, k=-1), (2, 1): np.eye(t, k=1), (4, 6): first, (1, 2): np.ones((t, t))}
    return make_text_record(rng, REPEATED, heads, shape=(5, 7), label=2)


def long_series(rng):
    """Of more heads than are drawn."""
    outlier = np.arange(13) == np.full((13, 1), 4)
    return make_series_record(rng, 13, {(0, 2): outlier, (3, 1): np.eye(13, k=3), (4, 4): np.eye(13)}, shape=(5, 7))


def series(rng):
    t = 13
    outlier = np.zeros((t, t), bool)
    outlier[:, 4] = True
    heads = {(0, 0): outlier, (0, 1): np.eye(t, k=3), (1, 1): np.eye(t)}
    record = make_series_record(rng, t, heads, label=1, dependence=make_dependence(rng, range(t)))
    curves = np.sort(rng.random((2, 5, t + 1)))[:, :, ::-1]
    return replace(record, faithfulness=SCORE, ranking=record.last_layer_map, curves=curves)


def cut(rng):
    """A text of which the model reads the beginning."""
    record = pair(rng)
    return replace(record, text=record.text.removesuffix(" [SEP]") + " and so on [SEP]")


MANY = {"many heads": many_heads, "long series": long_series}
RECORDS = {
    "sentence": sentence, "pair": pair, "cut": cut, "causal": causal, "windowed": windowed, "series": series
}  # fmt: skip


def heads_drawn(figure):
    """Layer and head of each panel, from what is written at it."""
    titles = [text.get_text() for text in figure.findobj(Text)]
    found = [re.match(r"layer (\d+), head (\d+)", title) for title in titles]
    labels = [axes.get_yticklabels() for axes in figure.axes]
    found += [re.fullmatch(r"(\d+)\.(\d+)", one[0].get_text()) for one in labels if len(one) == 1]
    return sorted({(int(match[1]), int(match[2])) for match in found if match})


def test_a_text_that_is_not_read_to_its_end_is_named(rng):
    record = cut(rng)
    texts = [figure.caption.text(full=full) for figure in select_figures(record, "maps") for full in (False, True)]
    read, length = record.text.index(" and so on"), len(record.text)
    assert all(f"The model reads the first {read} of the text's {length} characters." in text for text in texts)
    assert not pair(rng).is_cut


@pytest.mark.sampled
@pytest.mark.parametrize("name", [*RECORDS, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in MANY)])
def test_every_number_is_recomputed_from_the_saved_arrays(rng, tmp_path, name):
    for figure in select_figures((RECORDS | MANY)[name](rng), "all"):
        shown = heads_drawn(figure.draw()) if name in MANY and figure.kind in ("maps", "matrices", "lines") else None
        assert shown is None or 4 <= len(shown) <= 8
        figure.caption.save(tmp_path / "a")
        figure.record.save(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as saved:
            facts = RecomputedTokens(saved, figure.kind, shown).facts
        parts = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        assert {"short", "What it shows for this input"} <= parts.keys()
        stated = {name: value for part in parts.values() for s in part for name, value in s["values"].items()}
        assert len(stated) > (3 if figure.kind in ("roles", "lines") else 8), figure.kind
        for fact, value in stated.items():
            expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-6)
            assert facts[fact] == expected, (figure.kind, fact)


def test_the_planted_roles_are_named(rng):
    expected = {
        "sentence": {"previous", "same", "delimiter", "first"},
        "pair": {"alignment", "outlier", "uniform"},
        "causal": {"previous", "uniform", "first", "induction"},
        "windowed": {"previous", "uniform", "offset"},
        "series": {"outlier", "offset", "self"},
    }
    for name, roles in expected.items():
        record = RECORDS[name](rng)
        assert {record.roles.name(*head) for head in np.ndindex(2, 2)} - {""} == roles, name
        phrases = {record.role_phrase(head) for head in np.ndindex(2, 2)}
        assert ("induction, on repeated text" in phrases) == ("induction" in roles)
        assert not [phrase for phrase in phrases if "-" in phrase]


@pytest.mark.parametrize("name", RECORDS)
def test_another_model_has_another_caption(rng, name):
    for figure in select_figures(RECORDS[name](rng), "all"):
        record = figure.record
        visible = record.visible_by_layer[:, None].astype(float)
        uniform = np.broadcast_to(visible / visible.sum(axis=-1, keepdims=True), record.weights.shape)
        other = CaptionedFigure(replace(record, weights=uniform.astype(np.float32)), figure.kind)
        if figure.kind not in ("dependence", "deletion"):  # which do not show the weights
            assert other.caption.text() != figure.caption.text()
            assert all_values(other.caption) != all_values(figure.caption)


def test_tokens_of_a_text_are_named_by_their_text(rng):
    record = sentence(rng)
    for kind, start in (
        ("rollout", "the largest weight is on token"),
        ("maps", "of its weight on the text is on token"),
    ):
        full = " ".join(CaptionedFigure(record, kind).caption.text(full=True).split())
        number, word = full.partition(f"{start} ")[2].split()[:2]
        assert word.strip(":.;") == f"“{SENTENCE[int(number)]}”"  # token 1 follows the class token


def test_rows_that_do_not_sum_to_one_are_said_to(rng):
    """Weights of heads with a learned sink, which take less than one of the tokens."""
    record = sentence(rng)
    short = replace(record, weights=record.weights * rng.uniform(0.4, 0.9, (2, 2, 1, 1)).astype(np.float32))
    low, high = (f"{sums:.2f}" for sums in short.row_sums)
    for kind in ("maps", "matrices", "depth"):
        full, brief = (CaptionedFigure(short, kind).caption.text(full=full) for full in (True, False))
        assert f"Rows of weights sum to {low} to {high}:" in full
        assert "sums to one" not in full
        assert f"Rows sum to {low} to {high}." in brief
        assert "Rows of weights sum" not in CaptionedFigure(record, kind).caption.text(full=True)
    np.testing.assert_allclose(short.row_sums, [short.weights.sum(-1).min(), short.weights.sum(-1).max()], rtol=1e-6)


def test_a_formula_needs_weights_of_a_plain_softmax(rng):
    record = sentence(rng)
    for width, formula in ((16, "A(l,h) = softmax(Q Kᵀ / √d) with d = 16"), (0, "A(l,h):")):
        assert f"the attention weights {formula}" in CaptionedFigure(
            replace(record, head_width=width), "matrices"
        ).caption.text(full=True)


def test_keys_of_an_image_that_are_no_tokens_of_it_are_parts(rng):
    record = make_record(rng)
    rows = replace(record, weights=record.weights[:, :, :2], query_words=("a", "b"))
    caption = CaptionedFigure(rows, "matrices").caption.text(full=True)
    height, width = record.boxes[0, 2:]
    keys = record.weights.shape[-1]
    assert f"There are 2 queries and {keys} keys, which are parts of the image of {height} × {width} pixels." in caption


def test_cross_attention_has_no_diagonal(rng):
    record = sentence(rng)
    one = replace(record, weights=record.weights[:, :, :1], query_words=("a",))
    caption = CaptionedFigure(one, "matrices").caption.text(full=True)
    assert f"There is one query and {len(SENTENCE)} keys, which are other tokens." in caption
    assert "diagonal" not in caption
