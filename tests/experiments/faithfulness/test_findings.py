"""The findings, tables and tests of the faithfulness experiment, from digits with known curves."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from headwise.document import as_markdown_page
from headwise.experiments.faithfulness.findings import findings
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.per_input import InputResult
from headwise.experiments.faithfulness.result import FaithfulnessResult, ModelSummary
from headwise.experiments.faithfulness.scope import CHANCE, Scope
from headwise.experiments.faithfulness.tables import count_verdicts, records, tables
from headwise.experiments.statistics import bootstrap, bootstrap_crossed, sign_flip_test, sign_flip_tests
from headwise.metrics.permutation import holm
from headwise.metrics.perturbation import auc, comprehensiveness, sufficiency
from headwise.text import as_text
from helpers.snapshots import assert_snapshot

N, COUNT = 7, 29
MAPS = ("last layer", "all layers", "best head", "rollout", "flow", "Chefer", "AttnLRP", "Shapley values")
SCOPE = Scope(MAPS, "ink", ("removed", "black", "mean", "imputed"))
CRITERIA, RANKINGS = SCOPE.criteria, SCOPE.rankings


def make_result(rng, merit, *, held_out=True):
    """A result in which a ranking is as good as its merit, from −1 to 1; 0 is as good as chance."""
    steps = np.linspace(0, 1, N + 1)

    def item():
        curves = np.empty((len(RANKINGS) + 1, 4, 2, N + 1))
        for i, name in enumerate((*RANKINGS, CHANCE)):
            power = 3.0 ** (merit.get(name, 0) + rng.normal(scale=0.05, size=(4, 1)))
            curves[i, :, 0], curves[i, :, 1] = (1 - steps) ** power, 1 - (1 - steps) ** power
        shapley = np.array([*(merit.get(name, 0) + rng.normal(scale=0.05) for name in RANKINGS), 0.0])
        return scored(curves, shapley)

    importance = np.array([[1.0, 2, 3], [6, 5, 4]])
    heads = HeadImportance(27, 0.5, importance, np.array([[27, 26, 25], [20, 28, 24]]), 0.5 + importance / 100)
    cheap = MAPS[:-1]
    randomization = rng.normal(loc=np.linspace(1, 0, 4)[:, None, None], scale=0.01, size=(5, 4, len(cheap), 11))
    randomization[:, 0, :5], randomization[:, 0, 5:] = 1, 0.4
    return FaithfulnessResult(
        SCOPE, ModelSummary("a model", 2, 3, "0123", N), "other digits", "some digits", "images", held_out, 0,
        tuple(range(COUNT)), tuple(item() for _ in range(COUNT)), True, heads,
        ("head", "layer 1", "layer 0", "embedding"), randomization, cheap,
    )  # fmt: skip


def scored(curves, shapley):
    """The result of one input with these curves and rank correlations."""
    deletion, insertion = curves[..., 0, :], curves[..., 1, :]
    measures = [auc(deletion), auc(insertion), comprehensiveness(deletion), sufficiency(insertion)]
    scores = np.concatenate([np.stack(measures, axis=-1).reshape(len(curves), -1), shapley[:, None]], axis=1)
    return InputResult(3, True, N, curves, scores, np.array([1, 1, 1, 1, 3, 1, 1, 1, 1, N]))


def with_deletion_of_chance(item):
    """The same, with the deletion curve of rollout no better than chance."""
    curves = item.curves.copy()
    curves[RANKINGS.index("rollout"), :, 0] = item.curves[-1, :, 0]
    return scored(curves, item.scores[:, -1])


MERIT = {"rollout": 0.8, "last layer": 0.6, "flow": -0.6, "ink": 0.6, "Shapley values": 1.0}


@pytest.fixture
def result(rng):
    return make_result(rng, MERIT)


def test_verdicts_are_the_merits(result):
    assert count_verdicts(result.against_chance, "rollout") == (17, 0, 17)
    assert count_verdicts(result.against_chance, "flow") == (0, 17, 17)
    assert count_verdicts(result.against_chance, "uniform") == (0, 0, 17)
    assert count_verdicts(result.against_baseline, "rollout") == (17, 0, 17)
    assert count_verdicts(result.against_baseline, "last layer") == (0, 0, 17)
    assert count_verdicts(result.against_baseline, "best head") == (0, 17, 17)
    assert count_verdicts(result.against_each_other, "rollout") == (102, 0, 102)
    assert count_verdicts(result.against_each_other, "last layer") == (5 * 17, 17, 102)
    assert count_verdicts(result.against_each_other, "flow") == (0, 102, 102)
    for test in result.against_chance:
        assert test.low <= test.gain <= test.high
        assert test.gain == pytest.approx(result.gains[0, result.index(test.ranking), CRITERIA.index(test.criterion)])


def text_of(result, heading):
    return " ".join(map(as_text, findings(result)[heading]))


def variants(result, rng):
    """Results for which different sentences are chosen."""
    similar = replace(result, randomization=result.randomization + np.array([0, 0.3, 0, 0, 0, 0, 0])[:, None])
    unseen = make_result(rng, {"Chefer": 0.3, "ink": 0.9, "uniform": 0.4, "Shapley values": 1.0}, held_out=False)
    return {
        "similar": similar,
        "close": make_result(rng, MERIT | {"all layers": 0.8}),
        "mixed": replace(result, inputs=tuple(map(with_deletion_of_chance, result.inputs))),
        "unseen": unseen,
        "nothing": make_result(rng, {}),
    }


def test_findings_follow_from_the_numbers(result, rng):
    assert "all 17 criteria: last layer, rollout and Shapley values" in text_of(result, "Compared with chance")
    by_name = {"result": result, **variants(result, rng)}
    lines = [
        f"{name} | {heading}: {as_text(statement)}"
        for name, variant in by_name.items()
        for heading, statements in findings(variant).items()
        for statement in statements
    ]
    assert_snapshot("\n".join(lines) + "\n", "experiments/faithfulness.txt")


def test_no_template_holds_a_digit(result, rng):
    for variant in (result, *variants(result, rng).values()):
        for statement in (each for part in findings(variant).values() for each in part):
            assert not re.search(r"\d", re.sub(r"\{[^}]*\}", "", statement.template)), statement.template


def test_tables_and_json_contain_the_numbers(result):
    shown = {table.name: table for table in (*tables(result), *records(result))}
    row = next(row for row in shown["verdicts"].rows if row[0] == "last layer")
    assert row[1:] == ("17 / 0 of 17", "0 / 0 of 17", "85 / 17 of 102")
    assert shown["heads"].rows[1][1] == "6000.00 / +7"
    assert shown["heads"].rows[1][2] == "5000.00 / -1"
    assert len(shown["all-tests"].rows) == 17 * (10 + 8 + 21)
    assert len(shown["all-inputs"].rows) == COUNT * len((*RANKINGS, CHANCE))
    assert all(len(row) == len(table.columns) for table in shown.values() for row in table.rows)
    content = json.loads(json.dumps(result.to_json()))
    assert content["scores"]["rollout"][0][0] == pytest.approx(result.scores[:, 3, 0].mean())
    assert content["randomization"]["draws"] == 5
    assert "## Heads" in as_markdown_page("Audit", findings(result), tables(result))


def test_the_interval_over_draws_and_inputs_covers_both(rng):
    """Of the variance of a mean over 200 inputs and 20 draws, the draws' own is 1/20, the inputs' 1/200."""
    by_draw, by_input = rng.normal(size=(20, 1)), rng.normal(size=(1, 200))
    _, low, high = bootstrap_crossed(by_draw + 0 * by_input, rng)
    assert high - low == pytest.approx(2 * 1.96 * by_draw.std() / 20**0.5, rel=0.1)
    _, low, high = bootstrap_crossed(0 * by_draw + by_input, rng)
    assert high - low == pytest.approx(2 * 1.96 * by_input.std() / 200**0.5, rel=0.1)
    mean, low, high = bootstrap(by_input[0], rng)
    assert mean == by_input.mean()
    assert high - low == pytest.approx(2 * 1.96 * by_input.std() / 200**0.5, rel=0.1)


def test_sign_flips_estimate_the_exact_test(rng):
    differences = rng.integers(-3, 5, (13, 5))
    exact = [sign_flip_test(column) for column in differences.T.tolist()]
    np.testing.assert_allclose(sign_flip_tests(differences / 7, rng), exact, atol=0.008)
    assert sign_flip_tests(np.zeros((5, 1)), rng) == 1


def test_holm_is_the_step_down_procedure(rng):
    p = rng.random(23) ** 5
    for level in np.linspace(0.001, 0.999, 97):
        rejected = np.zeros(23, bool)
        for step, at in enumerate(np.argsort(p)):
            if p[at] > level / (23 - step):
                break
            rejected[at] = True
        np.testing.assert_array_equal(holm(p) <= level, rejected)
