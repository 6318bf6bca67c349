"""The comparison of series classifiers: kept and resumed run by run, baselines of others, and what it may say."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headwise.data.series import LabelledSeries, SeriesData
from headwise.errors import DataError
from headwise.experiments.series import baselines as series_baselines
from headwise.experiments.series import run as series
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.findings import findings, table
from headwise.experiments.series.output import record_series, save_report
from headwise.experiments.series.run import Plan, Result, SeriesRun, compare_series, weights_of
from headwise.text import as_text
from headwise.train.config import TrainingConfig

FEW = TrainingConfig(epochs=3, batch_size=17, learning_rate=1e-2, max_grad_norm=4.0, max_shift=0, max_rotation=0)
PLAN = Plan(
    seeds=2, baselines=False, d_model=8, n_layers=1, n_heads=2, d_ff=7, recipe=FEW, pretraining=replace(FEW, epochs=2)
)


def waves(count, seed):
    rng = np.random.default_rng(seed)
    labels, lengths = rng.integers(0, 2, count), rng.integers(9, 14, count)
    x = np.sin(rng.uniform(0, 6, (count, 1)) + (0.4 + labels[:, None]) * np.arange(13))
    x = np.stack([x, rng.normal(size=x.shape)], axis=2).astype(np.float32)
    x[np.arange(13) >= lengths[:, None]] = 9  # padding that nobody may look at
    return LabelledSeries(x, lengths, labels)


@pytest.fixture
def data():
    return SeriesData("waves", waves(53, 1), waves(29, 2), ("slow", "fast"))


def test_every_run_is_a_row_and_is_not_run_again(data, tmp_path, monkeypatch):
    whole = compare_series(data, tmp_path, PLAN)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["seed"]) for row in rows} == {
        (method, seed) for method in ("transformer", "pre-trained") for seed in "01"
    }
    assert {(row["data"], row["recipe.epochs"], row["d_model"]) for row in rows} == {("waves", "3", "8")}
    assert {row["pretraining.epochs"] for row in rows} == {"", "2"}
    assert all(int(row["right"]) / 29 == pytest.approx(float(row["accuracy"]), abs=1e-4) for row in rows)
    assert [len(row.losses) for row in whole.rows] == [3] * 4
    assert [len(row.imputing) for row in whole.rows] == [0, 0, 2, 2]
    assert not list(tmp_path.glob("runs/*-classes.safetensors"))  # what a finished run needs no more

    def never(*_, **__):
        raise AssertionError("it ran again")

    monkeypatch.setattr(series, "train", never)
    again = compare_series(data, tmp_path, PLAN)
    assert [(row.right, tuple(row.losses)) for row in again.rows] == [(row.right, row.losses) for row in whole.rows]
    with pytest.raises(AssertionError, match="it ran again"):
        compare_series(data, tmp_path, replace(PLAN, dropout=0.2))
    with pytest.raises(AssertionError, match="it ran again"):
        compare_series(replace(data, train=waves(53, 3)), tmp_path, PLAN)
    fewer = compare_series(data, tmp_path, replace(PLAN, seeds=1, pretrain=False))  # is among those that were run
    assert fewer.rows[0].right == whole.rows[0].right


@pytest.mark.filterwarnings("ignore")  # those of the libraries that the processes run on
def test_in_two_processes_it_is_the_same(data, tmp_path):
    apart = compare_series(data, tmp_path / "two", PLAN, workers=2)
    alone = compare_series(data, tmp_path / "one", PLAN)
    assert [(row.method, row.seed, row.right, tuple(row.losses)) for row in apart.rows] == [
        (row.method, row.seed, row.right, tuple(row.losses)) for row in alone.rows
    ]
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


def test_an_interrupted_run_goes_on_to_the_same_end(data, tmp_path, monkeypatch):
    expected = compare_series(data, tmp_path / "whole", PLAN)
    real = series.train

    def dies(task, recipe, **options):
        def on_epoch(epoch):
            if epoch.epoch == 2:
                raise KeyboardInterrupt

        return real(task, recipe, on_epoch=on_epoch, **options)

    monkeypatch.setattr(series, "train", dies)
    with pytest.raises(KeyboardInterrupt):
        compare_series(data, tmp_path / "cut", PLAN)
    [state] = (tmp_path / "cut" / "runs").glob("transformer-0-*-classes.safetensors")
    assert not (tmp_path / "cut" / "results.csv").exists()
    monkeypatch.setattr(series, "train", real)
    compare_series(data, tmp_path / "cut", replace(PLAN, seeds=1, pretrain=False, recipe=replace(FEW, epochs=2)))
    assert state.exists()  # another recipe is no hindrance, nor hindered
    found = compare_series(data, tmp_path / "cut", PLAN)
    for method in ("transformer", "pre-trained"):
        for name, array in weights_of(expected, method, 1).items():
            np.testing.assert_array_equal(weights_of(found, method, 1)[name], array)
    rows = (tmp_path / "cut" / "results.csv").read_text().splitlines()
    assert set((tmp_path / "whole" / "results.csv").read_text().splitlines()) < set(rows)
    assert len(rows) == 1 + 4 + 1


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-5]), Path.unlink])
def test_a_run_whose_weights_are_lost_is_run_again(damage, data, tmp_path):
    plan = replace(PLAN, seeds=1, pretrain=False)
    expected = weights_of(compare_series(data, tmp_path, plan), "transformer")
    [path] = (tmp_path / "runs").glob("*.safetensors")
    damage(path)
    found = weights_of(compare_series(data, tmp_path, plan), "transformer")
    np.testing.assert_array_equal(found["head.weight"], expected["head.weight"])


def test_a_damaged_state_is_begun_anew(data, tmp_path):
    plan = replace(PLAN, seeds=1, pretrain=False)
    expected = compare_series(data, tmp_path / "whole", plan)
    [weights] = (tmp_path / "whole" / "runs").glob("*.safetensors")
    (tmp_path / "cut" / "runs").mkdir(parents=True)
    for content in (b"nonsense", weights.read_bytes()):  # of the second, not a state of training
        (tmp_path / "cut" / "runs" / f"{weights.stem}-classes.safetensors").write_bytes(content)
        found = compare_series(data, tmp_path / "cut", plan)
        assert found.rows[0].right == expected.rows[0].right
        next((tmp_path / "cut" / "runs").glob("*.json")).unlink()


def test_what_it_leaves_in_the_folder(data, tmp_path):
    result = compare_series(data, tmp_path, PLAN)
    save_report(result)
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {f"{stem}.{kind}" for stem in ("accuracy", "losses", "attention") for kind in ("png", "svg", "pdf")}
    assert pictures | {"summary.md", "attention.md", "results.csv"} <= names
    assert "| transformer, pre-trained | 2 |" in (tmp_path / "summary.md").read_text()
    for which in (0, 3):
        drawn, length = record_series(result, which), data.test.lengths[which]
        assert drawn.x.shape == (length, 2)
        assert drawn.weights.shape == (1, 2, length, length)
        assert drawn.label == data.test.labels[which]
        np.testing.assert_allclose(drawn.weights.sum(-1), 1, atol=1e-5)


def test_the_baselines_run(data, tmp_path, monkeypatch):
    pytest.importorskip("aeon")
    monkeypatch.setattr(series_baselines, "_KERNELS", 84)
    plan = replace(PLAN, baselines=True, pretrain=False, seeds=1)
    accuracies = compare_series(data, tmp_path, plan).accuracies
    assert list(accuracies) == ["transformer", "dtw", "dtw-standardised", "rocket"]
    assert accuracies["dtw"] > 0.7
    assert accuracies["rocket"] > 0.7
    # one nearest neighbour under DTW, written out
    nearest = []
    for x, n, _ in zip(*data.test, strict=True):
        costs = [warped(x[:n], y[:m]) for y, m in zip(data.train.x, data.train.lengths, strict=True)]
        nearest.append(data.train.labels[int(np.argmin(costs))])
    np.testing.assert_array_equal(BASELINES["dtw"].classify(data, 0), nearest)
    assert accuracies["dtw"] == (nearest == data.test.labels).mean()


def warped(a, b):
    """The least sum of squared distances along a path through (0, 0) … (n, m)."""
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    squares = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = squares[i, j] + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return cost[-1, -1]


def said_of(data, tmp_path, **right):
    """The findings over these numbers of series read rightly, run by run."""
    seeds = len(right["transformer"])
    rows = [SeriesRun(name, seed, n, 29) for name, runs in right.items() for seed, n in enumerate(runs)]
    return " ".join(as_text(s) for s in findings(Result(data, Plan(seeds=seeds), tuple(rows), tmp_path)))


def test_what_is_said_is_chosen_by_the_figures(data, tmp_path):
    ten = [20, 21, 22, 20, 21, 22, 20, 21, 22, 20]
    better = [n + 2 for n in ten]
    up = said_of(data, tmp_path, transformer=ten, **{"pre-trained": better})
    assert "Pre-training makes it better: by 2.0 series on average over 10 seeds, p = 0.002" in up
    down = said_of(data, tmp_path, transformer=better, **{"pre-trained": ten})
    assert "Pre-training makes it worse: by 2.0 series" in down
    even = said_of(data, tmp_path, transformer=ten, **{"pre-trained": ten[::-1]})
    assert "Whether pre-training helps cannot be told by 10 seeds" in even
    few = said_of(data, tmp_path, transformer=ten[:4], **{"pre-trained": better[:4]})
    assert "4 seeds are too few for a verdict: the exact test cannot give less than p = 0.125" in few
    assert "changes the series read rightly by +2.0 on average" in few
    one = said_of(data, tmp_path, transformer=better[:1], **{"pre-trained": ten[:1]})
    assert "changes the series read rightly by -2.0 on average, but 1 seed is too few for a verdict" in one


def test_what_is_said_of_the_baselines(data, tmp_path):
    for rival, expected in (
        (20, "has a higher mean than every baseline measured here; next is ROCKET and ridge (68.97%)"),
        (28, "does not beat every baseline measured here: ROCKET and ridge has 96.55%"),
        (29, "does not beat every baseline measured here: ROCKET and ridge makes no mistake"),
        (23, "have the same mean, 79.31%"),
    ):
        assert expected in said_of(data, tmp_path, transformer=[22, 24], rocket=[rival, rival], dtw=[3])


def test_the_table(data, tmp_path):
    rows = (SeriesRun("transformer", 0, 27, 30), SeriesRun("transformer", 1, 30, 30), SeriesRun("dtw", 0, 15, 30))
    made = table(Result(data, PLAN, rows, tmp_path))
    assert made.rows == (
        ("transformer", "2", "95.00%", "7.07%", "31.47% to 100.00%"),  # 95 ± 12.706 · 7.07 / √2, cut at what can be
        ("1-NN, DTW", "1", "50.00%", "", ""),
    )


def test_refusals(data, tmp_path):
    with pytest.raises(DataError, match=r"its labels are numbers .* save them as whole numbers or words"):
        compare_series(replace(data, classes=()), tmp_path, PLAN)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file; name a folder"):
        compare_series(data, tmp_path / "file", PLAN)
    with pytest.raises(DataError, match="seeds: expected 1 or more"):
        Plan(seeds=0)
