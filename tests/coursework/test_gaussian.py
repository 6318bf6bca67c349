import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from headwise.coursework.gaussian import gaussian, maximum_likelihood
from headwise.coursework.gaussian_derivation import check_step, derivation


def test_every_step_holds():
    steps = [step for part in derivation().values() for step in part]
    assert len(steps) > 10
    assert all(step.holds for step in steps)


def test_a_wrong_step_is_detected():
    import sympy as sp

    c = sp.Symbol("c")
    assert not check_step("", "", 1 - c**2, 1 + c**2).holds


@pytest.mark.parametrize("c", [-0.9, 0.0, 0.4])
def test_maximum_likelihood(c, rng):
    x = rng.standard_normal(50)
    y = c * x + np.sqrt(1 - c**2) * rng.standard_normal(50)
    xx, xy, yy = (x * x).mean(), (x * y).mean(), (y * y).mean()
    result = minimize_scalar(
        lambda r: np.log(1 - r**2) / 2 + (xx - 2 * r * xy + yy) / (2 * (1 - r**2)),
        bounds=(-0.9999, 0.9999),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert maximum_likelihood(xx, xy, yy) == pytest.approx(result.x, abs=1e-6)


def test_the_experiment_agrees_with_the_derivation():
    study = gaussian(runs=300)
    assert np.abs(study.ratio(study.least_squares, study.predicted_least_squares) - 1).max() < 0.4
    assert np.abs(study.ratio(study.likelihood, study.predicted_likelihood)[:, -1] - 1).max() < 0.3
    assert np.abs(study.least_squares[:, -1].mean(-1) - study.correlations).max() < 0.01
    assert study.masked.max_error < 0.05


def test_same_seed_same_numbers():
    assert gaussian(runs=5, seed=3).likelihood.tobytes() == gaussian(runs=5, seed=3).likelihood.tobytes()
