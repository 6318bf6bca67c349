"""The runner that all experiments share: reuses finished runs, saves each as it ends, and spreads over processes."""

import os
import signal
import threading
import time
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from headwise.errors import DataError, MissingExtraError
from headwise.experiments import EXPERIMENTS, Outcome, Run, Runner, get_experiment, run_together
from headwise.parallel.tasks import background_tasks, run_tasks
from headwise.parallel.threads import num_threads
from headwise.progress import NoProgress
from helpers.processes import wait_until


def double(x):
    return Outcome({"x": 2 * x}, {"array": np.arange(x)})


def runs(count=3, compute=double):
    return [Run(f"run-{x}", {"x": x}, partial(compute, x)) for x in range(1, count + 1)]


class StoppingProgress(NoProgress):
    def __init__(self, after):
        self.after = after

    def advance(self, note=""):
        self.after -= 1
        if not self.after:
            raise KeyboardInterrupt


def test_finished_runs_are_reused_and_outcomes_are_in_order(tmp_path):
    def never(x):
        raise AssertionError("computed again")

    first = Runner(tmp_path).run("doubling", runs())
    again = Runner(tmp_path).run("doubling", runs(compute=never)[::-1])
    assert [outcome.values["x"] for outcome in first] == [2, 4, 6]
    assert [outcome.values["x"] for outcome in again] == [6, 4, 2]
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 4


def test_an_interrupted_experiment_keeps_what_is_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path, progress=StoppingProgress(2)).run("doubling", runs())
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 3
    computed = []
    Runner(tmp_path).run("doubling", runs(compute=lambda x: computed.append(x) or double(x)))
    assert computed == [3]


def test_experiments_that_run_together_find_their_own_runs(tmp_path):
    def never(x):
        raise AssertionError("computed again")

    first, second = Runner(tmp_path / "first"), Runner(tmp_path / "second")
    first.run("doubling", runs(1))
    run_together([(first, runs(2)), (second, runs(3))], processes=1)
    for runner, count in ((first, 2), (second, 3)):
        outcomes = runner.run("doubling", runs(count, compute=never))
        assert [outcome.values["x"] for outcome in outcomes] == [2, 4, 6][:count]
        assert len(list((runner.folder / "runs").glob("*.json"))) == count


def test_threads_are_those_of_the_runner_and_one_in_each_process(tmp_path):
    [outcome] = Runner(tmp_path, threads=3).run("t", [Run("a", {}, lambda: Outcome(num_threads()))])
    assert outcome.values == 3


def test_two_runs_of_one_name_are_an_error(tmp_path):
    with pytest.raises(DataError, match="runs: expected each once"):
        Runner(tmp_path).run("doubling", [*runs(1), *runs(1)])


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_counts_below_one_are_an_error(name, tmp_path):
    with pytest.raises(DataError, match=f"{name}: expected 1 or more; got 0"):
        Runner(tmp_path, **{name: 0})


def test_every_experiment_is_complete():
    for name in EXPERIMENTS:
        experiment = get_experiment(name)
        assert experiment.name == name
        assert experiment.title


# --- processes


def test_without_dask_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headwise\[cluster\]'"):
        next(run_tasks({"any": lambda: 1}, processes=2))


def test_too_few_processes():
    with pytest.raises(DataError, match="processes: expected 1 or more; got 0"):
        next(run_tasks({"any": lambda: 1}, processes=0))


@pytest.mark.exhaustive  # tests/attention/test_cluster.py kills a worker, too
@pytest.mark.filterwarnings("ignore")  # what the sockets of a killed worker report
def test_a_killed_worker_loses_only_its_own_attempt(tmp_path):
    flag = tmp_path / "pid"

    def wait_to_be_killed(x):
        """The first attempt of one run writes its process id, and waits until the test kills it."""
        if x == 2 and not flag.exists():
            flag.write_text(str(os.getpid()))
            time.sleep(60)
        return double(x)

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
    Runner(tmp_path / "two", processes=2).run("doubling", runs(compute=wait_to_be_killed))
    thread.join()
    assert killed
    Runner(tmp_path / "one").run("doubling", runs())
    files = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.*")}


@pytest.mark.exhaustive
def test_two_runs_at_once_do_not_need_the_same_port():
    pytest.importorskip("distributed")
    tasks = {"zero": partial(int)}  # one worker each
    with closing(run_tasks(tasks, processes=2)) as first:
        next(first)
        assert dict(run_tasks(tasks, processes=2)) == {"zero": 0}


def test_tasks_in_the_background_return_their_result_or_raise_their_error():
    pytest.importorskip("distributed")
    tasks = {"pid": os.getpid, "error": partial(int, "seven")}
    with background_tasks(tasks, processes=1) as results:
        assert results["pid"]() != os.getpid()
        with pytest.raises(ValueError, match="seven"):
            results["error"]()


@pytest.mark.parametrize("in_background", [True, False])
def test_ctrl_c_kills_the_processes_and_waits_for_no_task(in_background, tmp_path):
    distributed = pytest.importorskip("distributed")
    started, closed = tmp_path / "started", tmp_path / "closed"

    class Closing(distributed.WorkerPlugin):
        def teardown(self, worker):
            closed.touch()

    def endless():
        worker = distributed.get_worker()
        worker.loop.add_callback(worker.plugin_add, Closing(), "closing")
        started.touch()
        while True:
            pass

    def interrupted():
        tasks = {"short": os.getpid, "endless": endless}
        block = background_tasks(tasks, processes=2) if in_background else closing(run_tasks(tasks, processes=2))
        with block as results:
            if not in_background:
                next(results)
            wait_until(started.exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not closed.exists()


@pytest.mark.filterwarnings("ignore")  # what the sockets of a closed scheduler report
def test_a_scheduler_that_stops():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        results = run_tasks({"quick": lambda: 1, "slow": lambda: time.sleep(1)}, scheduler=cluster.scheduler_address)
        assert next(results) == ("quick", 1)
        cluster.close()
        with pytest.raises(DataError, match="scheduler: it stopped before the tasks were finished"):
            next(results)


@pytest.mark.parametrize("address", ["foo", "foo://bar:1", "tcp://bar"])
def test_an_address_of_no_scheduler(address):
    pytest.importorskip("distributed")
    with pytest.raises(DataError, match=f"expected an address such as tcp://10.0.0.1:8786; got {address!r}"):
        next(run_tasks({"any": lambda: 1}, scheduler=address))
