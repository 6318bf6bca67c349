"""Attention arrays from elsewhere: every layout that is taken, and every mistake that is named."""

from dataclasses import asdict

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.explanation import TokenLayout, from_arrays, from_saved, read_arrays, stack_layers
from headwise.figures import CaptionedFigure, select_figures
from headwise.metrics import check_attention_weights
from helpers import factories

L, H, GRID = 3, 2, (5, 2)
N = 10


def weights(rng, tokens=N + 1):
    return rng.dirichlet(np.full(tokens, 0.5), (L, H, tokens))


def test_layouts_that_say_the_same(rng):
    w = weights(rng)
    layers = {f"block_{i + 8}": w[i] for i in range(L)}  # 8, 9, 10: not in the order of the alphabet
    for arrays in (
        {"anything": w},
        {"x": w[None]},
        {"x": w[:, None]},
        layers,
        {name: layer[None] for name, layer in layers.items()},
        {"attentions": w, "hidden": rng.normal(size=(4, 5))},
        {"x": w, "image": rng.random((10, 4))},
    ):
        np.testing.assert_array_equal(stack_layers(arrays), w)
    np.testing.assert_array_equal(stack_layers({"x": w[1]}), w[1:2])
    np.testing.assert_array_equal(stack_layers({"x": w[1, 1]}), w[1:2, 1:2])
    np.testing.assert_array_equal(stack_layers({"a0": w[0, 0], "a1": w[1, 0]}), w[:2, :1])


@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("first", 0), ("last", N), ("4", 4)])
def test_the_class_token_wherever_it_is(rng, name, index):
    w = weights(rng)
    record = from_arrays({"x": w}, TokenLayout(GRID, (2, 2), name))
    others = [n for n in range(N + 1) if n != index]
    np.testing.assert_array_equal(record.maps, w[:, :, index, others])
    np.testing.assert_array_equal(record.row(3), w[:, :, others[2]][..., others])
    assert record.size == (10, 4)
    sized, unsized = (
        CaptionedFigure(record).caption.text(full=True),
        CaptionedFigure(from_arrays({"x": w}, TokenLayout(GRID, class_token=name))).caption.text(full=True),
    )
    assert "one pixel stands for one token" in unsized
    assert "one pixel" not in sized
    assert "only the locations of the tokens are drawn" in sized


def test_queries_have_a_word_each(rng):
    arrays = {"x": rng.dirichlet(np.ones(5), (L, H, 3)), "queries": np.array(["a", "b"])}
    with pytest.raises(ShapeError, match="queries: expected 3 words, one for each query; got 2"):
        from_arrays(arrays, TokenLayout())


def test_a_class_token_that_is_not_there(rng):
    with pytest.raises(DataError, match="class token: expected an index below 11; got 11"):
        from_arrays({"x": weights(rng)}, TokenLayout(GRID, class_token="11"))


def test_no_class_token(rng):
    w = weights(rng, N)
    for name in ("auto", "none"):
        record = from_arrays({"x": w}, TokenLayout(GRID, class_token=name))
        np.testing.assert_allclose(record.maps, w.mean(axis=2))
        assert "there is no class token" in CaptionedFigure(record).caption.text(full=True)
    CaptionedFigure(record).draw()


def test_an_image_gives_the_patches_and_patches_the_grid(rng):
    w, image = weights(rng), rng.random((15, 8))
    assert from_arrays({"x": w, "image": image}, TokenLayout(GRID)).boxes[0].tolist() == [0, 0, 3, 4]
    assert from_arrays({"x": w}, TokenLayout(patch=(3, 4)), image).boxes.shape == (N, 4)
    colours = (image[..., None] * np.array([255, 255, 255])).astype(np.uint8)
    np.testing.assert_allclose(from_arrays({"x": w, "image": colours}, TokenLayout(GRID)).image, image, atol=1 / 255)
    with pytest.raises(ShapeError, match=r"image: expected 15 × 6 .*; got 15 × 8"):
        from_arrays({"x": w}, TokenLayout(GRID, (3, 3)), image)
    with pytest.raises(DataError, match=r"image: expected .* pixels from 0 to 1; got"):
        from_arrays({"x": w, "image": image * 9}, TokenLayout(GRID))


def test_positions_with_the_weights(rng):
    w = weights(rng)
    assert from_arrays({"x": w, "positions": rng.normal(size=(N, 7))}, TokenLayout(GRID)).positions.shape == (N, 7)
    with pytest.raises(ShapeError, match="positions: expected"):
        from_arrays({"x": w, "positions": rng.normal(size=(N + 1, 7))}, TokenLayout(GRID))


def test_what_was_dropped_is_said(rng):
    w = weights(rng)
    cut = w[:, :, 1:, 1:]
    with pytest.raises(DataError, match="--dropped"):
        from_arrays({"x": cut}, TokenLayout(GRID))
    assert from_arrays({"x": w}, TokenLayout(GRID)).dropped_weight == 0
    record = from_arrays({"x": cut}, TokenLayout(GRID, dropped=True))
    assert record.dropped_weight == pytest.approx(w[:, :, 1:, 0].mean())
    np.testing.assert_allclose(record.weights.sum(axis=-1), 1)
    assert f"{record.dropped_weight:.1%} of the weight of a row" in CaptionedFigure(record).caption.text(full=True)
    with pytest.raises(DataError, match="Logits"):
        from_arrays({"x": cut - 1}, TokenLayout(GRID, dropped=True))


def test_what_was_dropped_must_have_left_something(rng):
    w = weights(rng)
    w[1, 0, 3] = 0
    with pytest.raises(DataError, match="expected some weight in every row; 1 rows are all 0"):
        from_arrays({"x": w}, TokenLayout(GRID, dropped=True))
    with pytest.raises(DataError, match="expected numbers; 11 of them are NaN"):
        from_arrays({"x": np.where(np.arange(N + 1)[:, None] == 3, np.nan, w[:1, :1])}, TokenLayout(GRID, dropped=True))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"positions": np.full((N, 7), np.nan)}, "positions: expected numbers; 70 of them are NaN"),
        ({"positions": np.full((N, 7), 1e300)}, "positions: expected numbers; 70 of them"),
        ({"positions": np.array([["a"]] * N)}, "positions: expected floating-point numbers; got <U1"),
        ({"image": np.zeros((0, 0))}, r"image: expected \(Y, X\) pixels from 0 to 1; got \(0, 0\) of float64"),
        ({"image": np.array([["a", "b"]])}, r"image: expected \(Y, X\) pixels from 0 to 1; got \(1, 2\) of <U1"),
    ],
)
def test_other_arrays_are_checked(rng, other, words):
    with pytest.raises(DataError, match=words):
        from_arrays({"weights": weights(rng)} | other, TokenLayout(GRID))


def test_sixteen_bits_are_as_many_greys(rng):
    image = rng.integers(0, 65536, (5, 2), dtype=np.uint16)
    record = from_arrays({"weights": weights(rng), "image": image}, TokenLayout(GRID))
    np.testing.assert_allclose(record.image, image / 65535, rtol=1e-6)
    record = from_arrays({"weights": weights(rng), "image": image > 30000}, TokenLayout(GRID))
    np.testing.assert_array_equal(record.image, image > 30000)


def test_a_picture_that_no_memory_holds_is_refused(rng):
    with pytest.raises(DataError, match="at most 10,000,000 pixels"):
        from_arrays({"x": weights(rng)}, TokenLayout(GRID, (100_000, 100_000)))


def saved_arrays(rng):
    """The arrays of a record's file."""
    record = factories.make_record(rng, score=factories.SCORE)
    scores = {f"faithfulness_{name}": value for name, value in asdict(record.faithfulness).items()}
    fields = {name: value for name, value in vars(record).items() if name != "faithfulness"}
    return {name: np.asarray(value) for name, value in (fields | scores).items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": lambda w: w * np.nan}, "weights: expected numbers"),
        ({"weights": lambda w: -w}, "weights: expected none below 0"),
        ({"weights": lambda w: w * 2}, "weights: expected rows that sum to one"),
        (
            {"weights": lambda w: (w * 0).astype(int)},
            "weights: expected floating-point numbers, 4-dim",
        ),
        ({"boxes": lambda b: b.astype(float)}, "boxes: expected whole numbers, 2-dimensional; got float64"),
        ({"boxes": lambda b: b + 7}, "boxes: expected tokens within the image's 28 × 28 pixels"),
        ({"image": lambda i: i * 255}, "image: expected pixels from 0 to 1"),
        ({"label": lambda _: np.array("four")}, r"label: expected one whole number; got <U4 of shape \(\)"),
        ({"label": lambda _: np.array([4])}, r"label: expected one whole number; got int64 of shape \(1,\)"),
        ({"positions": lambda p: p * np.inf}, "positions: expected numbers"),
        ({"faithfulness_shapley": None}, "expected the scores of one faithfulness test; missing or unknown: shapley"),
        ({"faithfulness_luck": lambda _: np.array(1.0)}, "missing or unknown: luck"),
        ({"faithfulness_orders": lambda o: o / 2}, "faithfulness_orders: expected one whole number"),
        ({"faithfulness_random_deletion": lambda d: d[:2]}, "faithfulness_random_deletion: expected"),
    ],
)
def test_saved_arrays_are_checked_too(rng, change, words):
    arrays = saved_arrays(rng)
    assert from_saved(arrays).faithfulness == factories.SCORE
    ((name, how),) = change.items()
    changed = {n: a for n, a in arrays.items() if n != name} | ({name: how(arrays.get(name))} if how else {})
    with pytest.raises((DataError, ShapeError), match=words):
        from_saved(changed)


def test_a_grid_is_not_guessed(rng):
    with pytest.raises(DataError, match=r"10 \(2x5, 5x2, .*\), .* 11 \(1x11"):
        from_arrays({"x": weights(rng)}, TokenLayout())
    with pytest.raises(ShapeError, match="expected 12, or 13 with a class token, because 4x3 is 12"):
        from_arrays({"x": weights(rng)}, TokenLayout((4, 3)))
    with pytest.raises(ShapeError, match="expected 10, because 5x2 is 10 tokens; the arrays have 11"):
        from_arrays({"x": weights(rng)}, TokenLayout(GRID, class_token="none"))
    with pytest.raises(ShapeError, match="Registers"):
        from_arrays({"x": weights(rng, N + 5)}, TokenLayout(GRID))
    for name in ("second", "²", "-1"):
        with pytest.raises(DataError, match="class token: expected auto, first"):
            from_arrays({"x": weights(rng)}, TokenLayout(GRID, class_token=name))


def softmax(s, axis):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


MISTAKES = {
    "transposed": (lambda w, s, rng: np.swapaxes(w, 2, 3), r"columns sum to one: transposed"),
    "over the whole matrix": (lambda w, s, rng: softmax(s, (2, 3)), "softmax over the whole matrix"),
    "over the heads": (lambda w, s, rng: softmax(s, 1), "sum to one over the heads"),
    "over the layers": (lambda w, s, rng: softmax(s, 0), "sum to one over the layers"),
    "logits": (lambda w, s, rng: s, "Logits, before the softmax"),
    "summed": (lambda w, s, rng: w.sum(axis=1, keepdims=True), "Summed over 2 heads"),
    "dropout": (lambda w, s, rng: w * (rng.random(w.shape) > 0.1) / 0.9, "after dropout"),
    "scaled": (lambda w, s, rng: w * 1.7, "weights that were scaled"),
    "padding": (lambda w, s, rng: w * (np.arange(N + 1) < 9)[:, None], "12 rows are all 0"),
    "nan": (lambda w, s, rng: np.where(w > 0.9, np.nan, w), "NaN"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_rows_that_do_not_sum_to_one(rng, mistake):
    make, words = MISTAKES[mistake]
    logits = rng.normal(size=(L, H, N + 1, N + 1)) * 3
    with pytest.raises(DataError, match=words):
        check_attention_weights(make(softmax(logits, -1), logits, rng))


def test_rounding_is_no_mistake(rng):
    w = weights(rng)
    check_attention_weights(w.astype(np.float16))
    with pytest.raises(DataError, match="none above 1"):
        check_attention_weights(1e308 * np.ones_like(w))
    bits = w.astype(np.float32).view(np.uint32) + np.uint32(0x8000) & np.uint32(0xFFFF0000)
    check_attention_weights(bits.view(np.float32))  # as bfloat16 holds them


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "has none"),
        ({"x": np.ones(4)}, r"x: expected attention weights \(..., queries, keys\); got \(4,\)"),
        ({"x": np.ones((2, 2, 3, 4, 4))}, "Several images"),
        ({"x": np.ones((0, 2, 5, 5))}, r"at least one layer, head and token; got \(0, 2, 5, 5\)"),
        ({"x": np.ones((2, 0, 5, 5))}, r"at least one layer, head and token; got \(2, 0, 5, 5\)"),
        ({"x": np.ones((2, 3, 0, 0))}, r"at least one layer, head and token; got \(2, 3, 0, 0\)"),
        ({"x": np.ones((3, 4, 4), int)}, "floating-point weights; got int64"),
        ({"a": np.ones((3, 4, 4)), "b": np.ones((2, 4, 4))}, r"one for each layer.* a \(3, 4, 4\), b \(2, 4, 4\)"),
    ],
)
def test_arrays_that_are_no_attention(arrays, words):
    with pytest.raises((DataError, ShapeError), match=words):
        stack_layers(arrays)


def test_files(rng, tmp_path):
    w = weights(rng)
    np.save(tmp_path / "a.npy", w)
    np.savez(tmp_path / "a.npz", x=w, y=w)
    (tmp_path / "b.npz").write_text("no arrays")
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")["weights"], w)
    assert read_arrays(tmp_path / "a.npz").keys() == {"x", "y"}
    for name, words in (("b.npz", "expected an .npz or .npy file"), ("c.npz", "no such file")):
        with pytest.raises(DataError, match=words):
            read_arrays(tmp_path / name)


def random_weights(rng, *shape):
    return rng.dirichlet(np.full(shape[-1], 0.3), shape[:-1]).astype(np.float32)


def test_verified_rows_may_sum_to_less_than_one(rng):
    weights = random_weights(rng, 2, 3, 5, 5) * np.float32(0.7)  # heads with a learned sink
    with pytest.raises(DataError, match=r"sums range from 0\.700"):
        from_arrays({"weights": weights}, TokenLayout(words=tuple("abcde")))
    record = from_arrays({"weights": weights, "verified": np.ones(2, bool)}, TokenLayout(words=tuple("abcde")))
    assert "Rows of weights sum to 0.70 to 0.70" in CaptionedFigure(record, "matrices").caption.text(full=True)
    many = {f"layer{i}": weights[..., :4] if i % 2 else weights for i in range(5)}
    with pytest.raises(ShapeError, match=r"got layer0 and 2 more \(2, 3, 5, 5\), layer1 and 1 more .* Capture those"):
        stack_layers(many | {"kinds": np.array(["self", "cross"])})


def test_registers_items_of_a_batch_and_images_of_another_size(rng):
    weights = random_weights(rng, 5, 2, 3, 11, 11)  # a class token, four registers, 2 × 3 patches
    layout = TokenLayout(grid=(2, 3), patch=(4, 4), prefix=5, index=3, resize=True)
    record = from_arrays({"weights": weights}, layout, rng.random((19, 23, 3)).astype(np.float32))
    np.testing.assert_array_equal(record.weights, weights[3])
    assert (record.image.shape, record.num_tokens, record.is_prefix.sum()) == ((8, 12, 3), 6, 5)
    assert "the 5 prefix tokens, which stand for no part of the image, come before" in CaptionedFigure(
        record
    ).caption.text(full=True)
    with pytest.raises(ShapeError, match="prefix: expected 8 tokens, because 2x3 is 6 and 2 precede them"):
        from_arrays({"weights": weights[0]}, TokenLayout(grid=(2, 3), prefix=2))
    with pytest.raises(ShapeError, match="index: expected 0 to 4"):
        from_arrays({"weights": weights}, TokenLayout(grid=(2, 3), index=5))


def test_words_and_causal_masks(rng):
    words = ("<s>", "the", "cat", ">>", "a", "dog", ".")
    weights = np.tril(random_weights(rng, 2, 3, 7, 7)) + 1e-6 * np.tri(7)
    weights /= weights.sum(axis=-1, keepdims=True)
    record = from_arrays({"weights": weights, "words": np.array(words)}, TokenLayout())
    assert (record.kind, record.words, record.is_causal) == ("text", words, True)
    assert record.is_prefix.tolist() == [True] + [False] * 6
    assert record.segments.tolist() == [-1, 0, 0, -1, 1, 1, 1]
    again = from_arrays({"weights": weights}, TokenLayout(words=words))
    np.testing.assert_array_equal(again.boxes, record.boxes)
    for figure in select_figures(record, "all", 3):
        figure.draw()
        assert len(figure.caption.text().split()) <= 120
        assert ", in a text of two parts" in figure.caption.text()
    with pytest.raises(ShapeError, match="tokens: expected 7 words"):
        from_arrays({"weights": weights}, TokenLayout(words=words[1:]))


def test_cross_attention(rng):
    weights = random_weights(rng, 2, 3, 5, 7)
    record = from_arrays({"weights": weights, "queries": np.array(list("abcde"))}, TokenLayout(words=tuple("qrstuvw")))
    assert not record.is_self_attention
    figures = select_figures(record, "all")
    assert [figure.kind for figure in figures] == ["maps", "matrices", "lines", "roles"]
    for figure in figures:
        figure.draw()
        assert "nan" not in figure.caption.text(full=True)
    assert from_arrays({"weights": weights}, TokenLayout()).words == tuple(map(str, range(1, 8)))
