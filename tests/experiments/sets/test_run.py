"""The sets experiment: what is learned, whether the order matters, and the findings."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.experiments import Runner
from headwise.experiments.sets import EXPERIMENT, SPECS, PoolingResult, SetModelSpec, SetsPlan, SetsResult
from headwise.experiments.sets.findings import draw_errors
from headwise.experiments.sets.run import order_sensitivity
from headwise.models.sets import SetTransformerConfig, set_params
from headwise.nn.params import flatten
from headwise.text import as_text
from headwise.train import MaximumTask, TrainingConfig, draw_sets, mean_absolute_error, train

FEW = (SetModelSpec("rFF", "mean"), SetModelSpec("rFF", "max"))
MODEL = SetTransformerConfig(1, encoder="rFF", pooling="max", d_model=16, n_heads=2)


def test_the_sets_are_what_they_say():
    sets = draw_sets(2000, np.random.default_rng(3))
    for members, length, largest in zip(sets.members[..., 0], sets.lengths, sets.largest[:, 0], strict=True):
        assert largest == members[:length].max()
        assert (members[length:] == 0).all()
    assert sorted(set(sets.lengths.tolist())) == list(range(1, 11))
    valid = np.concatenate([m[:n] for m, n in zip(sets.members[..., 0], sets.lengths, strict=True)])
    assert abs(valid.mean()) < 0.03
    assert -1 <= valid.min() < -0.99 < 0.99 < valid.max() <= 1


def test_it_learns_and_every_step_is_new():
    task = MaximumTask(MODEL, seed=0, n_examples=128 * 300, n_validation=100)
    batches = [task.shards(np.arange(5), step)[0].members for step in (0, 1)]
    assert batches[0].shape != batches[1].shape or (batches[0] != batches[1]).any()
    sets = draw_sets(500, np.random.default_rng(4))
    untrained = mean_absolute_error(sets, task.init(np.random.default_rng(0)), MODEL)
    trained = train(task, TrainingConfig(epochs=1, batch_size=128, weight_decay=0, max_shift=0, max_rotation=0))
    assert mean_absolute_error(sets, trained.params, MODEL) < untrained / 20
    assert trained.history[-1].validation_loss < untrained / 20
    again = train(
        task, TrainingConfig(epochs=1, batch_size=128, weight_decay=0, max_shift=0, max_rotation=0), threads=1
    )
    assert flatten(again.params).tobytes() == flatten(trained.params).tobytes()


def run(folder, **plan):
    return EXPERIMENT.run(SetsPlan(**{"steps": 30, "specs": FEW} | plan), Runner(folder, threads=1))


def test_the_result_gathers_the_runs(tmp_path):
    result = run(tmp_path, seeds=2)
    assert [pooling.name for pooling in result.poolings] == ["rFF + mean", "rFF + max"]
    assert len({error for pooling in result.poolings for error in pooling.errors}) == 4
    assert all(0 <= pooling.order_sensitivity_double < 1e-12 for pooling in result.poolings)
    assert run(tmp_path, seeds=2) == result
    one = run(tmp_path, seeds=1)
    assert one.poolings[0].errors == result.poolings[0].errors[:1]
    assert one.poolings[0].std is None
    assert one.to_json()["poolings"][0]["std"] is None
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4
    run(tmp_path, seeds=1, steps=31)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 6


def pooling(name, *errors, change=1e-7):
    return PoolingResult(name, 7, errors, change, change / 1e9)


def text_of(result):
    return " ".join(as_text(statement) for part in EXPERIMENT.findings(result).values() for statement in part)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0.1, 0.2, 0.1, 0.2), (2.0, 3.0, 2.0, 3.0), "error of rFF + mean is 16.7 times that of SAB + PMA; every seed"),
        ((4.0, 5.0, 4.0, 5.0), (2.0, 3.0, 2.0, 3.0), "error of SAB + PMA is 1.8 times that of rFF + mean; every seed"),
        ((2.0, 4.0, 4.0, 4.0), (1.0, 3.0, 3.0, 3.0), "that of rFF + mean, which these seeds do not show"),
        ((0.1, 0.2, 0.1), (2.0, 3.0, 2.0), "that of SAB + PMA, which these seeds do not show"),  # the least p is 0.1
        ((0.1, 0.2, 0.1, 0.2), (2.0, 3.0, 2.0, 3.0), "SAB + PMA has the smallest error, 0.150 on average, and each"),
        ((0.1, 0.2, 0.1, 2.2), (2.0, 3.0, 2.0, 3.0), "but not shown against all others"),
    ],
)
def test_the_findings_follow_from_the_numbers(first, second, expected):
    text = text_of(SetsResult((pooling("SAB + PMA", *first), pooling("rFF + mean", *second)), len(first), 9))
    assert expected in text
    assert "that is rounding" in text


def test_an_order_that_matters_is_found():
    assert "one of these models uses the order" in text_of(SetsResult((pooling("rFF + max", 1.0, change=1e-3),), 1, 9))
    params = set_params(MODEL, np.random.default_rng(0))
    assert order_sensitivity(params, MODEL, np.float64) < 1e-14


def test_the_table_and_the_figure():
    result = SetsResult((pooling("SAB + PMA", 0.1, 0.3), pooling("ISAB + PMA", 0.5, 0.5)), 2, 9)
    [table] = EXPERIMENT.tables(result)
    assert table.rows[0] == ("SAB + PMA", "7", "0.2000", "0.1414", "0.208 ± 0.013", "1e-07, 1e-16")
    assert table.rows[1][4] == "–"
    [axes] = draw_errors(result).axes
    shown = {round(float(x), 6) for line in axes.lines for x in line.get_xdata()}
    assert shown == {0.1, 0.3, 0.2, 0.5, 0.2085}


def test_plans_that_make_no_sense():
    with pytest.raises(DataError, match="seeds: expected 1 or more; got 0"):
        SetsPlan(seeds=0)
    with pytest.raises(DataError, match=r"specs: expected each once; got rFF \+ mean, rFF \+ mean"):
        SetsPlan(specs=(SPECS[0], SPECS[0]))
