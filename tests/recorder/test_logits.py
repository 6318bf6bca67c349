"""Biases and masks recovered from the logits of a softmax."""

import numpy as np

from headwise.recorder.logits import join_groups, rule_of_logits


def test_keys_and_values_have_one_number_of_heads(rng):
    k, v = rng.normal(size=(2, 3, 7, 4)), rng.normal(size=(2, 6, 7, 5))
    keys, values = join_groups(k, v)
    np.testing.assert_array_equal(keys, np.repeat(k, 2, axis=1))
    np.testing.assert_array_equal(values, v)
    keys, values = join_groups(np.repeat(k, 2, axis=1), np.repeat(v[:, :3], 2, axis=1))
    np.testing.assert_array_equal(keys, k)
    np.testing.assert_array_equal(values, v[:, :3])


def test_a_small_bias_next_to_a_large_one_in_half_precision(rng):
    """Swin: a bias of each head, and -100 for the keys of other windows, whose sums are rounded to a sixteenth."""
    scores = rng.standard_normal((2, 3, 5, 5))
    bias, window = 0.05 * rng.standard_normal((3, 5, 5)), np.where(rng.random((2, 1, 5, 5)) < 0.4, -100, 0)
    logits = (scores + bias + window).astype(np.float16).astype(np.float32)
    rule = rule_of_logits(logits, scores.astype(np.float32), float(np.finfo(np.float16).eps))
    assert rule.bias.shape == (2, 3, 5, 5)
    visible = np.broadcast_to(window == 0, logits.shape)
    np.testing.assert_allclose(rule.bias[visible], np.broadcast_to(bias, logits.shape)[visible], atol=4e-3)
