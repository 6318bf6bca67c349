import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models.vit import ViTConfig, vit_forward, vit_params
from headwise.tokenizers import PERMUTATIONS, Patches, PermutedPixels, get_tokenizer

NAMES = ["7x7", "4x4", "14x2", "rows", "columns", "pixels", "8x8/4", "10x4/6x3", "scrambled-7x7", "reordered-8x4/5x3"]


@pytest.mark.parametrize("name", NAMES)
def test_a_token_is_what_its_box_cuts_out(name, rng):
    cut = get_tokenizer(name, (28, 28))
    images = rng.random((2, 28, 28))
    tokens, arranged = cut.tokenize(images), cut.permute(images)
    assert tokens.shape == (2, cut.num_tokens, cut.token_dim)
    assert cut.boxes.shape == (cut.num_tokens, 4)
    assert cut.grid[0] * cut.grid[1] == cut.num_tokens
    for n, (top, left, height, width) in enumerate(cut.boxes):
        box = arranged[:, top : top + height, left : left + width]
        assert box.shape == (2, *cut.patch_size)
        np.testing.assert_array_equal(tokens[:, n], box.reshape(2, -1))


def covered(cut):
    times = np.zeros(cut.image_size, int)
    for top, left, height, width in cut.boxes:
        times[top : top + height, left : left + width] += 1
    return times


def test_boxes_tile_the_image():
    assert (covered(Patches((4, 6), (2, 3))) == 1).all()


def test_overlapping_patches_cover_every_pixel():
    np.testing.assert_array_equal(covered(Patches((3, 7), (3, 3), (1, 2))), [[1, 1, 2, 1, 2, 1, 1]] * 3)


def test_only_strides_that_cover_are_taken():
    for stride in range(1, 8):
        fits = stride in (1, 2, 4)  # of 11 pixels a patch of 7 leaves 4
        try:
            cut = Patches((11, 7), (7, 7), (stride, 7))
        except ShapeError:
            assert not fits
        else:
            assert fits
            assert (covered(cut) > 0).all()


@pytest.mark.parametrize("name", ["scrambled-rows", "reordered-rows"])
def test_rearranging_moves_every_image_alike_and_loses_nothing(name, rng):
    cut = get_tokenizer(name, (5, 7))
    image = np.arange(35.0).reshape(5, 7)
    moved = cut.permute(image)
    assert (moved != image).any()
    np.testing.assert_array_equal(np.sort(moved, axis=None), image.ravel())
    order = moved.astype(int).ravel()
    batch = rng.random((2, 3, 5, 7))
    np.testing.assert_array_equal(cut.permute(batch).reshape(2, 3, -1), batch.reshape(2, 3, -1)[..., order])
    np.testing.assert_array_equal(get_tokenizer(name, (5, 7)).permute(image), moved)
    another = PermutedPixels(Patches((5, 7), (1, 7)), name.partition("-")[0], seed=1)
    assert (another.permute(image) != moved).any()


def test_an_order_that_is_not_known_is_refused():
    with pytest.raises(DataError, match="permutation: expected one of scrambled, reordered; got 'foo'"):
        PermutedPixels(Patches((5, 7), (1, 7)), "foo")


def test_reordering_keeps_rows_whole_and_scrambling_does_not():
    image = np.arange(35).reshape(5, 7).astype(float)
    together = {name: np.diff(get_tokenizer(f"{name}-rows", (5, 7)).permute(image), axis=1) for name in PERMUTATIONS}
    assert (together["reordered"] == 1).all()
    assert (together["scrambled"] == 1).mean() < 0.5


def test_reordered_rows_are_rows_with_their_positions_reordered(rng):
    """What a model of rows loses when the rows of all images change places: nothing, it relabels its positions."""
    plain, reordered = (
        ViTConfig(tokenizer=name, image_size=(5, 7), d_model=4, n_layers=2, n_heads=2, d_ff=3)
        for name in ("rows", "reordered-rows")
    )
    params = vit_params(plain, rng)
    images = rng.random((2, 5, 7)).astype(np.float32)
    rows = np.arange(5.0)[:, None] * np.ones(7)
    order = reordered.image_tokenizer.permute(rows)[:, 0].astype(int)
    positions = params["embedding.positions"]
    relabelled = params | {"embedding.positions": np.concatenate([positions[:1], positions[1:][order]])}
    expected, _ = vit_forward(images, params, plain)
    found, _ = vit_forward(images, relabelled, reordered)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(vit_forward(images, params, reordered)[0] - expected).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("stripes", DataError, r"tokenizer: expected a patch size such as 7x7, or one of rows, .*got 'stripes'"),
        ("mixed-7x7", DataError, r"scrambled-7x7 or reordered-7x7; got 'mixed-7x7'"),
        ("scrambled-stripes", DataError, "got 'stripes'"),
        ("7x0", ShapeError, r"patch width that divides the image's 28 pixels \(1, 2, 4, 7, 14, 28\); got 0"),
        ("8x8", ShapeError, r"patch height that divides the image's 28 pixels .* got 8"),
        (
            "8x8/3",
            ShapeError,
            "covers the image's 28 pixels of height, for a patch height of 8 one of 1, 2, 4, 5; got 3",
        ),
        ("7x7/14", ShapeError, "for a patch height of 7 one of 1, 3, 7; got 14"),
        ("7x7/0", ShapeError, "got 0"),
        ("30x7/1", ShapeError, "patch height from 1 to the image's 28 pixels; got 30"),
    ],
)
def test_refusals(name, error, message):
    with pytest.raises(error, match=message):
        get_tokenizer(name, (28, 28))


@pytest.mark.parametrize("name", ["7x7", "scrambled-7x7"])
def test_images_of_another_shape_are_refused(name):
    with pytest.raises(ShapeError, match=r"images: expected \(B, 28, 28\)"):
        get_tokenizer(name, (28, 28)).tokenize(np.zeros((28, 28)))


@pytest.mark.parametrize("given", [{"patch_size": 7}, {"image_size": 28}, {"stride": 4}, {"patch_size": (7, 7, 1)}])
def test_one_number_for_two(given):
    with pytest.raises(ShapeError, match=r": expected \(height, width\) in pixels; got"):
        Patches(**{"image_size": (28, 28), "patch_size": (7, 7), **given})
