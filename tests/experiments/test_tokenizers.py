"""The comparison of tokenisations: runs and their ledger, what is concluded, and workers that die."""

import json
import os
import re
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import DataError, MissingExtraError, ShapeError
from headwise.experiments.tokenizers import run as comparing
from headwise.experiments.tokenizers import store as runs
from headwise.experiments.tokenizers.costs import cost, multiply_adds, step_times
from headwise.experiments.tokenizers.findings import findings
from headwise.experiments.tokenizers.plan import Plan
from headwise.experiments.tokenizers.result import Comparison, PairedComparison, baselines
from headwise.experiments.tokenizers.result_tables import tables
from headwise.experiments.tokenizers.run import compare, relabelling, save
from headwise.experiments.tokenizers.store import SHIFTS, RunStore, results, run, shifted
from headwise.models.vit import ViTConfig, vit_params
from headwise.parallel.tasks import run_tasks
from headwise.text import as_text
from headwise.tokenizers import get_tokenizer
from headwise.train.checkpoint import save_arrays
from headwise.train.config import TrainingConfig

MODEL = ViTConfig(d_model=6, n_layers=1, n_heads=2, d_ff=5)
PLAN = Plan(
    tokens=("14x14", "reordered-14x14"), seeds=2, model=MODEL, recipe=TrainingConfig(epochs=1, batch_size=11, seed=3)
)


def load(train=31, seed=0):
    """Tiny digits: noise, with a bright row that tells the class."""
    rng = np.random.default_rng(seed)

    def some(count):
        labels = rng.integers(0, 10, count)
        images = rng.random((count, 28, 28)).astype(np.float32) / 4
        images[np.arange(count), 2 + 2 * labels] = 1
        return LabelledImages(images, labels)

    return Digits("noise", some(train), some(7), some(13))


@pytest.fixture(autouse=True, scope="module")
def untimed():
    """Timing has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            comparing, "step_times", lambda models, digits, recipe: [0.01 * (1 + i) for i in range(len(models))]
        )
        yield


# --- costs


@pytest.mark.parametrize("name", ["7x7", "rows", "8x8/4"])
def test_weights_and_operations(name):
    model = ViTConfig(tokenizer=name, d_model=6, n_layers=2, n_heads=3, d_ff=5)
    counted, params = cost(model), vit_params(model, np.random.default_rng(0))
    assert counted.total == sum(array.size for array in params.values())
    assert counted.weights["embedding"] == 6 * counted.inputs + 6
    assert counted.weights["positions"] == 6 * (1 + counted.tokens)
    n = counted.tokens + 1
    whole = 4 * n * 6 * 6 + 2 * n * n * 6 + 2 * n * 6 * 5
    last = 2 * n * 6 * 6 + 2 * 6 * 6 + 2 * n * 6 + 2 * 6 * 5
    assert multiply_adds(model) == (n - 1) * counted.inputs * 6 + whole + last + 6 * 10


def test_a_step_of_more_work_takes_longer():
    quick, slow = (replace(MODEL, tokenizer=name, n_layers=3, d_model=32) for name in ("14x14", "2x2"))
    times = step_times([quick, slow], load(), PLAN.recipe, seconds=0.05)
    assert 0 < times[0] < times[1]


# --- runs and the ledger


def test_seeds_share_all_but_the_cut():
    jobs = PLAN.jobs(load())
    assert [(job.model.tokenizer, job.recipe.seed) for job in jobs] == [
        ("14x14", 3), ("reordered-14x14", 3), ("14x14", 4), ("reordered-14x14", 4)
    ]  # fmt: skip
    assert {job.recipe.epochs for job in jobs} == {1}
    assert len({job.identity for job in jobs}) == 4


def test_smaller_training_sets_get_as_many_steps():
    plan = replace(PLAN, sizes=(5,), recipe=replace(PLAN.recipe, epochs=4))
    for job in plan.jobs(load()):
        assert job.recipe.epochs * job.recipe.steps_per_epoch(job.size) == 12


def test_shifting_moves_ink_and_loses_what_leaves(rng):
    images = rng.random((2, 5, 7))
    moved = shifted(images, 2, 3)
    np.testing.assert_array_equal(moved[:, 2:, 3:], images[:, :3, :4])
    assert moved.sum() == pytest.approx(images[:, :3, :4].sum())


def test_a_run_is_judged_by_the_digits_it_did_not_see():
    digits, job = load(), PLAN.jobs(load())[0]
    found = run(job, digits)
    assert found.tested == 20
    labels = np.concatenate([digits.validation.labels, digits.test.labels])
    assert found.right == (found.predictions == labels).sum()
    assert found.moved.shape == (2, len(SHIFTS))
    assert found.positions.shape == (4, 6)
    again = run(job, digits, threads=2)
    np.testing.assert_array_equal(again.positions, found.positions)
    with pytest.raises(DataError, match="this machine has others"):
        run(job, load(seed=1))


def test_the_ledger_gives_back_what_it_was_given_and_nothing_else(tmp_path):
    digits = load()
    jobs = PLAN.jobs(digits)
    found = run(jobs[0], digits)
    RunStore(tmp_path).keep(found)
    kept = RunStore(tmp_path).find(jobs[0])
    assert (kept.right, kept.loss, kept.train_loss) == (found.right, found.loss, found.train_loss)
    np.testing.assert_array_equal(kept.predictions, found.predictions)
    np.testing.assert_array_equal(kept.moved, found.moved)
    changes = ({"recipe": replace(jobs[0].recipe, learning_rate=1e-3)}, {"version": "9"}, {"digest": "0"}, {"size": 30})
    for change in changes:
        assert RunStore(tmp_path).find(replace(jobs[0], **change)) is None
    assert RunStore(tmp_path).others(jobs) == 0
    assert RunStore(tmp_path).others(jobs[1:]) == 1


def test_a_run_whose_arrays_are_damaged_is_run_again(tmp_path):
    digits = load()
    job = PLAN.jobs(digits)[0]
    RunStore(tmp_path).keep(run(job, digits))
    [arrays] = (tmp_path / "runs").iterdir()
    arrays.write_bytes(arrays.read_bytes()[:-5])
    assert RunStore(tmp_path).find(job) is None
    arrays.unlink()
    assert RunStore(tmp_path).find(job) is None


def test_a_table_that_is_not_ours_is_refused_and_left_alone(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("name,age\nada,36\n")
    with pytest.raises(DataError, match="not a table of runs"):
        compare(tmp_path, PLAN, load=load)
    assert table.read_text() == "name,age\nada,36\n"
    assert list(tmp_path.iterdir()) == [table]
    digits = load()
    other = tmp_path / "other"
    RunStore(other).keep(run(PLAN.jobs(digits)[0], digits))
    cut_short = (other / "runs.csv").read_text()[:-20]
    (other / "runs.csv").write_text(cut_short)
    with pytest.raises(DataError, match=r"runs.csv, line 2: not a row"):
        RunStore(other)


def test_a_run_of_another_configuration_in_its_file_is_run_again(tmp_path):
    digits = load()
    jobs = PLAN.jobs(digits)[:2]
    for job in jobs:
        RunStore(tmp_path).keep(run(job, digits))
    [mine] = (tmp_path / "runs").glob(f"*{jobs[0].identity}*")
    [other] = (tmp_path / "runs").glob(f"*{jobs[1].identity}*")
    mine.write_bytes(other.read_bytes())
    assert RunStore(tmp_path).find(jobs[0]) is None
    assert RunStore(tmp_path).find(jobs[1]) is not None
    save_arrays(mine, {"other": np.zeros(3)}, jobs[0].configuration)
    assert RunStore(tmp_path).find(jobs[0]) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda table: b"", None),
        (lambda table: b"\xef\xbb\xbf" + table, None),
        (lambda table: table.replace(b"noise", b"\xff"), "no CSV in UTF-8. Move it away"),
        (lambda table: table.replace(b",31,3,", b",31,abc,"), "line 2: not a row of 20 values"),
        (lambda table: table.replace(b",31,3,", b",31,\xc2\xb2,"), "line 2: not a row of 20 values"),
        (lambda table: table.replace(b",31,3,", b",31,3,9"), "line 2: not a row of 20 values"),
    ],
)
def test_a_damaged_table_of_runs(damage, said, tmp_path):
    digits, table = load(), tmp_path / "runs.csv"
    job = PLAN.jobs(digits)[0]
    RunStore(tmp_path).keep(run(job, digits))
    written = table.read_bytes()
    table.write_bytes(damage(written))
    if said is None:
        assert (RunStore(tmp_path).find(job) is None) == (not table.stat().st_size)
        return
    assert table.read_bytes() != written
    with pytest.raises(DataError, match=said):
        RunStore(tmp_path)


def test_plans_that_make_no_sense():
    for wrong, error, message in (
        ({"tokens": ("7x7",)}, DataError, "two or more to compare; got 7x7"),
        ({"tokens": ("7x7", "7x7")}, DataError, "each once"),
        ({"tokens": ("7x7", "5x5")}, ShapeError, "divides the image's 28 pixels"),
        ({"seeds": 0}, DataError, "seeds: expected 1 or more"),
    ):
        with pytest.raises(error, match=message):
            replace(PLAN, **wrong)
    with pytest.raises(DataError, match="sizes: expected 1 to 30"):
        replace(PLAN, sizes=(31,)).jobs(load())


# --- the comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    plan = replace(PLAN, tokens=("14x14", "rows", "reordered-rows"), sizes=(17,))
    return folder, plan, compare(folder, plan, load=load)


def test_it_counts_what_the_runs_found(compared):
    folder, plan, found = compared
    digits, ledger = load(), RunStore(folder)
    runs = {(job.model.tokens, job.size, job.recipe.seed): ledger.find(job) for job in plan.jobs(digits)}
    for i, name in enumerate(plan.tokens):
        for j, size in enumerate((17, 31)):
            np.testing.assert_array_equal(found.by_size[i, j], [runs[name, size, seed].right for seed in (3, 4)])
    [rows, reordered] = found.pairs
    assert (rows.base, reordered.base) == ("14x14", "rows")
    np.testing.assert_array_equal(rows.more, found.entry("rows").right - found.entry("14x14").right)
    votes = sum(
        (runs["rows", 31, seed].predictions == labels).astype(int)
        - (runs["14x14", 31, seed].predictions == labels).astype(int)
        for seed in (3, 4)
        for labels in [np.concatenate([digits.validation.labels, digits.test.labels])]
    )
    assert (rows.digits_better, rows.digits_worse) == ((votes > 0).sum(), (votes < 0).sum())
    assert set(found.relabelled) == {"reordered-rows"}
    assert found.relabelled["reordered-rows"] < 1e-5


def test_the_tables_say_what_was_done(compared):
    *_, found = compared
    made = {table.name: table for table in tables(found)}
    assert made["sizes"].columns == ("tokens", "17 (4 steps)", "31 (3 steps)")  # two batches twice, beside three
    assert "mean over 2 seeds" in as_text(made["accuracy"].title)
    ends = [end for row in made["accuracy"].rows for end in row[2].split(" to ")]
    assert all(0 <= float(end.rstrip("%")) <= 100 for end in ends)


def test_json_there_and_back(compared):
    *_, found = compared
    again = Comparison.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert findings(again) == findings(found)
    assert tables(again) == tables(found)


def test_a_second_time_nothing_is_trained_and_an_addition_trains_only_itself(compared, monkeypatch, tmp_path):
    folder, plan, found = compared
    trained = []

    def counting(jobs, *args, **kwargs):
        trained.append([(job.model.tokens, job.recipe.seed) for job in jobs])
        return results(jobs, *args, **kwargs)

    monkeypatch.setattr("headwise.experiments.tokenizers.run.results", counting)
    again = compare(folder, plan, load=load)
    assert trained == []
    same = {**again.to_json(), "entries": None}
    assert same == {**found.to_json(), "entries": None}
    added = compare(folder, replace(plan, tokens=(*plan.tokens, "28x14")), load=load)
    assert {name for name, _ in trained[0]} == {"28x14"}
    assert (added.entry("28x14").nearness == 0).all()  # two tokens: no pair is nearer than another


def test_interrupted_it_keeps_what_was_finished(tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    class Stopping:
        def stage(self, title, total):
            pass

        def advance(self, note=""):
            raise Enough

    with pytest.raises(Enough):
        compare(tmp_path, PLAN, load=load, progress=Stopping())
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 2
    broken = compare(tmp_path, PLAN, load=load)
    whole = compare(tmp_path / "whole", PLAN, load=load)
    np.testing.assert_array_equal(broken.by_size, whole.by_size)
    np.testing.assert_array_equal(broken.entries[1].similarity, whole.entries[1].similarity)


def test_everything_is_written(compared, tmp_path):
    *_, found = compared
    written = save(found, tmp_path)
    assert all(path.stat().st_size > 0 for path in written)
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in ("accuracy", "shifted", "positions", "sizes")
                       for kind in ("png", "svg", "pdf")}  # fmt: skip
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {table.name for table in tables(found)}
    assert (tmp_path / "conclusion.md").read_text().startswith("# Tokenisations compared\n\n## What was compared")


# --- the conclusion


def told(found, heading=None):
    return " ".join(as_text(each) for at, part in findings(found).items() if heading in (None, at) for each in part)


def with_differences(found, more, seeds=6):
    """The same comparison, had `rows` read so many digits more than the base with every seed."""
    first, rows, reordered = found.entries
    ten, near = np.full(seeds, 10), np.linspace(0.1, 0.2, seeds)
    moved = np.full((seeds, 2, 4), 10)
    long = [replace(entry, right=ten, moved=moved, nearness=near) for entry in (first, rows, reordered)]
    long[1] = replace(long[1], right=10 + np.array(more))
    pairs = (replace(found.pairs[0], more=np.array(more)), replace(found.pairs[1], more=np.zeros(seeds, int)))
    return replace(found, entries=tuple(long), pairs=pairs, sizes=(31,), by_size=found.by_size[:, 1:])


def test_the_verdict_follows_the_figures(compared):
    *_, found = compared
    heading = "Which cut reads better"
    assert "by rows, digits are read better than by 14x14" in told(with_differences(found, [1, 2, 1, 3, 1, 1]), heading)
    assert "by rows, digits are read worse than by 14x14" in told(
        with_differences(found, [-1, -2, -1, -3, -1, -1]), heading
    )
    undecided = told(with_differences(found, [1, 2, -1, 3, 1, 1]), heading)
    assert "Between rows and 14x14 no difference is shown at 6 seeds" in undecided
    assert "smallest p that the test can give with 6 seeds is 0.031" in undecided
    assert "could not have shown a difference" in told(found, heading)  # two seeds


def test_directions_follow_the_figures(compared):
    *_, found = compared
    found = with_differences(found, [0] * 6)
    heading = "What moving the digit does"
    said = told(found, heading)
    assert "What a move right costs is not shown to differ between rows and 14x14" in said
    assert "That rows beside 14x14 does better in one direction than in the other is not shown" in said
    for direction, word, costlier, dearer in (
        (0, "right", -3, "more"),
        (1, "down", -3, "more"),
        (1, "down", 3, "less"),
    ):
        moved = found.entries[1].moved.copy()
        moved[:, direction] += costlier
        entries = (found.entries[0], replace(found.entries[1], moved=moved), found.entries[2])
        said = told(replace(found, entries=entries), heading)
        assert f"A move {word} costs rows {dearer} than 14x14" in said
        assert f"{100 * -costlier / 20:+.2f} points" in said
        to_the_right = "worse" if (word == "right") == (dearer == "more") else "better"
        assert f"So beside 14x14, to the right rows does {to_the_right} than downwards" in said


def test_budget_and_relabelling_are_checked_not_claimed(compared):
    *_, found = compared
    small = [replace(e, cost=replace(e.cost, weights={"head": 1000 + i})) for i, e in enumerate(found.entries)]
    assert "one budget, to within 5%" in told(replace(found, entries=tuple(small)))
    small[0] = replace(small[0], cost=replace(small[0].cost, weights={"head": 1100}))
    assert "more than 5%: not one budget" in told(replace(found, entries=tuple(small)))
    assert "nothing is lost in principle" in told(found)
    assert "and yet deviates" in told(replace(found, relabelled={"reordered-rows": 0.1}))
    assert "in other tokens" in told(replace(found, relabelled={}))


def test_no_template_holds_a_digit(compared):
    *_, found = compared
    for each in (found, with_differences(found, [1] * 6), with_differences(found, [-1] * 6)):
        for statements in findings(each).values():
            for statement in statements:
                assert not re.search(r"\d", re.sub(r"\{[^{}]*\}", "", statement.template)), statement.template


def test_a_rearranged_cut_is_compared_with_its_upright_one():
    assert baselines(("7x7", "rows", "reordered-rows", "scrambled-4x4")) == {
        "rows": "7x7", "reordered-rows": "rows", "scrambled-4x4": "7x7"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["rows", "reordered-rows", "3x2"])
def test_nearness_is_that_of_the_upright_image(name):
    """Positions that are as alike as the tokens' own rows and columns are near."""
    cut = get_tokenizer(name, (6, 4))
    down, across = np.indices((6, 4)).astype(float)
    place = np.stack([cut.tokenize(axis[None])[0].mean(axis=1) for axis in (down, across)], axis=1)
    alike = np.exp(-np.linalg.norm(place[:, None] - place, axis=-1))
    assert comparing._nearness(alike, cut) == pytest.approx(1)
    assert comparing._nearness(-alike, cut) == pytest.approx(-1)


def test_relabelling_is_found_only_where_there_is_one():
    image = (6, 4)
    rows, moved = get_tokenizer("rows", image), get_tokenizer("reordered-rows", image)
    images = np.random.default_rng(0).random((2, *image))
    order = relabelling(rows, moved)
    np.testing.assert_array_equal(rows.tokenize(images)[:, order], moved.tokenize(images))
    assert relabelling(get_tokenizer("2x2", image), get_tokenizer("reordered-2x2", image)) is None


def test_verdict_needs_the_exact_tests_leave():
    pair = partial(PairedComparison, "a", "b", digits_better=0, digits_worse=0, p_digits=1.0)
    assert pair(more=np.array([5] * 5)).verdict == "no difference shown"  # p = 1/16
    assert pair(more=np.array([5] * 6)).verdict == "better"
    assert pair(more=np.array([-5] * 6)).verdict == "worse"


# --- workers


def test_without_dask_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headwise\[cluster\]'"):
        next(results(PLAN.jobs(load()), load, workers=2))


def test_too_few_workers():
    with pytest.raises(DataError, match="workers: expected 1 or more; got 0"):
        next(results(PLAN.jobs(load()), load, workers=0))


@pytest.mark.filterwarnings("ignore")  # what a dying worker's sockets say
def test_a_killed_worker_loses_only_its_own_attempt(tmp_path, monkeypatch):
    plan, digits, flag = replace(PLAN, tokens=("14x14", "rows")), load(), tmp_path / "pid"
    serial = compare(tmp_path / "serial", plan, load=load)

    def attempt(job, load):
        """The first of one job waits to be killed: it writes its process id where the test can see it."""
        if job.model.tokens == "rows" and job.recipe.seed == 4 and not flag.exists():
            flag.write_text(str(os.getpid()))
            time.sleep(60)
        return run(job, load())

    monkeypatch.setattr(runs, "_attempt", attempt)
    killed = []

    def kill():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if flag.exists() and (pid := flag.read_text()):
                os.kill(int(pid), signal.SIGKILL)
                killed.append(int(pid))
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    apart = compare(tmp_path / "spread", plan, load=lambda: digits, workers=2)
    thread.join()
    assert killed
    np.testing.assert_array_equal(apart.by_size, serial.by_size)
    files = sorted(path.name for path in (tmp_path / "serial" / "runs").iterdir())
    assert sorted(path.name for path in (tmp_path / "spread" / "runs").iterdir()) == files
    for name in files:
        assert (tmp_path / "spread" / "runs" / name).read_bytes() == (tmp_path / "serial" / "runs" / name).read_bytes()


@pytest.mark.filterwarnings("ignore")  # what a closed scheduler's sockets say
def test_a_scheduler_that_stops():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        tasks = {"quick": lambda: 1, "slow": lambda: time.sleep(1)}
        found = run_tasks(tasks, scheduler=cluster.scheduler_address)
        assert next(found) == ("quick", 1)
        cluster.close()
        with pytest.raises(DataError, match="scheduler: it stopped before the tasks were done"):
            next(found)


@pytest.mark.parametrize("address", ["foo", "foo://bar:1", "tcp://bar"])
def test_an_address_of_no_scheduler(address):
    pytest.importorskip("distributed")
    with pytest.raises(DataError, match=f"expected an address such as tcp://10.0.0.1:8786; got {address}"):
        next(run_tasks({"any": lambda: 1}, scheduler=address))


def test_a_job_knows_its_digits_by_every_image_and_label():
    plan = Plan(("14x14", "rows"), seeds=1)
    digits = load()
    before = plan.jobs(digits)
    assert plan.jobs(load()) == before
    digits.test.labels[-1] += 1
    assert plan.jobs(digits) != before
