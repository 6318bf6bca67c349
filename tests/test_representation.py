"""What the interactive prompt prints for objects with large arrays."""

import re

import numpy as np
import pytest

import headwise as hw
from headwise.data.mnist import load_bundled_mnist
from headwise.representation import brief_repr
from headwise.train.checkpoint import pretrained_vit


@pytest.fixture(scope="module")
def explanation(little_work):
    with little_work():
        return hw.explain(pretrained_vit(), load_bundled_mnist().test.images[0])


def test_objects_with_arrays_fit_a_few_lines(explanation):
    q = np.zeros((2, 3, 5))
    for value in (
        explanation,
        explanation.record,
        explanation.figures[0],
        explanation.captions["maps"],
        load_bundled_mnist(),
        pretrained_vit(),
        hw.attention_forward(q, q, q)[1],
    ):
        assert len(repr(value)) < 800
        assert repr(value).startswith(type(value).__name__)
        assert "array(" not in repr(value)


def test_arrays_are_shown_by_type_and_shape(explanation):
    assert "weights=<float32 (4, 4, 17, 17)>" in repr(explanation.record)


def test_long_values_are_shown_by_their_length():
    class Sample(hw.AttentionResult):
        __repr__ = brief_repr

    text = repr(Sample(list(range(9)), "x" * 61))
    assert re.fullmatch(r"Sample\(output=<list of 9>, weights=<str of 61>\)", text)
    assert repr(Sample(list(range(8)), "x")) == "Sample(output=[0, 1, 2, 3, 4, 5, 6, 7], weights='x')"
