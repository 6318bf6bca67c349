"""Biases and masks recovered from the logits of a softmax."""

import numpy as np

from headwise.recorder.logits import rule_of_logits


def test_a_small_bias_next_to_a_large_one_in_half_precision(rng):
    """Swin: a bias of each head, and -100 for the keys of other windows, whose sums are rounded to a sixteenth."""
    scores = rng.standard_normal((2, 3, 5, 5))
    bias, window = 0.05 * rng.standard_normal((3, 5, 5)), np.where(rng.random((2, 1, 5, 5)) < 0.4, -100, 0)
    logits = (scores + bias + window).astype(np.float16).astype(np.float32)
    rule = rule_of_logits(logits, scores.astype(np.float32), float(np.finfo(np.float16).eps))
    assert rule.bias.shape == (2, 3, 5, 5)
    visible = np.broadcast_to(window == 0, logits.shape)
    np.testing.assert_allclose(rule.bias[visible], np.broadcast_to(bias, logits.shape)[visible], atol=4e-3)
