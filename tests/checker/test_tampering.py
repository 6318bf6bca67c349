"""Nothing that a function does while it is called changes the verdict on it, or on the next one."""

import sys

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def unscaled(X, Wq, Wk, Wv):
    return softmax(X @ Wq.T @ (X @ Wk.T).T) @ X @ Wv.T


class Liar(np.ndarray):
    """Equal to everything, and at no distance from anything."""

    def __eq__(self, other):
        return np.ones(self.shape, bool)

    __hash__ = None

    def __sub__(self, other):
        return np.zeros(self.shape)

    __rsub__ = __sub__

    def __array_ufunc__(self, *args, **kwargs):
        return np.zeros(self.shape)

    def __array_function__(self, *args, **kwargs):
        return True


class Wrapped:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __eq__(self, other):
        return True

    __hash__ = None


def returns_a_liar(X, Wq, Wk, Wv):
    return unscaled(X, Wq, Wk, Wv).view(Liar)


def returns_an_object(X, Wq, Wk, Wv):
    return Wrapped(unscaled(X, Wq, Wk, Wv))


def reads_the_stack(X, Wq, Wk, Wv):
    frame = sys._getframe()
    while frame is not None:
        for name, value in frame.f_locals.items():
            if name in ("expected", "right", "reference", "correct"):
                return value
        frame = frame.f_back
    return unscaled(X, Wq, Wk, Wv)


RETURNED = []


def keeps_what_it_returned(X, Wq, Wk, Wv):
    for old in RETURNED:
        old[...] = 0
    RETURNED.append(unscaled(X, Wq, Wk, Wv))
    return RETURNED[-1]


@pytest.mark.parametrize("function", [returns_a_liar, returns_an_object, reads_the_stack, keeps_what_it_returned])
def test_a_verdict_cannot_be_talked_round(function):
    assert hw.check(function, source="").mistakes == ("scale-missing",)


def test_a_patched_numpy_changes_nothing(monkeypatch):
    def patches(X, Wq, Wk, Wv):
        found = unscaled(X, Wq, Wk, Wv)
        for name in ("allclose", "abs", "isfinite", "where", "sqrt", "max", "array", "asarray"):
            monkeypatch.setattr(np, name, lambda *args, **kwargs: True)
        monkeypatch.setattr(np, "errstate", None)
        return found

    verdict = hw.check(patches, source="")
    monkeypatch.undo()
    assert verdict.mistakes == ("scale-missing",)
    assert hw.check(hw.self_attention).ok


def test_writing_into_the_arguments_is_named_and_reaches_nothing_else():
    def writes(X, Wq, Wk, Wv):
        found = unscaled(X, Wq, Wk, Wv)
        for array in (X, Wq, Wk, Wv):
            array[...] = 0
        return found

    verdict = hw.check(writes, source="")
    assert verdict.mistakes == ("scale-missing",)
    assert verdict.hazards == ("input-changed",)


def test_prints_and_warnings_are_kept_quiet(capsys):
    def loud(X, Wq, Wk, Wv):
        print("loud")
        np.log(np.zeros(1))
        return hw.self_attention(X, Wq, Wk, Wv).output

    assert hw.check(loud, source="").ok
    assert capsys.readouterr().out == ""
