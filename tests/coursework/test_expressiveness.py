import json

import numpy as np
import pytest

from headwise.coursework.expressiveness.constructions import (
    Setting,
    directions,
    outside_interval_example,
    outside_segment_example,
    projections,
    read_off_forms,
    single_input_example,
)
from headwise.coursework.expressiveness.fitting import functions_backward, functions_forward, random_functions
from headwise.coursework.expressiveness.study import Expressiveness, expressiveness
from helpers.oracles import check_gradients

SETTINGS = [Setting(3, 3, 4), Setting(6, 3, 5), Setting(8, 2, 3)]


@pytest.mark.parametrize("setting", SETTINGS)
def test_several_heads_leave_the_segment(setting):
    distance, length = outside_segment_example(setting)
    assert distance == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert length == pytest.approx(np.sqrt(2))
    assert outside_segment_example(setting._replace(heads=1))[0] < 1e-9  # a single head does not


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_final_transformation_leaves_the_interval(setting):
    assert outside_interval_example(setting) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("setting", SETTINGS)
def test_shares_of_an_identity_are_projections(setting, rng):
    assert projections(setting, rng) < 1e-10


@pytest.mark.parametrize(("heads", "width"), [(1, 6), (3, 6), (3, 3), (2, 8)])
def test_directions_are_the_weights_less_what_changes_nothing(heads, width, rng):
    freedom = width**2 // heads  # an invertible (d, d) matrix for each head
    assert directions(heads, width, False, rng) == 3 * width**2 - freedom
    assert directions(heads, width, True, rng) == 4 * width**2 - 2 * freedom


def test_one_input_leaves_the_outputs_free(rng):
    for n, d, outputs in ((5, 6, 6), (6, 6, 2), (1, 4, 3)):
        assert single_input_example(rng.normal(size=(n, d)), rng.normal(size=(n, outputs))) < 1e-10
    assert single_input_example(rng.normal(size=(7, 6)), rng.normal(size=(7, 6))) is None
    assert single_input_example(np.ones((2, 6)), rng.normal(size=(2, 6))) is None


@pytest.mark.parametrize(("heads", "width"), [(1, 6), (3, 6), (3, 9), (3, 3)])
def test_the_form_behind_every_coordinate_is_read_off_the_outputs(heads, width, rng):
    forms, deviation = read_off_forms(heads, rng, width=width)
    assert deviation < 1e-9
    assert set(np.linalg.matrix_rank(forms, tol=1e-6)) == {width // heads}
    apart = np.abs(forms - forms[0]).max(axis=(1, 2)) > 1e-6
    assert apart.tolist() == [i >= width // heads for i in range(width)]  # one form a head


@pytest.mark.parametrize("heads", [1, 3])
def test_the_gradient_of_the_fit(heads, rng):
    x, params = rng.normal(size=(2, 3, 6)), random_functions(2, 6, rng)
    o, cache = functions_forward(x, params, heads)
    do = rng.normal(size=o.shape)
    grads = functions_backward(do, cache)

    def f(*arrays):
        return functions_forward(x, dict(zip(params, arrays, strict=True)), heads)[0]

    check_gradients(f, list(params.values()), [grads[name] for name in params], do)


def test_each_family_finds_itself_and_not_the_other():
    study = expressiveness(targets=1, starts=3, steps=300, inputs=32)
    best = {(f.heads, f.of): f.best.max() for f in study.fits}
    assert best[1, 1] < 1e-3
    assert best[3, 3] < 1e-2
    assert best[1, 3] > 0.1
    assert best[3, 1] > 0.05
    assert study.ranks == ((6,) * 6, (2,) * 6)
    assert study.directions == ((72, 96), (72, 120))
    assert max(study.one_form, study.read_off, study.projections) < 1e-9
    back = Expressiveness.from_json(json.loads(json.dumps(study.to_json())))
    assert back.to_json() == study.to_json()


def test_it_is_repeatable():
    first, again = (expressiveness(targets=1, starts=2, steps=5, inputs=8) for _ in range(2))
    np.testing.assert_array_equal(first.fits[1].losses, again.fits[1].losses)


def test_the_setting_is_followed():
    study = expressiveness(Setting(3, 3, 2), targets=1, starts=1, steps=2, inputs=4)
    assert study.ranks == ((3,) * 3, (1,) * 3)
    assert study.setting == Setting(3, 3, 2)
