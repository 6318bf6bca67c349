import json

import numpy as np
import pytest

from headwise.studies.expressiveness import (
    MANY,
    WIDTH,
    Expressiveness,
    _backward,
    _draw,
    _forward,
    expressiveness,
    forms_read_off,
    off_the_segment,
)
from oracles import check_gradients


def test_several_heads_leave_the_segment():
    distance, length = off_the_segment()
    assert distance > 0.4 * length


@pytest.mark.parametrize(("heads", "rank"), [(1, WIDTH), (MANY, WIDTH // MANY)])
def test_the_form_behind_every_coordinate_is_read_off_the_outputs(heads, rank, rng):
    forms, deviation = forms_read_off(heads, rng)
    assert deviation < 1e-9
    assert set(np.linalg.matrix_rank(forms, tol=1e-6)) == {rank}
    apart = np.abs(forms - forms[0]).max(axis=(1, 2)) > 1e-6
    assert apart.tolist() == [i >= WIDTH // heads for i in range(WIDTH)]  # one form a head


@pytest.mark.parametrize("heads", [1, MANY])
def test_the_gradient_of_the_fit(heads, rng):
    x, params = rng.normal(size=(2, 3, WIDTH)), _draw(2, rng)
    o, cache = _forward(x, params, heads)
    do = rng.normal(size=o.shape)
    grads = _backward(do, cache)

    def f(*arrays):
        return _forward(x, dict(zip(params, arrays, strict=True)), heads)[0]

    check_gradients(f, list(params.values()), [grads[name] for name in params], do)


def test_each_family_finds_itself_and_not_the_other():
    study = expressiveness(targets=1, starts=3, steps=300, inputs=32)
    best = {(f.heads, f.of): f.best.max() for f in study.fits}
    assert best[1, 1] < 1e-3
    assert best[MANY, MANY] < 1e-3
    assert best[1, MANY] > 0.1
    assert best[MANY, 1] > 0.05
    assert study.fixed_loss < 0.05
    assert study.ranks == ((WIDTH,) * WIDTH, (WIDTH // MANY,) * WIDTH)
    assert max(study.one_form, study.read_off) < 1e-9
    back = Expressiveness.from_json(json.loads(json.dumps(study.to_json())))
    assert back.to_json() == study.to_json()
    again = expressiveness(targets=1, starts=3, steps=300, inputs=32)
    np.testing.assert_array_equal(study.fits[1].losses, again.fits[1].losses)
