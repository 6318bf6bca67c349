"""Attention records: saving, loading, and the checks of their arrays."""

from dataclasses import replace

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.figures import AttentionRecord, CaptionedFigure
from helpers.factories import SCORE, make_dependence, make_record, make_text_record


def test_arrays_are_unchanged_after_saving_and_loading(rng, tmp_path):
    record = make_record(rng, score=SCORE, dropped_weight=0.125, pixels_permuted=True)
    record.save(tmp_path / "a.npz")
    loaded = AttentionRecord.load(tmp_path / "a.npz")
    assert CaptionedFigure(loaded).caption == CaptionedFigure(record).caption
    assert loaded.faithfulness == SCORE
    assert (loaded.dropped_weight, loaded.pixels_permuted, loaded.label) == (0.125, True, 3)


def test_files_that_are_not_a_record_are_rejected(rng, tmp_path):
    record = make_record(rng)
    record.save(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", image=record.image)
    with pytest.raises(DataError, match="missing boxes"):
        AttentionRecord.load(tmp_path / "b.npz")
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"b\.npz"):
        AttentionRecord.load(tmp_path / "b.npz")


def test_arrays_that_do_not_fit_together_are_rejected(rng):
    record = make_record(rng)
    with pytest.raises(ShapeError, match="weights: "):
        AttentionRecord(record.image, record.boxes[:-2], record.weights, record.probabilities)
    with pytest.raises(ShapeError, match="positions: "):
        AttentionRecord(record.image, record.boxes, record.weights, record.probabilities, positions=np.zeros((3, 5)))
    text = make_text_record(rng, ("[CLS]", "a", "cat"), {(0, 0): np.eye(3)})
    with pytest.raises(ShapeError, match="boxes: expected 2, one for each key that is no prefix token; got 1"):
        replace(text, boxes=text.boxes[:1])


def test_tokens_that_are_no_players_of_the_dependence_are_rejected(rng):
    with pytest.raises(ShapeError, match="players: expected the numbers 0 to 3, each at least once"):
        make_dependence(rng, [0, 1, 3])


def test_an_unknown_kind_of_input_is_rejected(rng, tmp_path):
    path = tmp_path / "a.npz"
    make_record(rng).save(path)
    with np.load(path) as saved:
        np.savez(path, **dict(saved) | {"kind": np.array("smell")})
    with pytest.raises(DataError, match=r"kind: expected one of image, .*; got 'smell'"):
        AttentionRecord.load(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dependence", "dependence: expected arrays with a map of what the prediction depends on"),
        ("lines", "lines: expected a text of at most"),
    ],
)
def test_a_figure_of_what_a_record_does_not_have_is_rejected(kind, message, rng):
    with pytest.raises(DataError, match=message):
        CaptionedFigure(make_record(rng), kind).draw()


def test_figures_of_self_attention_are_not_drawn_of_cross_attention(rng):
    queries = ("a", "b")
    weights = rng.dirichlet(np.ones(3), (2, 2, 2))
    record = AttentionRecord(np.zeros((5, 1)), np.array([[0, 1], [1, 2], [2, 3]]), weights, np.zeros(0),
                             kind="series", query_words=queries)  # fmt: skip
    with pytest.raises(DataError, match=r"rollout: expected self-attention.* 2 queries of other tokens"):
        CaptionedFigure(record, "rollout").draw()


def test_ink_is_in_drawings_only(rng):
    record = make_record(rng)
    assert record.ink.any()
    assert not record.ink.all()
    for image in (np.zeros_like(record.image), rng.random((28, 28))):  # nothing, and no background
        assert not AttentionRecord(image, record.boxes, record.weights, record.probabilities).ink.any()
