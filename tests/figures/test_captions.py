"""Captions: their text by snapshot, and every number recomputed from the saved arrays by other means."""

import json
import re
import string
from dataclasses import replace

import numpy as np
import pytest

from headwise.explanation import record_attention
from headwise.figures import AttentionRecord, CaptionedFigure, select_figures
from headwise.figures.kinds.rollout import last_rollout_map
from headwise.figures.measurements import head_names
from headwise.models.vit import ViTConfig, vit_params
from headwise.text import as_text, get_formula
from headwise.train.checkpoint import pretrained_vit
from helpers.captions import all_statements, all_values, caption_lines
from helpers.factories import SCORE, make_dependence, make_record
from helpers.recomputed import Recomputed
from helpers.snapshots import assert_snapshot


def heads_with_roles():
    """(2, 3, 17, 17): itself, one patch to the right, the neighbours, the class token, patch 6, and nothing."""
    cells = np.stack(np.indices((4, 4)), axis=-1).reshape(-1, 2)
    steps = cells[None] - cells[:, None]
    weights = np.full((2, 3, 17, 17), 0.01, np.float32)
    weights[0, 0] += np.eye(17)
    weights[0, 1, 1:, 1:] += (steps == (0, 1)).all(axis=-1)
    weights[0, 2, 1:, 1:] += np.abs(steps).max(axis=-1) <= 1
    weights[1, 0, :, 0] += 1
    weights[1, 1, :, 6] += 1
    return weights / weights.sum(axis=-1, keepdims=True)


RECORDS = {
    "heads with roles": {"weights": heads_with_roles()},
    "patches": {"score": SCORE, "dependence": make_dependence(np.random.default_rng(2), range(16))},
    "no class token, dropped weight": {"concentration": 50, "class_token": False, "dropped_weight": 0.125},
    "rows, no label": {"tokens": "rows", "concentration": 0.05, "shape": (2, 3), "label": -1},
    "overlapping permuted tokens": {"tokens": "scrambled-8x8/4", "shape": (1, 1), "pixels_permuted": True},
    "blocks, no audit": {
        "label": -1,
        "dependence": make_dependence(
            np.random.default_rng(3), [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3], audited=0, map="leave-one-out"
        ),
    },
    "unlike the digits": {"typicality": 0.0004},
    "correct prediction, estimated Shapley values": {"label": 1, "score": replace(SCORE, shapley_error=0.01)},
}


@pytest.mark.parametrize("name", RECORDS)
def test_captions(rng, name):
    figures = select_figures(make_record(rng, **RECORDS[name]), "all", 5)
    texts = [caption_lines(figure.caption) for figure in figures]
    assert_snapshot("\n".join(texts), f"captions/{name.replace(', ', '-').replace(' ', '-').lower()}.txt")


@pytest.mark.sampled
@pytest.mark.parametrize("name", RECORDS)
def test_every_number_is_recomputed_from_the_saved_arrays(rng, tmp_path, name):
    for figure in select_figures(make_record(rng, **RECORDS[name]), "all", 5):
        figure.caption.save(tmp_path / "a")
        figure.record.save(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as saved:
            facts = Recomputed(saved, figure.kind).facts
        parts = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        stated = {name: value for part in parts.values() for s in part for name, value in s["values"].items()}
        assert len(stated) > (3 if figure.kind == "roles" else 12)
        for fact, value in stated.items():
            if isinstance(value, str):
                assert value == facts[fact], (figure.kind, fact)
            else:
                assert value == pytest.approx(facts[fact], rel=1e-4, abs=1e-6), (figure.kind, fact)


def test_no_template_contains_a_digit(rng):
    for fields in ({"label": -1}, {"concentration": 1e3, "score": SCORE}, {"class_token": False, "shape": (1, 1)}):
        for figure in select_figures(make_record(rng, **fields), "all", 2):
            for statement in all_statements(figure.caption):
                literal = "".join(text for text, *_ in string.Formatter().parse(statement.template))
                assert not re.search(r"\d", re.sub(r"<[^<>]+>", "", literal)), literal
                for name in re.findall(r"<([^<>]+)>", literal):
                    assert get_formula(name).tex


def models():
    """Records of the pretrained model, an untrained one, and one with permuted parameters."""
    saved, rng = pretrained_vit(), np.random.default_rng(0)
    image = np.zeros((28, 28), np.float32)
    image[4:24, 13:16] = 1
    permuted = {name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in saved.params.items()}
    params = {"trained": saved.params, "untrained": vit_params(ViTConfig(), rng), "permuted": permuted}
    return {name: record_attention(image, p, saved.config) for name, p in params.items()}


def test_captions_tell_a_trained_model_from_an_untrained_and_a_permuted_one():
    captions = {
        name: {figure.kind: figure.caption for figure in select_figures(record, "all")}
        for name, record in models().items()
    }
    for kind in captions["trained"]:
        _, shown, reading, findings, _ = zip(*(captions[name][kind].paragraphs() for name in captions), strict=True)
        assert len(set(reading)) == 1
        assert len(set(findings)) == 3
        assert len({re.sub(r"[\d.%-]+", "", text) for text in shown}) == 1
    values = {name: {kind: all_values(caption) for kind, caption in kinds.items()} for name, kinds in captions.items()}
    trained = values["trained"]
    assert trained["rollout"]["rollout_ink"] > 1.25 * trained["rollout"]["ink_area"]
    for name in ("untrained", "permuted"):
        other = values[name]
        assert "uniform_heads" not in trained["maps"]  # there are none
        assert other["maps"]["uniform_heads"] > 0
        assert other["rollout"]["rollout_ink"] < 1.25 * other["rollout"]["ink_area"]
        assert other["maps"].get("ink_heads", 0) <= 4 < 10 <= trained["maps"]["ink_heads"]
        assert other["maps"]["agreeing_pairs"] > 10 * trained["maps"]["agreeing_pairs"]
        assert other["positions"]["nearest_matches"] <= 6 < 9 <= trained["positions"]["nearest_matches"]
        assert other["maps"]["probability"] < 0.9 < trained["maps"]["probability"]
    assert "max_information" not in values["permuted"]["matrices"]  # every head is independent of the query


def test_rules_at_their_thresholds(rng):
    n = 17
    uniform, sharp = np.full((3, 2, n, n), 1 / n), np.full((3, 2, n, n), 1e-4)
    sharp[..., 6] = 1
    sharp /= sharp.sum(-1, keepdims=True)
    mixed = uniform.copy()
    mixed[1, 0] = sharp[1, 0]
    widening = np.concatenate([sharp[:1], uniform[:2]])
    weights = {
        "uniform": uniform,
        "sharp": sharp,
        "mixed": mixed,
        "widening": widening,
        "narrowing": widening[::-1],
        "diagonal": np.broadcast_to(np.eye(n) * 0.9 + 0.1 / n, (3, 2, n, n)),
    }
    texts = []
    for name, w in weights.items():
        record = make_record(rng, weights=w, shape=(3, 2), label=-1)
        findings = CaptionedFigure(record).caption.findings
        texts.append(f"{name}\n" + "".join(f"- {as_text(s)}\n" for s in findings[1:]))
    assert_snapshot("\n".join(texts), "captions/rules.txt")


def test_head_names():
    assert head_names(np.zeros((2, 2), bool)) == ""
    assert head_names(np.array([[1, 1, 1], [0, 0, 1]], bool)) == "layer 0: heads 0, 1 and 2; layer 1: head 2"


def test_without_probabilities_there_is_no_prediction(rng):
    record = make_record(rng)
    caption = CaptionedFigure(replace(record, probabilities=np.zeros(0))).caption
    assert "predicted" not in all_values(caption)
    assert all_values(CaptionedFigure(record).caption)["label"] == 3


def test_images_without_ink_have_captions_without_ink(rng):
    record = make_record(rng)
    for image in (np.zeros_like(record.image), rng.random((28, 28))):
        for figure in select_figures(
            AttentionRecord(image, record.boxes, record.weights, record.probabilities), "all", 1
        ):
            assert not re.search(r"\bink\b|outline", figure.caption.text(full=True))
            assert "ink_area" not in all_values(figure.caption)


VERDICTS = {
    f"{deletion} {insertion} {shapley}": (deletion, insertion, shapley)
    for deletion in (0.99, 0.6)
    for insertion in (0.99, 0.6)
    for shapley in (0.7, 0.2)
}


def test_the_verdict_depends_on_all_three_scores(rng):
    lines = []
    for name, (deletion, insertion, shapley) in VERDICTS.items():
        score = replace(
            SCORE,
            fraction_of_random_beaten_deletion=deletion,
            fraction_of_random_beaten_insertion=insertion,
            shapley=shapley,
        )
        record = make_record(rng, score=score)
        verdict = as_text(CaptionedFigure(record).caption.limits[-1])
        lines.append(f"{name}: {verdict}\n")
        untested = CaptionedFigure(record, "rollout")  # the score is that of another map
        assert all_values(untested.caption).keys().isdisjoint({"deletion", "shapley"})
        tested = CaptionedFigure(replace(record, ranking=last_rollout_map(record)), "rollout")
        assert as_text(tested.caption.limits[-1]) == verdict
    for ink in ({"ink_deletion": 0.2}, {"ink_deletion": 0.2, "ink_insertion": 0.9}):
        record = make_record(rng, score=replace(SCORE, **ink))
        lines.append(f"{ink}: {as_text(CaptionedFigure(record).caption.limits[-1])}\n")
    assert_snapshot("".join(lines), "captions/verdicts.txt")


def test_without_a_test_there_is_no_score(rng):
    assert "deletion" in all_values(CaptionedFigure(make_record(rng, score=SCORE)).caption)
    assert "deletion" not in all_values(CaptionedFigure(make_record(rng)).caption)
    for kind in ("matrices", "depth"):
        assert "deletion" not in all_values(CaptionedFigure(make_record(rng, score=SCORE), kind).caption)


@pytest.mark.parametrize(
    "fields", [{"score": replace(SCORE, shapley_error=0.01)}, {"class_token": False, "dropped_weight": 0.5}]
)
def test_latex_has_no_unescaped_characters(rng, fields):
    for figure in select_figures(make_record(rng, **fields), "all", 2):
        tex = figure.caption.latex(figure.stem)
        assert tex.count("{") - tex.count("\\{") == tex.count("}") - tex.count("\\}")
        body = tex.split("\n", 1)[1]  # the first line is a comment
        words = re.sub(r"\$[^$]+\$", "", body)
        assert "$" not in words
        assert not re.search(r"(?<!\\)[%&#_^~]", words)
        assert body.isascii()
        for command in ("includegraphics", "caption[", "label", "end{figure*}"):
            assert f"\\{command}" in body


def test_alternative_texts_are_short_and_plain(rng):
    for figure in select_figures(make_record(rng), "all", 2):
        alt = figure.caption.alt()
        assert 60 < len(alt) < 500
        assert "\n" not in alt
        assert "$" not in alt


def test_when_the_probability_falls_below_half(rng):
    record = make_record(rng, "14x14", score=SCORE)
    falling = np.broadcast_to([0.8, 0.5, 0.3, 0.2, 0.1], (2, 5, 5))
    only_map = np.concatenate([falling[:, :2], falling[:, :3] * 0 + 0.9], axis=1)
    for curves, expected in ((falling, (2, 2)), (only_map, (2, None)), (falling * 0 + 0.9, (None, None))):
        values = all_values(CaptionedFigure(replace(record, curves=curves), "deletion").caption)
        assert (values.get("map_half"), values.get("random_half")) == expected


def test_registers_have_part_of_the_weight_of_a_panel(rng):
    t = make_record(rng).num_tokens + 3
    weights = rng.dirichlet(np.ones(t), (2, 2, t)).astype(np.float32)
    for prefix, places in (
        (np.arange(t) < 3, "come before them"),
        (np.isin(np.arange(t), [0, t - 2, t - 1]), "no number"),
    ):
        caption = CaptionedFigure(make_record(rng, weights=weights, prefix=prefix)).caption.text(full=True)
        assert "Below each panel, cls is" in caption
        assert "the weights of a panel sum to one" not in caption
        assert (
            f"the 3 prefix tokens, which stand for no part of the image, {'have ' * (places == 'no number')}{places}"
            in caption
        )
