"""Methods of objects that keep keys and values between calls: all tokens at once, and one after the other."""

import numpy as np

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Cache:
    """Takes one token after the other."""

    def __init__(self):
        self.keys, self.values, self.weights = [], [], None

    def attend(self, q, k, v):
        self.keys.append(k)
        self.values.append(v)
        weights = softmax(np.array([key @ q for key in self.keys]) / np.sqrt(len(q)))
        return sum(w * value for w, value in zip(weights, self.values, strict=True))

    def attend_unscaled(self, q, k, v):
        self.keys.append(k)
        self.values.append(v)
        return softmax(np.array(self.keys) @ q) @ np.array(self.values)


class Rows:
    """Takes any number of tokens at a time."""

    def __init__(self):
        self.keys = self.values = self.weights = None

    def push(self, q, k, v, late=0):
        start = 0 if self.keys is None else len(self.keys) - late
        self.keys = k if self.keys is None else np.vstack([self.keys, k])
        self.values = v if self.values is None else np.vstack([self.values, v])
        visible = np.arange(len(self.keys)) <= start + np.arange(len(q))[:, None]
        return softmax(np.where(visible, q @ self.keys.T / np.sqrt(q.shape[1]), -1e30)) @ self.values

    def push_without_the_own_key_later(self, q, k, v):
        return self.push(q, k, v, 1)

    def forgetful(self, q, k, v):
        self.weights = softmax(q @ k.T / np.sqrt(q.shape[1]))
        return self.weights @ v


def test_one_token_after_the_other():
    verdict = hw.check(Cache().attend)
    assert verdict.ok
    assert "causal-unasked" in verdict.conventions
    assert hw.check(Cache().attend_unscaled).mistakes == ("scale-missing",)


def test_what_is_right_in_the_first_call_is_called_again():
    assert hw.check(Rows().push).ok
    verdict = hw.check(Rows().push_without_the_own_key_later)
    assert not verdict.ok
    assert "for each token in turn" in " ".join(verdict.report().split())


def test_what_is_kept_and_not_used_changes_nothing():
    verdict = hw.check(Rows().forgetful)
    assert verdict.ok
    assert "causal-unasked" not in verdict.conventions
