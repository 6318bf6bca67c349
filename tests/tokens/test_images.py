import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.tokens import Patches, tokeniser


@pytest.mark.parametrize("name", ["7x7", "4x4", "14x2", "rows", "columns", "pixels"])
def test_a_token_is_what_its_box_cuts_out(name, rng):
    cut = tokeniser(name, (28, 28))
    images = rng.random((2, 28, 28))
    tokens = cut.cut(images)
    assert tokens.shape == (2, cut.count, cut.inputs)
    assert cut.boxes.shape == (cut.count, 4)
    for n, (top, left, height, width) in enumerate(cut.boxes):
        np.testing.assert_array_equal(tokens[:, n], images[:, top : top + height, left : left + width].reshape(2, -1))


def test_boxes_tile_the_image():
    covered = np.zeros((4, 6), int)
    for top, left, height, width in Patches((4, 6), (2, 3)).boxes:
        covered[top : top + height, left : left + width] += 1
    assert (covered == 1).all()


def test_refusals():
    with pytest.raises(DataError, match=r"tokens: expected a patch size such as 7x7, or one of rows, .*got 'stripes'"):
        tokeniser("stripes", (28, 28))
    with pytest.raises(ShapeError, match="patch width that divides the image's 28 pixels"):
        tokeniser("7x0", (28, 28))
    with pytest.raises(ShapeError, match=r"images: expected \(B, 28, 28\)"):
        tokeniser("7x7", (28, 28)).cut(np.zeros((28, 28)))
