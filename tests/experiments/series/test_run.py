"""The time-series experiment: its runs, resumed within a run, the baselines, and the findings."""

from dataclasses import replace

import numpy as np
import pytest

from headwise.data.series import LabelledSeries, SeriesData, standardize
from headwise.errors import DataError
from headwise.experiments import Runner
from headwise.experiments.series import EXPERIMENT, SeriesPlan, SeriesResult, SeriesRun, explain_series, run
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.findings import findings, table
from headwise.models.series import predict_series_with_attention
from headwise.text import as_text
from headwise.train import TrainingConfig, train

FEW = TrainingConfig(epochs=3, batch_size=17, learning_rate=1e-2, max_grad_norm=4.0, max_shift=0, max_rotation=0)


def waves(count, seed):
    rng = np.random.default_rng(seed)
    labels, lengths = rng.integers(0, 2, count), rng.integers(9, 14, count)
    x = np.sin(rng.uniform(0, 6, (count, 1)) + (0.4 + labels[:, None]) * np.arange(13))
    x = np.stack([x, rng.normal(size=x.shape)], axis=2).astype(np.float32)
    x[np.arange(13) >= lengths[:, None]] = 9  # padding that nobody may look at
    return LabelledSeries(x, lengths, labels)


DATA = SeriesData("waves", waves(53, 1), waves(29, 2), ("slow", "fast"))
PLAN = SeriesPlan(
    DATA,
    seeds=2,
    baselines=False,
    d_model=8,
    n_layers=1,
    n_heads=2,
    d_ff=7,
    recipe=FEW,
    pretraining=replace(FEW, epochs=2),
)
ONE = replace(PLAN, seeds=1, pretrain=False)


def run_plan(plan, folder, **options):
    return EXPERIMENT.run(plan, Runner(folder, **options))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run_plan(PLAN, folder)


def test_the_result_gathers_the_runs(whole, monkeypatch):
    folder, result = whole
    assert [(run.method, run.seed) for run in result.runs] == [
        (method, seed) for method in ("transformer", "pre-trained") for seed in (0, 1)
    ]
    assert [len(run.losses) for run in result.runs] == [3] * 4
    assert [len(run.pretraining_losses) for run in result.runs] == [0, 0, 2, 2]
    assert {path.suffix for path in (folder / "runs").iterdir()} == {".json", ".safetensors"}
    assert not list(folder.glob("runs/*-recipe.safetensors"))  # the states of finished runs are removed

    def never(*_, **__):
        raise AssertionError("it ran again")

    monkeypatch.setattr(run, "train", never)
    assert run_plan(PLAN, folder).runs == result.runs
    for changed in (replace(PLAN, dropout=0.2), replace(PLAN, data=replace(DATA, train=waves(53, 3)))):
        with pytest.raises(AssertionError, match="it ran again"):
            run_plan(changed, folder)
    assert run_plan(ONE, folder).runs == result.runs[:1]


@pytest.mark.exhaustive  # tests/experiments/test_protocol.py has every experiment's runner in two processes
@pytest.mark.filterwarnings("ignore")  # those of the libraries that the processes run on
def test_in_two_processes_it_is_the_same(whole, tmp_path):
    folder, _ = whole
    run_plan(PLAN, tmp_path, processes=2)
    for path in sorted(tmp_path.rglob("*.*")):
        if path.name != "runs.csv":
            assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_an_interrupted_training_resumes_to_the_same_end(whole, tmp_path, monkeypatch):
    def interrupted(task, recipe, **options):
        def on_epoch(epoch):
            if epoch.epoch == 2:
                raise KeyboardInterrupt

        return train(task, recipe, on_epoch=on_epoch, **options)

    monkeypatch.setattr(run, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, tmp_path)
    [state] = (tmp_path / "runs").glob("transformer-0-*-recipe.safetensors")
    monkeypatch.setattr(run, "train", train)
    run_plan(replace(ONE, recipe=replace(FEW, epochs=2)), tmp_path)
    assert state.exists()  # the state belongs to another recipe
    _, expected = whole
    result = run_plan(PLAN, tmp_path)
    assert result.runs == expected.runs
    for method in ("transformer", "pre-trained"):
        for name, array in expected.params[method].items():
            np.testing.assert_array_equal(result.params[method][name], array)


def test_a_damaged_state_is_ignored(tmp_path):
    expected = run_plan(ONE, tmp_path / "whole")
    [weights] = (tmp_path / "whole" / "runs").glob("*.safetensors")
    (tmp_path / "cut" / "runs").mkdir(parents=True)
    for content in (b"nonsense", weights.read_bytes()):  # the second is not a state of training
        (tmp_path / "cut" / "runs" / f"{weights.stem}-recipe.safetensors").write_bytes(content)
        assert run_plan(ONE, tmp_path / "cut").runs == expected.runs
        next((tmp_path / "cut" / "runs").glob("*.json")).unlink()


def test_everything_is_written(whole, tmp_path):
    _, result = whole
    EXPERIMENT.save(result, tmp_path)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    figures = {
        f"{stem}.{kind}"
        for stem in ("accuracy", "losses", "attention", "attention-matrices")
        for kind in ("png", "svg", "pdf")
    }
    assert figures | {"attention.md", "attention.npz", "attention-matrices.md"} <= names
    assert "| transformer, pre-trained | 2 |" in (tmp_path / "findings.md").read_text()
    for index in (0, 3):
        record, length = explain_series(result, index).record, DATA.test.lengths[index]
        x = standardize(DATA).test.x[index : index + 1, :length]
        np.testing.assert_array_equal(record.image, x[0])
        params = result.params["pre-trained"]
        prediction = predict_series_with_attention(x, np.array([length]), params, PLAN.model)
        np.testing.assert_allclose(record.weights, prediction.weights[0], atol=1e-6)
        assert record.label == DATA.test.labels[index]
        right = record.label == prediction.outputs[0].argmax()
        predicted = DATA.classes[prediction.outputs[0].argmax()]
        sentence = f"The model predicts {predicted} (probability {record.probabilities.max():.1%}), which is "
        assert sentence + ("correct" if right else "wrong;") in explain_series(result, index).text(full=True)


@pytest.mark.exhaustive  # the next test has one of them; aeon compiles ROCKET for ten seconds
def test_the_baselines_run(tmp_path, monkeypatch):
    pytest.importorskip("aeon")
    monkeypatch.setattr("headwise.experiments.series.baselines.ROCKET_KERNELS", 84)
    accuracies = run_plan(replace(ONE, baselines=True), tmp_path).accuracies
    assert list(accuracies) == ["transformer", "dtw", "dtw-standardized", "rocket"]
    assert accuracies["dtw"] == (BASELINES["dtw"].classify(DATA, 0) == DATA.test.labels).mean() > 0.7
    assert accuracies["rocket"] > 0.7


def test_a_baseline_is_one_nearest_neighbour_under_dtw():
    pytest.importorskip("aeon")
    nearest = []
    for x, n, _ in zip(*DATA.test, strict=True):
        costs = [warped(x[:n], y[:m]) for y, m in zip(DATA.train.x, DATA.train.lengths, strict=True)]
        nearest.append(DATA.train.labels[int(np.argmin(costs))])
    np.testing.assert_array_equal(BASELINES["dtw"].classify(DATA, 0), nearest)


def warped(a, b):
    """The least sum of squared distances along a path through (0, 0) … (n, m)."""
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    squares = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = squares[i, j] + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return cost[-1, -1]


def text_of(**n_correct):
    """The findings from these numbers of series classified correctly, run by run."""
    seeds = len(n_correct["transformer"])
    runs = [SeriesRun(name, seed, n, 29) for name, values in n_correct.items() for seed, n in enumerate(values)]
    result = SeriesResult(SeriesPlan(DATA, seeds=seeds), tuple(runs))
    return " ".join(as_text(statement) for part in findings(result).values() for statement in part)


def test_the_findings_on_pretraining_follow_from_the_numbers():
    ten = [20, 21, 22, 20, 21, 22, 20, 21, 22, 20]
    better = [n + 2 for n in ten]
    up = text_of(transformer=ten, **{"pre-trained": better})
    assert "improves the accuracy by 2.0 series on average over 10 seeds" in up
    down = text_of(transformer=better, **{"pre-trained": ten})
    assert "Pre-training lowers the accuracy by 2.0 series" in down
    even = text_of(transformer=ten, **{"pre-trained": ten[::-1]})
    assert "With 10 seeds pre-training is not shown to make a difference" in even
    few = text_of(transformer=ten[:4], **{"pre-trained": better[:4]})
    assert "by +2.0 on average, but 4 seeds are too few" in few
    one = text_of(transformer=better[:1], **{"pre-trained": ten[:1]})
    assert "by −2.0 on average, but 1 seed is too few" in one


def test_the_findings_on_the_baselines_follow_from_the_numbers():
    for rival, expected in (
        (20, "has a higher mean than every baseline measured here; the next is ROCKET and ridge (68.97%)"),
        (28, "does not beat every baseline measured here: ROCKET and ridge has 96.55%"),
        (23, "have the same mean, 79.31%"),
    ):
        assert expected in text_of(transformer=[22, 24], rocket=[rival, rival], dtw=[3])


def test_the_table():
    runs = (SeriesRun("transformer", 0, 27, 30), SeriesRun("transformer", 1, 30, 30), SeriesRun("dtw", 0, 15, 30))
    assert table(SeriesResult(PLAN, runs)).rows == (
        ("transformer", "2", "95.00%", "7.07%", "31.47% to 100.00%"),  # 95 ± 12.706 · 7.07 / √2, clipped to 100%
        ("1-NN, DTW", "1", "50.00%", "", ""),
    )


def test_plans_that_make_no_sense():
    with pytest.raises(DataError, match=r"its labels are numbers .* save them as whole numbers or words"):
        SeriesPlan(replace(DATA, classes=()))
    with pytest.raises(DataError, match="seeds: expected 1 or more"):
        SeriesPlan(DATA, seeds=0)
