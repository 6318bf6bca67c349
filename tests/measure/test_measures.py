import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from headwise.measure.space import attention_distance, paint, share_on_ink
from headwise.measure.weights import effective_number, entropy, without_class_token
from headwise.tokens import tokeniser


def distributions(rng, *shape):
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def test_entropy(rng):
    p = distributions(rng, 2, 3, 7)
    p[0, 0] = [1, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(entropy(p), scipy_entropy(p, base=2, axis=-1), atol=1e-13)
    np.testing.assert_allclose(effective_number(p)[0, 0], 1)
    np.testing.assert_allclose(effective_number(np.full(7, 1 / 7)), 7)


def test_leaving_out_the_class_token(rng):
    weights = distributions(rng, 2, 5, 5)
    kept, dropped = without_class_token(weights)
    np.testing.assert_allclose(kept.sum(-1), 1)
    np.testing.assert_allclose(kept * (1 - dropped)[..., None], weights[:, 1:, 1:])
    alone, _ = without_class_token(np.array([[0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_array_equal(alone, [[0.0]])  # nothing left to share out, and no NaN


@pytest.mark.parametrize("name", ["7x7", "rows", "columns", "14x4"])
def test_distance_equals_a_loop(name, rng):
    boxes = tokeniser(name, (28, 28)).boxes
    weights = distributions(rng, 3, len(boxes), len(boxes))
    middle = [(y + h / 2, x + w / 2) for y, x, h, w in boxes]
    for head, p in zip(attention_distance(weights, boxes), weights, strict=True):
        far = [sum(p[n, m] * np.hypot(*np.subtract(a, b)) for m, b in enumerate(middle)) for n, a in enumerate(middle)]
        assert head == pytest.approx(np.mean(far))


def test_share_on_ink(rng):
    boxes = tokeniser("7x7", (28, 28)).boxes
    ink = rng.random((28, 28)) < 0.3
    p = distributions(rng, 4, 16)
    density = paint(p, boxes, (28, 28)) / 49
    np.testing.assert_allclose(share_on_ink(p, ink, boxes), (density * ink).sum((1, 2)))
    assert share_on_ink(np.full(16, 1 / 16), ink, boxes) == pytest.approx(ink.mean())


def test_painting_overlapping_boxes_takes_the_mean():
    boxes = np.array([[0, 0, 1, 2], [0, 1, 1, 2]])
    np.testing.assert_array_equal(paint(np.array([1.0, 3.0]), boxes, (1, 4)), [[1, 2, 3, 0]])
