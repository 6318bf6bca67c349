"""Pixels made of their neighbours solve a dense system written down one by one; the game shows them to the model."""

from dataclasses import replace

import numpy as np
import pytest

from headwise.errors import ShapeError
from headwise.models import TokenGame, ViT, ViTConfig
from headwise.models.inpainting import inpaint
from headwise.models.vit import predict_with_attention, vit_params

MODEL = ViTConfig(tokenizer="3x2", image_size=(9, 8), d_model=6, n_layers=2, n_heads=3, d_ff=5, n_classes=3)


def by_hand(image, known):
    """One equation a pixel, solved densely."""
    height, width = image.shape
    system, right = np.eye(image.size), np.where(known, image, 0).ravel()
    for y, x in zip(*np.nonzero(~known), strict=True):
        near = [(y + a, x + b, 12 if a and b else 6) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
        near = [(b, c, 1 / part) for b, c, part in near if 0 <= b < height and 0 <= c < width]
        for b, c, weight in near:
            system[y * width + x, b * width + c] = -weight / sum(weight for _, _, weight in near)
    return np.linalg.solve(system, right).reshape(image.shape)


@pytest.mark.parametrize("size", [(7, 5), (1, 11), (11, 1), (5, 2)])
def test_every_pixel_is_the_mean_of_its_neighbours(size, rng):
    image, known = rng.random(size), rng.random((13, *size)) < 0.4
    known[:, 0, 0] |= ~known.any(axis=(1, 2))
    found = inpaint(np.where(known.any(axis=0), image, np.nan), known, 0.5)  # what nobody knows is never looked at
    np.testing.assert_allclose(found, [by_hand(image, there) for there in known], atol=1e-12)


def test_nothing_known_and_everything_known(rng):
    image = rng.random((5, 7)).astype(np.float32)
    nothing, everything = inpaint(image, np.array([np.zeros((5, 7), bool), np.ones((5, 7), bool)]), 0.13)
    np.testing.assert_array_equal(nothing, np.float32(0.13))
    np.testing.assert_array_equal(everything, image)
    with pytest.raises(ShapeError, match="known: expected"):
        inpaint(image, np.ones((3, 7, 5), bool), 0.13)


@pytest.mark.parametrize("tokens", ["3x2", "3x4/2", "rows", "reordered-3x2"])
def test_the_game_shows_the_model_the_imputed_picture(tokens, rng):
    model = replace(MODEL, tokenizer=tokens)
    params = {name: rng.normal(size=array.shape) for name, array in vit_params(model, rng).items()}
    image, cut = rng.random((9, 8)), model.image_tokenizer
    kept = rng.random((7, cut.num_tokens)) < 0.5
    kept[0], kept[1] = True, False
    answers = TokenGame(ViT(model, params, "imputed"), image, 1)(kept)
    upright = replace(model, tokenizer=tokens.removeprefix("reordered-"))  # given the picture as it is cut
    for answer, there in zip(answers, kept, strict=True):
        known = np.zeros((9, 8), bool)
        for y, x, h, w in cut.boxes[there]:
            known[y : y + h, x : x + w] = True
        shown = by_hand(cut.permute(image), known) if known.any() else np.full((9, 8), model.mean)
        assert answer == pytest.approx(
            predict_with_attention(shown[None], params, upright).probabilities[0, 1], abs=1e-9
        )


def test_where_patches_overlap_a_black_token_is_black_in_its_own_cut_only(rng):
    model = replace(MODEL, tokenizer="3x4/2")
    params = {name: rng.normal(size=array.shape) for name, array in vit_params(model, rng).items()}
    image, cut = rng.random((9, 8)), model.image_tokenizer
    kept = rng.random((7, cut.num_tokens)) < 0.5
    answers = TokenGame(ViT(model, params, "black"), image, 1)(kept)
    neighbour = replace(
        model, tokenizer="3x4", image_size=(3, 4 * cut.num_tokens)
    )  # the same tokens side by side share no pixel
    for answer, there in zip(answers, kept, strict=True):
        tokens = np.where(there[:, None], cut.tokenize(image[None])[0], 0).reshape(cut.num_tokens, 3, 4)
        shown = np.concatenate(tokens, axis=1)
        assert answer == pytest.approx(
            predict_with_attention(shown[None], params, neighbour).probabilities[0, 1], abs=1e-12
        )
