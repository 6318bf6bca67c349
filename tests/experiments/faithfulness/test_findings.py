"""What an audit concludes from digits whose answers are known."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from headwise.document import as_markdown_page
from headwise.experiments.faithfulness.findings import findings
from headwise.experiments.faithfulness.heads import Heads
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, KINDS, DigitAudit
from headwise.experiments.faithfulness.resampling import bootstrap, bootstrap_crossed, holm, sign_flip_tests
from headwise.experiments.faithfulness.result import CRITERIA, Audit
from headwise.experiments.faithfulness.result_tables import count_verdicts, records, tables
from headwise.experiments.statistics import sign_flip_test
from headwise.models.token_ablation import ABLATIONS
from headwise.models.vit import ViTConfig
from headwise.text import as_text

N, DIGITS = 7, 29
MODEL = ViTConfig(tokenizer="rows", image_size=(N, 5), d_model=6, n_layers=2, n_heads=3, d_ff=11, n_classes=4)


def made(rng, merit, *, apart=True):
    """An audit of digits in which a kind of map is as good as its merit, from −1 to 1; 0 is as good as chance."""
    steps = np.linspace(0, 1, N + 1)

    def digit():
        curves = np.empty((len(KINDS) + 1, len(ABLATIONS), 2, N + 1))
        for i, kind in enumerate((*KINDS, CHANCE)):
            power = 3.0 ** (merit.get(kind, 0) + rng.normal(scale=0.05, size=(len(ABLATIONS), 1)))
            curves[i, :, 0], curves[i, :, 1] = (1 - steps) ** power, 1 - (1 - steps) ** power
        shapley = [merit.get(kind, 0) + rng.normal(scale=0.05) for kind in KINDS]
        return DigitAudit(3, curves, np.array(shapley), np.array([1, 1, 1, 1, 3, *[1] * 5]), 0.0)

    importance = np.array([[1.0, 2, 3], [6, 5, 4]])
    heads = Heads(importance, 27, 0.5, np.array([[27, 26, 25], [20, 28, 24]]), 0.5 + importance / 100)
    sanity = rng.normal(loc=np.linspace(1, 0, 4)[:, None, None], scale=0.01, size=(5, 4, len(MAPS), 11))
    sanity[:, 0, :5], sanity[:, 0, 5:] = 1, 0.4
    digits = tuple(digit() for _ in range(DIGITS))
    return Audit(MODEL, "other digits", "some digits", apart, 0, tuple(range(DIGITS)), digits, heads, sanity)


def with_deletion_of_chance(digit):
    """The same, with rollout no better than chance where tokens are taken away."""
    curves = digit.curves.copy()
    curves[KINDS.index("rollout"), :, 0] = digit.curves[-1, :, 0]
    return replace(digit, curves=curves)


MERIT = {"rollout": 0.8, "last layer": 0.6, "flow": -0.6, "ink": 0.6, "Shapley values": 1.0}


@pytest.fixture
def audit(rng):
    return made(rng, MERIT)


def test_areas_and_shares_equal_loops(audit):
    shares = [int(np.ceil(share * N)) for share in (0.05, 0.1, 0.2, 0.5)]
    for kind, way in ((0, 0), (4, 3), (10, 1)):
        out, in_ = audit.digits[11].curves[kind, way]
        expected = {
            "deletion": sum((out[k] + out[k + 1]) / 2 for k in range(N)) / N,
            "insertion": sum((in_[k] + in_[k + 1]) / 2 for k in range(N)) / N,
            "comprehensiveness": np.mean([out[0] - out[k] for k in shares]),
            "sufficiency": np.mean([in_[N] - in_[k] for k in shares]),
        }
        for j, criterion in enumerate(CRITERIA):
            if criterion.missing == list(ABLATIONS)[way] and criterion.measure in expected:
                assert audit.scores[11, kind, j] == pytest.approx(expected[criterion.measure])
    np.testing.assert_array_equal(audit.scores[11, :-1, -1], audit.digits[11].shapley)
    assert audit.scores[11, -1, -1] == 0


def test_verdicts_are_the_merits(audit):
    assert count_verdicts(audit.against_chance, "rollout") == (17, 0, 17)
    assert count_verdicts(audit.against_chance, "flow") == (0, 17, 17)
    assert count_verdicts(audit.against_chance, "uniform") == (0, 0, 17)
    assert count_verdicts(audit.against_ink, "rollout") == (17, 0, 17)
    assert count_verdicts(audit.against_ink, "last layer") == (0, 0, 17)
    assert count_verdicts(audit.against_ink, "best head") == (0, 17, 17)
    assert count_verdicts(audit.against_each_other, "rollout") == (102, 0, 102)
    assert count_verdicts(audit.against_each_other, "last layer") == (5 * 17, 17, 102)
    assert count_verdicts(audit.against_each_other, "flow") == (0, 102, 102)
    for test in audit.against_chance:
        assert test.low <= test.better <= test.high
        assert test.better == pytest.approx(audit.gains[0, audit.of(test.kind), CRITERIA.index(test.criterion)])


def test_findings_follow_the_figures(audit, rng):
    said = {heading: " ".join(map(as_text, each)) for heading, each in findings(audit).items()}
    assert "Better than random orders by all 17 criteria: last layer and rollout." in said["Better than chance"]
    assert "Worse than random orders by all 17 criteria: flow." in said["Better than chance"]
    assert "better by 0 and worse by 0 of 17, as it should be" in said["Better than chance"]
    assert "Better than the order of the ink by all 17 criteria: rollout." in said["Better than the ink"]
    assert "ahead of the others is rollout, shown better in 102 and worse in 0 of 102" in said["Which kind of map"]
    assert "most often behind is flow" in said["Which kind of map"]
    assert "which comes first: flow (3.0), tokens on average" in said["Which kind of map"]
    assert "Told apart" not in said["Which kind of map"]
    assert "No kind is better" not in said["Which kind of map"]
    assert "By deletion rollout has the best mean whatever" in said["What a missing token is"]
    assert "(rollout) on average; that of the ink is 0.6" in said["The tokens' worth"]
    assert "At least 0.5 on average: last layer and rollout." in said["The tokens' worth"]
    assert "these maps stay the same: last layer, all layers, best head, rollout and flow" in said["Random weights"]
    assert "not shown to resemble the trained model's: last layer" in said["Random weights"]
    assert "still resemble" not in said["Random weights"]
    assert "head 0 of layer 1 matters most" in said["Heads"]
    assert "20 of 29 digits are read correctly, with it 27" in said["Heads"]
    assert "rank correlation of the gradient with what leaving a head out adds to the loss is 1.00" in said["Heads"]
    assert "trained on" not in said["What was audited"]

    lasting = replace(audit, sanity=audit.sanity + np.array([0, 0.3, 0, 0, 0, 0, 0])[:, None])
    assert "still resemble the trained model's" in as_text(findings(lasting)["Random weights"][1])
    assert "all layers (+0.30). So much" in as_text(findings(lasting)["Random weights"][1])

    close = made(rng, MERIT | {"all layers": 0.8})
    assert "by fewer than half of the 17 criteria: " in as_text(findings(close)["Which kind of map"][2])

    swapped = replace(audit, digits=tuple(with_deletion_of_chance(digit) for digit in audit.digits))
    told = " ".join(map(as_text, findings(swapped)["Better than the ink"]))
    assert "Better by some of 17 and worse by others: rollout (better by 9, worse by 8)." in told
    assert "better by insertion (4), sufficiency (4)" in told

    other = made(rng, {"gradient": 0.3, "ink": 0.9, "uniform": 0.4, "Shapley values": 1.0}, apart=False)
    said = {heading: " ".join(map(as_text, each)) for heading, each in findings(other).items()}
    assert "may be among those that the model was trained on (other digits)" in said["What was audited"]
    assert "Not shown to be better or worse by any of 17" in said["Better than chance"]
    assert "which is chance at work" in said["Better than chance"]
    assert "No kind of map is shown to be better than the order of the ink" in said["Better than the ink"]
    assert "None has 0.5 or more" in said["The tokens' worth"]

    nothing = findings(made(rng, {}))
    assert "No kind of map is shown to be better than random orders" in " ".join(
        map(as_text, nothing["Better than chance"])
    )
    for parts in (findings(audit), findings(other), nothing):
        for statement in (each for part in parts.values() for each in part):
            assert not re.search(r"\d", re.sub(r"\{[^}]*\}", "", statement.template)), statement.template


def test_tables_and_json_hold_what_was_found(audit):
    shown = {table.name: table for table in (*tables(audit), *records(audit))}
    row = next(row for row in shown["verdicts"].rows if row[0] == "last layer")
    assert row[1:] == ("17 / 0 of 17", "0 / 0 of 17", "85 / 17 of 102")
    assert shown["heads"].rows[1][1] == "6000.00 / +7"
    assert shown["heads"].rows[1][2] == "5000.00 / -1"
    assert len(shown["all-tests"].rows) == 17 * (9 + 7 + 21)
    assert len(shown["all-digits"].rows) == DIGITS * len((*KINDS, CHANCE))
    assert all(len(row) == len(table.columns) for table in shown.values() for row in table.rows)
    told = json.loads(json.dumps(audit.to_json()))
    assert told["scores"]["rollout"][0][0] == pytest.approx(audit.scores[:, 3, 0].mean())
    assert told["sanity"]["draws"] == 5
    assert "## Heads" in as_markdown_page("Audit", findings(audit), tables(audit))


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


def test_a_digit_comes_back_from_json_as_it_was(audit):
    digit = replace(audit.digits[0], error=0.125)
    again = DigitAudit.from_json(json.loads(json.dumps(digit.to_json())))
    np.testing.assert_array_equal(again.curves, digit.curves)
    np.testing.assert_array_equal(again.shapley, digit.shapley)
    np.testing.assert_array_equal(again.first, digit.first)
    assert (again.predicted, again.error) == (3, 0.125)
