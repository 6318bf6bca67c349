"""The tokenizer experiment: its runs, the result gathered from them, and the findings."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import DataError, ShapeError
from headwise.experiments import Runner
from headwise.experiments.tokenizers import EXPERIMENT, PairedComparison, TokenizersPlan
from headwise.experiments.tokenizers.costs import cost, multiply_adds, step_times
from headwise.experiments.tokenizers.findings import findings
from headwise.experiments.tokenizers.plan import held_out_images
from headwise.experiments.tokenizers.result import baselines
from headwise.experiments.tokenizers.run import position_locality, relabelling, run
from headwise.experiments.tokenizers.tables import tables
from headwise.experiments.tokenizers.training import SHIFTS, shift_images, train_job
from headwise.models.vit import ViTConfig, vit_params
from headwise.parallel.threads import limit_threads
from headwise.text import as_text
from headwise.tokenizers import get_tokenizer
from headwise.train.config import TrainingConfig
from helpers.snapshots import assert_snapshot

MODEL = ViTConfig(d_model=6, n_layers=1, n_heads=2, d_ff=5)


def load(train=31, seed=0):
    """Tiny digits: noise, with a bright row that tells the class."""
    rng = np.random.default_rng(seed)

    def some(count):
        labels = rng.integers(0, 10, count)
        images = rng.random((count, 28, 28)).astype(np.float32) / 4
        images[np.arange(count), 2 + 2 * labels] = 1
        return LabelledImages(images, labels)

    return Digits("noise", some(train), some(7), some(13))


PLAN = TokenizersPlan(
    tokenizers=("14x14", "reordered-14x14"),
    seeds=2,
    model=MODEL,
    recipe=TrainingConfig(epochs=1, batch_size=11, seed=3),
    load=load,
)


@pytest.fixture(autouse=True, scope="module")
def untimed():
    """Timing has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "headwise.experiments.tokenizers.run.step_times",
            lambda models, digits, recipe: [0.01 * (1 + i) for i in range(len(models))],
        )
        yield


# --- costs


@pytest.mark.parametrize("name", ["7x7", "rows", "8x8/4"])
def test_weights_and_operations(name):
    model = ViTConfig(tokenizer=name, d_model=6, n_layers=2, n_heads=3, d_ff=5)
    counted, params = cost(model), vit_params(model, np.random.default_rng(0))
    assert counted.total == sum(array.size for array in params.values())
    assert counted.parameters["embedding"] == 6 * counted.inputs + 6
    assert counted.parameters["positions"] == 6 * (1 + counted.tokens)
    n = counted.tokens + 1
    whole = 4 * n * 6 * 6 + 2 * n * n * 6 + 2 * n * 6 * 5
    last = 2 * n * 6 * 6 + 2 * 6 * 6 + 2 * n * 6 + 2 * 6 * 5
    assert multiply_adds(model) == (n - 1) * counted.inputs * 6 + whole + last + 6 * 10


def test_a_step_of_more_work_takes_longer():
    quick, slow = (replace(MODEL, tokenizer=name, n_layers=3, d_model=32) for name in ("14x14", "2x2"))
    times = step_times([quick, slow], load(), PLAN.recipe, seconds=0.05)
    assert 0 < times[0] < times[1]


# --- runs


def test_seeds_share_everything_but_the_tokenizer():
    jobs = PLAN.jobs(load())
    assert [(job.model.tokenizer, job.recipe.seed) for job in jobs] == [
        ("14x14", 3), ("reordered-14x14", 3), ("14x14", 4), ("reordered-14x14", 4)
    ]  # fmt: skip
    assert {job.recipe.epochs for job in jobs} == {1}
    assert len({job.name for job in jobs}) == 4


def test_smaller_training_sets_get_as_many_steps():
    plan = replace(PLAN, sizes=(5,), recipe=replace(PLAN.recipe, epochs=4))
    for job in plan.jobs(load()):
        assert job.recipe.epochs * job.recipe.steps_per_epoch(job.size) == 12


def test_shifting_moves_ink_and_loses_what_leaves(rng):
    images = rng.random((2, 5, 7))
    shifted = shift_images(images, 2, 3)
    np.testing.assert_array_equal(shifted[:, 2:, 3:], images[:, :3, :4])
    assert shifted.sum() == pytest.approx(images[:, :3, :4].sum())


def test_a_run_is_tested_on_digits_it_was_not_trained_on():
    digits, job = load(), PLAN.jobs(load())[0]
    with limit_threads(1):
        outcome = train_job(job, load)
        values, arrays = outcome.values, outcome.arrays
    assert values["n_test"] == 20
    labels = np.concatenate([digits.validation.labels, digits.test.labels])
    assert values["n_correct"] == (arrays["predictions"] == labels).sum()
    assert arrays["n_correct_shifted"].shape == (2, len(SHIFTS))
    assert arrays["positions"].shape == (4, 6)
    with limit_threads(2):
        np.testing.assert_array_equal(train_job(job, load).arrays["positions"], arrays["positions"])
    with pytest.raises(DataError, match="this machine has others"):
        train_job(job, lambda: load(seed=1))


def test_plans_that_make_no_sense():
    for wrong, error, message in (
        ({"tokenizers": ("7x7",)}, DataError, "two or more to compare; got 7x7"),
        ({"tokenizers": ("7x7", "7x7")}, DataError, "each once"),
        ({"tokenizers": ("7x7", "5x5")}, ShapeError, "divides the image's 28 pixels"),
        ({"seeds": 0}, DataError, "seeds: expected 1 or more"),
    ):
        with pytest.raises(error, match=message):
            replace(PLAN, **wrong)
    with pytest.raises(DataError, match="sizes: expected 1 to 30"):
        replace(PLAN, sizes=(31,)).jobs(load())


def test_a_job_depends_on_every_image_and_label():
    before, digits = PLAN.jobs(load()), load()
    assert PLAN.jobs(load()) == before
    digits.test.labels[-1] += 1
    assert PLAN.jobs(digits) != before


# --- the comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    plan = replace(PLAN, tokenizers=("14x14", "rows", "reordered-rows"), sizes=(17,))
    return folder, plan, run(plan, Runner(folder))


def test_the_result_counts_the_runs(compared):
    folder, plan, result = compared
    digits, store = load(), Runner(folder).store
    runs = {(j.model.tokenizer, j.size, j.recipe.seed): store.find(j.name, j.config) for j in plan.jobs(digits)}
    for i, name in enumerate(plan.tokenizers):
        for j, size in enumerate((17, 31)):
            expected = [runs[name, size, seed].values["n_correct"] for seed in (3, 4)]
            np.testing.assert_array_equal(result.n_correct_by_size[i, j], expected)
    [rows, reordered] = result.pairs
    assert (rows.base, reordered.base) == ("14x14", "rows")
    np.testing.assert_array_equal(rows.extra_correct, result.entry("rows").n_correct - result.entry("14x14").n_correct)
    labels = held_out_images(digits).labels
    votes = sum(
        (runs["rows", 31, seed].arrays["predictions"] == labels).astype(int)
        - (runs["14x14", 31, seed].arrays["predictions"] == labels).astype(int)
        for seed in (3, 4)
    )
    assert (rows.digits_better, rows.digits_worse) == ((votes > 0).sum(), (votes < 0).sum())
    assert set(result.relabelling_errors) == {"reordered-rows"}
    assert result.relabelling_errors["reordered-rows"] < 1e-5


def test_the_tables_state_what_was_done(compared):
    *_, result = compared
    by_name = {table.name: table for table in tables(result)}
    assert by_name["sizes"].columns == ("tokenizer", "17 (4 steps)", "31 (3 steps)")  # two batches twice, or three
    assert "mean over 2 seeds" in as_text(by_name["accuracy"].title)
    ends = [end for row in by_name["accuracy"].rows for end in row[2].split(" to ")]
    assert all(0 <= float(end.rstrip("%")) <= 100 for end in ends)


def test_a_second_time_nothing_is_trained_and_an_addition_trains_only_itself(compared, monkeypatch):
    folder, plan, result = compared
    trained = []

    def count(job, load):
        trained.append(job.model.tokenizer)
        return train_job(job, load)

    monkeypatch.setattr("headwise.experiments.tokenizers.run.train_job", count)
    assert run(plan, Runner(folder)).to_json() == result.to_json()
    assert trained == []
    added = run(replace(plan, tokenizers=(*plan.tokenizers, "28x14")), Runner(folder))
    assert set(trained) == {"28x14"}
    assert (added.entry("28x14").locality == 0).all()  # two tokens: no pair is nearer than another


def test_everything_is_written(compared, tmp_path):
    *_, result = compared
    written = EXPERIMENT.save(result, tmp_path)
    assert all(path.stat().st_size > 0 for path in written)
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in ("accuracy", "shifted", "positions", "sizes")
                       for kind in ("png", "svg", "pdf")}  # fmt: skip
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {table.name for table in tables(result)}
    assert (tmp_path / "findings.md").read_text().startswith("# Tokenizers compared\n\n## What was compared")
    content = json.loads((tmp_path / "result.json").read_text())
    assert [entry["name"] for entry in content["entries"]] == list(result.names)
    assert "could not have shown a difference" in " ".join(content["findings"]["Accuracy"])


# --- findings


def text_of(result, heading=None):
    parts = findings(result).items()
    return " ".join(as_text(statement) for at, part in parts if heading in (None, at) for statement in part)


def with_differences(result, extra, seeds=6):
    """The same result, had `rows` classified so many more digits correctly than the base with every seed."""
    first, rows, reordered = result.entries
    ten, near = np.full(seeds, 10), np.linspace(0.1, 0.2, seeds)
    shifted = np.full((seeds, 2, 4), 10)
    cost = replace(first.cost, multiply_adds=7)
    long = [
        replace(
            entry, n_correct=ten, n_correct_shifted=shifted, locality=near, loss=ten / 10, step_seconds=0.5, cost=cost
        )
        for entry in (first, rows, reordered)
    ]
    long[1] = replace(long[1], n_correct=10 + np.array(extra))
    pairs = (
        replace(result.pairs[0], extra_correct=np.array(extra), digits_better=0, digits_worse=0, p_digits=1.0),
        replace(result.pairs[1], extra_correct=np.zeros(seeds, int), digits_better=0, digits_worse=0, p_digits=1.0),
    )
    errors = {"reordered-rows": 2e-7}
    return replace(
        result, entries=tuple(long), pairs=pairs, sizes=(31,), n_correct_by_size=result.n_correct_by_size[:, 1:],
        relabelling_errors=errors,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "extra"),
    [("better", [1, 2, 1, 3, 1, 1]), ("worse", [-1, -2, -1, -3, -1, -1]), ("undecided", [1, 2, -1, 3, 1, 1])],
)
def test_the_findings_follow_from_the_numbers(name, extra, compared):
    *_, result = compared
    result = with_differences(result, extra)
    assert result.pairs[0].verdict == {"undecided": "no difference shown"}.get(name, name)
    lines = [f"{heading}: {as_text(s)}" for heading, part in findings(result).items() for s in part]
    assert_snapshot("\n".join(lines) + "\n", f"experiments/tokenizers-{name}.txt")


def test_directions_follow_from_the_numbers(compared):
    *_, result = compared
    result = with_differences(result, [0] * 6)
    heading = "Shifted digits"
    assert "not shown to differ between rows and 14x14" in text_of(result, heading)
    assert "the two directions are not shown to differ for rows" in text_of(result, heading)
    for direction, word, change, dearer in (
        (0, "right", -3, "more"),
        (1, "down", -3, "more"),
        (1, "down", 3, "less"),
    ):
        shifted = result.entries[1].n_correct_shifted.copy()
        shifted[:, direction] += change
        entries = (result.entries[0], replace(result.entries[1], n_correct_shifted=shifted), result.entries[2])
        text = text_of(replace(result, entries=entries), heading)
        assert f"A shift {word} costs rows {dearer} than 14x14" in text
        assert f"{100 * -change / 20:+.2f} points".replace("-", "−") in text
        to_the_right = "more" if (word == "right") == (dearer == "more") else "less"
        assert f"rows loses {to_the_right} from shifts to the right than from shifts down" in text


def test_size_and_relabelling_are_checked_not_claimed(compared):
    *_, result = compared
    small = [replace(e, cost=replace(e.cost, parameters={"head": 1000 + i})) for i, e in enumerate(result.entries)]
    assert "equal size, to within 5%" in text_of(replace(result, entries=tuple(small)))
    small[0] = replace(small[0], cost=replace(small[0].cost, parameters={"head": 1100}))
    assert "more than 5%" in text_of(replace(result, entries=tuple(small)))
    assert "nothing is lost in principle" in text_of(result)
    assert "but its logits differ by" in text_of(replace(result, relabelling_errors={"reordered-rows": 0.1}))
    assert "in other tokens" in text_of(replace(result, relabelling_errors={}))


def test_no_template_holds_a_digit(compared):
    *_, result = compared
    for variant in (result, with_differences(result, [1] * 6), with_differences(result, [-1] * 6)):
        for statements in findings(variant).values():
            for statement in statements:
                assert not re.search(r"\d", re.sub(r"\{[^{}]*\}", "", statement.template)), statement.template


def test_a_shuffled_tokenizer_is_compared_with_the_upright_one():
    assert baselines(("7x7", "rows", "reordered-rows", "scrambled-4x4")) == {
        "rows": "7x7", "reordered-rows": "rows", "scrambled-4x4": "7x7"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["rows", "reordered-rows", "3x2"])
def test_locality_is_that_of_the_upright_image(name):
    """Positions that are as alike as the tokens' own rows and columns are near."""
    cut = get_tokenizer(name, (6, 4))
    down, across = np.indices((6, 4)).astype(float)
    place = np.stack([cut.tokenize(axis[None])[0].mean(axis=1) for axis in (down, across)], axis=1)
    alike = np.exp(-np.linalg.norm(place[:, None] - place, axis=-1))
    assert position_locality(alike, cut) == pytest.approx(1)
    assert position_locality(-alike, cut) == pytest.approx(-1)


def test_relabelling_is_found_only_where_there_is_one():
    image = (6, 4)
    rows, moved = get_tokenizer("rows", image), get_tokenizer("reordered-rows", image)
    images = np.random.default_rng(0).random((2, *image))
    order = relabelling(rows, moved)
    np.testing.assert_array_equal(rows.tokenize(images)[:, order], moved.tokenize(images))
    assert relabelling(get_tokenizer("2x2", image), get_tokenizer("reordered-2x2", image)) is None


def test_the_verdict_is_that_of_the_exact_test():
    pair = partial(PairedComparison, "a", "b", digits_better=0, digits_worse=0, p_digits=1.0)
    assert pair(extra_correct=np.array([5] * 5)).verdict == "no difference shown"  # p = 1/16
    assert pair(extra_correct=np.array([5] * 6)).verdict == "better"
    assert pair(extra_correct=np.array([-5] * 6)).verdict == "worse"
