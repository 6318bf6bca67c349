"""Subjects from files: texts and photographs, with a classifier of the model's own or a linear head."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import headwise as hw
from headwise.attribution import ABLATIONS
from headwise.errors import DataError
from headwise.experiments import Runner
from headwise.experiments.faithfulness import EXPERIMENT, FaithfulnessPlan, load_subject
from headwise.train.linear_head import fit_linear_head, with_linear_head
from helpers.checkpoints import write_folder, write_text_model

TEXTS = ["the cat sat.", "a dog runs.", "the cats sat", "a dog run", "the cat", "a dog", "cat sat.", "dog running."]
MAPS = ("norm-weighted", "AttnLRP", "leave-one-out")


def write_csv(path):
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(text, "cats" if "cat" in text else "dogs") for text in TEXTS]
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def audit(subject, folder, **plan):
    return EXPERIMENT.run(FaithfulnessPlan(subject, maps=MAPS, **plan), Runner(folder, threads=1))


def test_words_are_removed_masked_and_averaged(tmp_path):
    names = {str(i): name for i, name in enumerate(("birds", "dogs", "fish", "cats", "ants"))}
    model = write_text_model(tmp_path / "model", id2label=names)
    subject = load_subject(model, str(write_csv(tmp_path / "pets.csv")))
    assert set(subject.examples.labels) <= {1, 3}  # the model's own indices of the classes
    result = audit(subject, tmp_path / "out", count=2, players=4)
    assert result.scope.baseline == "word length"
    assert result.scope.ablations == tuple(ABLATIONS["text"])
    assert result.labelled
    assert all(2 <= item.players <= 4 for item in result.inputs)
    assert result.recommendation.map in MAPS
    assert "were compared on 2 texts of pets.csv" in json.dumps(EXPERIMENT.to_json(result))


def test_classes_that_are_not_the_models_are_unknown(tmp_path):
    subject = load_subject(write_text_model(tmp_path / "model"), str(write_csv(tmp_path / "pets.csv")))
    assert set(subject.examples.labels) == {-1}  # five scores, two classes
    result = audit(subject, tmp_path / "out", count=2, players=4)
    assert not result.labelled
    assert "correctly;" not in EXPERIMENT.to_json(result)["findings"]["What was examined"][0]


def test_a_linear_head_is_a_logistic_regression_of_the_mean_word(tmp_path):
    model = hw.load(write_text_model(tmp_path / "model"))
    labels = np.array(["cat" in text for text in TEXTS], int)
    with pytest.raises(DataError, match=f"labels: expected one for each of {len(TEXTS)} inputs; got {len(TEXTS) - 1}"):
        fit_linear_head(model, TEXTS, labels[1:])
    with_head = with_linear_head(model, **fit_linear_head(model, TEXTS, labels))
    states = [model(**model.preprocess(text)).last_hidden_state[0].mean(axis=0) for text in TEXTS]
    scaled = (np.array(states) - np.mean(states, axis=0)) / np.std(states, axis=0)
    expected = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, labels).decision_function(scaled)
    scores = np.stack([with_head.predict(text) for text in TEXTS])
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], expected, atol=1e-3)
    assert (scores.argmax(axis=1) == labels).mean() >= 0.75


def test_photographs_are_resized_and_blurred(tmp_path, rng):
    model = write_folder(tmp_path / "model", "vit")
    (model / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 10, "width": 10}, "do_normalize": False})
    )
    for name in ("one", "two"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 255, (23, 17, 3), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    subject = load_subject(model, str(tmp_path / "photos"), pixels=10)
    result = audit(subject, tmp_path / "out", count=2, players=4)
    assert result.scope.baseline == "contrast"
    assert result.scope.ablations == ("removed", "mean", "imputed", "blurred")
    assert len(result.scope.criteria) == 17
    assert [item.players for item in result.inputs] == [4, 4]


def test_one_map_alone_and_every_stage_resumed(tmp_path):
    subject = load_subject(write_text_model(tmp_path / "model"), str(write_csv(tmp_path / "pets.csv")))
    plan = FaithfulnessPlan(subject, maps=("AttnLRP",), count=2, players=3)
    first = EXPERIMENT.run(plan, Runner(tmp_path / "out", threads=1))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*.json")}
    again = EXPERIMENT.run(plan, Runner(tmp_path / "out", threads=2))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*.json")} == times
    assert EXPERIMENT.to_json(first) == EXPERIMENT.to_json(again)
    assert "Maps compared with each other" not in EXPERIMENT.findings(first)
    with pytest.raises(DataError, match=r"^--maps: "):
        EXPERIMENT.run(FaithfulnessPlan(subject, maps=("Shapley values",), count=2, players=3), Runner(tmp_path))
