"""Results of runs on disk: found again only under the same configuration, and never if they were altered."""

import csv
import json

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.experiments.store import Outcome, RunStore, config_digest

CONFIG = {"model": {"width": 7}, "seed": 3}


@pytest.fixture
def outcome(rng):
    return Outcome({"error": 0.125, "losses": [1.0, 0.5]}, {"x": rng.normal(size=(5, 3)), "n": np.arange(7)})


def test_a_run_is_found_under_its_name_configuration_and_version(tmp_path, outcome, monkeypatch):
    RunStore(tmp_path).save("run", CONFIG, outcome)
    stored = RunStore(tmp_path).find("run", CONFIG)
    assert stored.values == outcome.values
    assert {name: array.tolist() for name, array in stored.arrays.items()} == {
        name: array.tolist() for name, array in outcome.arrays.items()
    }
    assert RunStore(tmp_path).find("run", dict(reversed(CONFIG.items()))) is not None
    assert RunStore(tmp_path).find("other", CONFIG) is None
    assert RunStore(tmp_path).find("run", CONFIG | {"seed": 4}) is None
    monkeypatch.setattr("headwise.experiments.store.__version__", "9")
    assert RunStore(tmp_path).find("run", CONFIG) is None


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncate", "remove", "swap"])
def test_a_damaged_run_counts_as_not_run(tmp_path, outcome, rng, suffix, damage):
    store = RunStore(tmp_path)
    store.save("run", CONFIG, outcome)
    store.save("run", CONFIG | {"seed": 4}, Outcome({"error": 1.0}, {"x": rng.normal(size=2)}))
    path, other = (store.path("run", CONFIG | {"seed": seed}).with_suffix(suffix) for seed in (3, 4))
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "remove":
        path.unlink()
    else:
        path.write_bytes(other.read_bytes())
    assert store.find("run", CONFIG) is None
    assert store.find("run", CONFIG | {"seed": 4}) is not None


@pytest.mark.parametrize("change", [{"result": {"error": 0.5}}, {"result": None}, {"config": None}, {"arrays": "0"}])
def test_an_altered_run_counts_as_not_run(change, tmp_path, outcome):
    store = RunStore(tmp_path)
    store.save("run", CONFIG, outcome)
    path = store.path("run", CONFIG)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert store.find("run", CONFIG) is None
    path.write_text("[]")
    assert store.find("run", CONFIG) is None


def test_the_table_has_a_row_for_each_run_and_no_lists(tmp_path, outcome):
    store = RunStore(tmp_path)
    store.save("a", CONFIG, outcome)
    store.save("b", {"seed": 5}, Outcome(0.25))
    (tmp_path / "notes.json").write_text("{}")
    rows = list(csv.DictReader(store.table().splitlines()))
    assert [row["run"].split("-")[0] for row in rows] == ["a", "b"]
    assert (rows[0]["model.width"], rows[0]["seed"], rows[0]["error"], rows[0]["value"]) == ("7", "3", "0.125", "")
    assert (rows[1]["model.width"], rows[1]["value"]) == ("", "0.25")
    assert "losses" not in rows[0]


def test_a_folder_that_is_a_file_or_in_one_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(DataError, match="is a file; name a folder"):
            RunStore(folder)


def test_the_digest_does_not_depend_on_the_order_of_keys():
    assert config_digest({"a": 1, "b": [2]}) == config_digest({"b": [2], "a": 1}) != config_digest({"a": 1, "b": [3]})
