import numpy as np
import pytest

from headwise.errors import ShapeError
from headwise.metrics.spatial import (
    attention_distance,
    attention_distances,
    foreground_fraction,
    to_pixels,
    token_centers,
    weight_on_foreground,
)
from headwise.tokenizers import get_tokenizer


def distance_by_hand(p, boxes):
    """Mean over rows of the sum of weight times distance between the middles, one pair at a time."""
    middle = [(y + h / 2, x + w / 2) for y, x, h, w in boxes]
    far = [sum(p[n, m] * np.hypot(*np.subtract(a, b)) for m, b in enumerate(middle)) for n, a in enumerate(middle)]
    return np.mean(far)


@pytest.mark.parametrize("name", ["7x7", "rows", "columns", "14x4"])
def test_distance_equals_a_loop(name, distributions):
    boxes = get_tokenizer(name, (28, 28)).boxes
    weights = distributions(3, len(boxes), len(boxes))
    np.testing.assert_allclose(attention_distance(weights, boxes), [distance_by_hand(p, boxes) for p in weights])


def test_distances_without_the_class_token_and_with_it(distributions):
    boxes = get_tokenizer("2x3", (4, 15)).boxes
    weights = distributions(3, 1 + len(boxes), 1 + len(boxes))
    weights[:, 0] = np.nan  # the class token looks from no place, so its row may not matter
    found = attention_distances(weights, boxes)
    for head, p in enumerate(weights):
        image = p[1:, 1:]
        assert found.unnormalized[head] == pytest.approx(distance_by_hand(image, boxes))
        assert found.renormalized[head] == pytest.approx(distance_by_hand(image / image.sum(1, keepdims=True), boxes))
        assert found.dropped[head] == pytest.approx(np.mean([row[0] for row in p[1:]]))
    assert (found.renormalized > found.unnormalized).all()


def test_the_middle_of_a_box():
    np.testing.assert_array_equal(token_centers(np.array([[3, 5, 2, 7], [0, 11, 1, 4]])), [[4, 8.5], [0.5, 13]])


def test_ink_of_tokens_counts_pixels(rng):
    boxes = np.array([[0, 0, 3, 5], [2, 4, 1, 7], [1, 1, 2, 2]])  # of any shape, also one over another
    ink = rng.random((3, 11)) < 0.4
    counted = [np.mean([ink[i, j] for i in range(y, y + h) for j in range(x, x + w)]) for y, x, h, w in boxes]
    np.testing.assert_allclose(foreground_fraction(ink, boxes), counted)


def test_share_on_ink(rng, distributions):
    boxes = get_tokenizer("7x7", (28, 28)).boxes
    ink = rng.random((28, 28)) < 0.3
    p = distributions(4, 16)
    density = to_pixels(p, boxes, (28, 28)) / 49
    np.testing.assert_allclose(weight_on_foreground(p, ink, boxes), (density * ink).sum((1, 2)))
    assert weight_on_foreground(np.full(16, 1 / 16), ink, boxes) == pytest.approx(ink.mean())


def test_painting_overlapping_boxes_takes_the_mean():
    boxes = np.array([[0, 0, 1, 2], [0, 1, 1, 2]])
    np.testing.assert_array_equal(to_pixels(np.array([1.0, 3.0]), boxes, (1, 4)), [[1, 2, 3, 0]])


def test_each_token_has_one_box():
    boxes, ink, three = np.array([[0, 0, 2, 2]]), np.zeros((4, 4), bool), np.ones(3) / 3
    because = r"because boxes is \(1, 4\); got"
    for measure, arguments, words in (
        (attention_distance, (np.eye(3), boxes), rf"weights: expected \(\.\.\., N=1, N=1\) {because} \(3, 3\)"),
        (attention_distances, (np.eye(3), boxes), r"weights: expected \(\.\.\., 2, 2\); got \(3, 3\)"),
        (weight_on_foreground, (three, ink, boxes), rf"p: expected \(\.\.\., N=1\) {because} \(3,\)"),
        (to_pixels, (three, boxes, (4, 4)), rf"values: expected \(\.\.\., N=1\) {because} \(3,\)"),
        (foreground_fraction, (ink[0], boxes), r"ink: expected \(Y, X\); got \(4,\)"),
        (token_centers, (boxes[:, :3],), r"boxes: expected \(N, 4\); got \(1, 3\)"),
    ):
        with pytest.raises(ShapeError, match=words):
            measure(*arguments)
