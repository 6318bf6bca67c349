"""The findings, tables and tests of the faithfulness experiment, from digits with known curves."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from headwise.document import as_markdown_page
from headwise.experiments.faithfulness.findings import findings
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, RANKINGS, ImageResult
from headwise.experiments.faithfulness.resampling import bootstrap, bootstrap_crossed, holm, sign_flip_tests
from headwise.experiments.faithfulness.result import CRITERIA, FaithfulnessResult
from headwise.experiments.faithfulness.tables import count_verdicts, records, tables
from headwise.experiments.statistics import sign_flip_test
from headwise.models.token_ablation import ABLATIONS
from headwise.models.vit import ViTConfig
from headwise.text import as_text
from helpers.snapshots import assert_snapshot

N, DIGITS = 7, 29
MODEL = ViTConfig(tokenizer="rows", image_size=(N, 5), d_model=6, n_layers=2, n_heads=3, d_ff=11, n_classes=4)


def make_result(rng, merit, *, held_out=True):
    """A result in which a ranking is as good as its merit, from −1 to 1; 0 is as good as chance."""
    steps = np.linspace(0, 1, N + 1)

    def image():
        curves = np.empty((len(RANKINGS) + 1, len(ABLATIONS), 2, N + 1))
        for i, name in enumerate((*RANKINGS, CHANCE)):
            power = 3.0 ** (merit.get(name, 0) + rng.normal(scale=0.05, size=(len(ABLATIONS), 1)))
            curves[i, :, 0], curves[i, :, 1] = (1 - steps) ** power, 1 - (1 - steps) ** power
        shapley = [merit.get(name, 0) + rng.normal(scale=0.05) for name in RANKINGS]
        return ImageResult(3, 0.0, curves, np.array(shapley), np.array([1, 1, 1, 1, 3, *[1] * 5]))

    importance = np.array([[1.0, 2, 3], [6, 5, 4]])
    heads = HeadImportance(27, 0.5, importance, np.array([[27, 26, 25], [20, 28, 24]]), 0.5 + importance / 100)
    randomization = rng.normal(loc=np.linspace(1, 0, 4)[:, None, None], scale=0.01, size=(5, 4, len(MAPS), 11))
    randomization[:, 0, :5], randomization[:, 0, 5:] = 1, 0.4
    images = tuple(image() for _ in range(DIGITS))
    indices = tuple(range(DIGITS))
    return FaithfulnessResult(MODEL, "other digits", "some digits", held_out, 0, indices, images, heads, randomization)


def with_deletion_of_chance(image):
    """The same, with the deletion curve of rollout no better than chance."""
    curves = image.curves.copy()
    curves[RANKINGS.index("rollout"), :, 0] = image.curves[-1, :, 0]
    return replace(image, curves=curves)


MERIT = {"rollout": 0.8, "last layer": 0.6, "flow": -0.6, "ink": 0.6, "Shapley values": 1.0}


@pytest.fixture
def result(rng):
    return make_result(rng, MERIT)


def test_areas_and_shares_equal_loops(result):
    shares = [int(np.ceil(share * N)) for share in (0.05, 0.1, 0.2, 0.5)]
    for kind, way in ((0, 0), (4, 3), (10, 1)):
        out, in_ = result.images[11].curves[kind, way]
        expected = {
            "deletion": sum((out[k] + out[k + 1]) / 2 for k in range(N)) / N,
            "insertion": sum((in_[k] + in_[k + 1]) / 2 for k in range(N)) / N,
            "comprehensiveness": np.mean([out[0] - out[k] for k in shares]),
            "sufficiency": np.mean([in_[N] - in_[k] for k in shares]),
        }
        for j, criterion in enumerate(CRITERIA):
            if criterion.ablation == list(ABLATIONS)[way] and criterion.measure in expected:
                assert result.scores[11, kind, j] == pytest.approx(expected[criterion.measure])
    np.testing.assert_array_equal(result.scores[11, :-1, -1], result.images[11].shapley_correlation)
    assert result.scores[11, -1, -1] == 0


def test_verdicts_are_the_merits(result):
    assert count_verdicts(result.against_chance, "rollout") == (17, 0, 17)
    assert count_verdicts(result.against_chance, "flow") == (0, 17, 17)
    assert count_verdicts(result.against_chance, "uniform") == (0, 0, 17)
    assert count_verdicts(result.against_ink, "rollout") == (17, 0, 17)
    assert count_verdicts(result.against_ink, "last layer") == (0, 0, 17)
    assert count_verdicts(result.against_ink, "best head") == (0, 17, 17)
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
    unseen = make_result(rng, {"gradient": 0.3, "ink": 0.9, "uniform": 0.4, "Shapley values": 1.0}, held_out=False)
    return {
        "similar": similar,
        "close": make_result(rng, MERIT | {"all layers": 0.8}),
        "mixed": replace(result, images=tuple(map(with_deletion_of_chance, result.images))),
        "unseen": unseen,
        "nothing": make_result(rng, {}),
    }


def test_findings_follow_from_the_numbers(result, rng):
    assert "Better than random orders by all 17 criteria: last layer and rollout." in text_of(
        result, "Compared with chance"
    )
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
    assert len(shown["all-tests"].rows) == 17 * (9 + 7 + 21)
    assert len(shown["all-digits"].rows) == DIGITS * len((*RANKINGS, CHANCE))
    assert all(len(row) == len(table.columns) for table in shown.values() for row in table.rows)
    content = json.loads(json.dumps(result.to_json()))
    assert content["scores"]["rollout"][0][0] == pytest.approx(result.scores[:, 3, 0].mean())
    assert content["randomization"]["draws"] == 5
    assert "## Heads" in as_markdown_page("Audit", findings(result), tables(result))


def test_the_interval_over_draws_and_digits_covers_both(rng):
    """Of the variance of a mean over 200 digits and 20 draws, the draws' own is 1/20, the digits' 1/200."""
    by_draw, by_digit = rng.normal(size=(20, 1)), rng.normal(size=(1, 200))
    _, low, high = bootstrap_crossed(by_draw + 0 * by_digit, rng)
    assert high - low == pytest.approx(2 * 1.96 * by_draw.std() / 20**0.5, rel=0.1)
    _, low, high = bootstrap_crossed(0 * by_draw + by_digit, rng)
    assert high - low == pytest.approx(2 * 1.96 * by_digit.std() / 200**0.5, rel=0.1)
    mean, low, high = bootstrap(by_digit[0], rng)
    assert mean == by_digit.mean()
    assert high - low == pytest.approx(2 * 1.96 * by_digit.std() / 200**0.5, rel=0.1)


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
