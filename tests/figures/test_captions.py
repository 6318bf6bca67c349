"""The captions: every number recomputed from the saved arrays by other means, and different models told apart."""

import json
import re
import string
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from headwise.explain.explanation import record_attention
from headwise.figures.captions.maps import maps_caption
from headwise.figures.captions.measurements import head_names
from headwise.figures.rollout import last_rollout_map
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr

from headwise.figures import AttentionRecord, CaptionedFigure, select_figures
from headwise.models.vit import ViTConfig, vit_params
from headwise.text import FORMULAE
from headwise.thresholds import THRESHOLDS
from headwise.train.checkpoint import pretrained_vit
from helpers.factories import TESTED, drawn

EVEN, ON_INK, LOCAL, ALIKE, ASKING = 0.9, 1.25, 0.7, 0.7, 0.25  # the documented thresholds, once more


@pytest.mark.parametrize(
    "how",
    [
        {"concentration": 0.5, "tested": TESTED},
        {"concentration": 50, "classed": False, "cut_off": 0.125},
        {"tokens": "rows", "concentration": 0.05, "shape": (2, 3), "label": -1},
        {"tokens": "scrambled-8x8/4", "shape": (1, 1), "rearranged": True},
    ],
    ids=["patches", "no class token", "rows", "overlapping"],
)
def test_every_number_is_recomputed_from_the_saved_arrays(rng, tmp_path, how):
    for captioned in select_figures(drawn(rng, **how), "all", 5):
        captioned.caption.save(tmp_path / "a")
        captioned.drawn.save(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as saved:
            facts = Recomputed(saved, captioned.figure).facts
        said = json.loads((tmp_path / "a.json").read_text())
        stated = {name: value for part in said.values() for s in part for name, value in s["values"].items()}
        assert len(stated) > 12
        for name, value in stated.items():
            if isinstance(value, str):
                assert value == facts[name], (captioned.figure, name)
            else:
                assert value == pytest.approx(facts[name], rel=1e-4, abs=1e-6), (captioned.figure, name)


class Recomputed:
    """The facts once more, by loops and by SciPy."""

    def __init__(self, saved, figure):
        self.image, self.boxes = saved["image"], saved["boxes"]
        self.w = saved["weights"].astype(float)
        self.layers, self.heads, self.t, _ = self.w.shape
        self.n = len(self.boxes)
        self.first = self.t - self.n
        self.middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        self.ink = (self.image > 0.5) & ((self.image < 0.1).sum() * 2 >= self.image.size)
        self.inked = np.array([self.ink[y : y + h, x : x + w].sum() / (h * w) for y, x, h, w in self.boxes])
        self.every = list(np.ndindex(self.layers, self.heads))
        self.facts = self.basics(saved)
        getattr(self, figure)(saved)

    def basics(self, saved):
        probabilities, area = saved["probabilities"], self.inked.mean()
        order = np.argsort(-probabilities)
        return {
            "height": 28, "width": 28, "box_height": self.boxes[0, 2], "box_width": self.boxes[0, 3],
            "tokens": self.n, "rows": self.t, "layers": self.layers, "heads": self.heads,
            "all_heads": self.layers * self.heads, "d": int(saved["head_width"]), "uniform": 1 / self.t, "area": area,
            "ink_level": 0.5, "even": EVEN, "on_ink": ON_INK, "local": LOCAL, "alike": ALIKE, "asking": ASKING,
            "ordered": 0.3, "chance": 0.95, "follows": 0.5, "even_share": 1 / self.n, "last_layer": self.layers - 1,
            "predicted": order[0], "probability": probabilities[order[0]], "second": order[1],
            "second_probability": probabilities[order[1]], "label": int(saved["label"]),
            "cut_off": float(saved["cut_off"]), "token": 5,
        }  # fmt: skip

    def put(self, name, values, *, least=False):
        at = np.unravel_index(values.argmin() if least else values.argmax(), values.shape)
        self.facts |= {name: values[at], f"{name}_layer": at[0], f"{name}_head": at[1]}
        return at

    def ends(self, name, values):
        self.facts |= {f"{name}_first": values[0].mean(), f"{name}_last": values[-1].mean()}

    def chosen(self, name, values):
        lines = []
        for layer in range(self.layers):
            heads = [str(h) for h in range(self.heads) if values[layer, h]]
            text = " and ".join([*([", ".join(heads[:-1])] if heads[1:] else []), *heads[-1:]])
            lines += [f"layer {layer}: head{'s' if heads[1:] else ''} {text}"] if heads else []
        self.facts |= {f"{name}_heads": values.sum(), f"{name}_names": "; ".join(lines)}

    def table(self, function):
        return np.array([[function(layer, head) for head in range(self.heads)] for layer in range(self.layers)])

    def distances(self):
        far = np.array([[np.hypot(*(a - b)) for b in self.middle] for a in self.middle])
        kept = self.w[:, :, self.first :, self.first :]
        kept = kept / kept.sum(axis=-1, keepdims=True)
        distance = self.table(lambda layer, head: (kept[layer, head] * far).sum(axis=1).mean())
        self.facts["even_distance"] = far.mean()
        self.chosen("local", distance <= LOCAL * far.mean())
        if self.first:
            self.ends("dropped", self.w[:, :, 1:, 0].mean(axis=2))
            self.facts["dropped"] = self.w[:, :, 1:, 0].mean()
        return distance

    def row(self, maps):
        p = maps / maps.sum(axis=-1, keepdims=True)
        effective = 2 ** scipy_entropy(p, base=2, axis=-1)
        narrow = self.put("narrow", effective, least=True)
        self.put("wide", effective)
        self.ends("effective", effective)
        self.facts |= {
            "scale_top": maps.max(), "narrow_token": p[narrow].argmax() + 1, "narrow_share": p[narrow].max()
        }  # fmt: skip
        self.chosen("even", effective >= EVEN * self.n)
        on_ink = (p * self.inked).sum(axis=-1)
        self.put("inkiest", on_ink)
        self.chosen("ink", on_ink >= ON_INK * self.inked.mean())
        self.chosen("background", on_ink <= self.inked.mean() / ON_INK)
        alike = {(a, b): 1 - jensenshannon(p[a], p[b], base=2) for a, b in combinations(self.every, 2)}
        if alike:
            a, b = max(alike, key=alike.get)
            self.facts |= {
                "pairs": len(alike), "alike_pairs": sum(v >= ALIKE for v in alike.values()), "nearest": alike[a, b],
                "nearest_layer": a[0], "nearest_head": a[1], "other_layer": b[0], "other_head": b[1],
            }  # fmt: skip

    def maps(self, saved):
        self.row(self.w[:, :, 0, 1:] if self.first else self.w.mean(axis=2))
        self.ends("distance", self.distances())
        kept = self.w[:, :, 0, 0]
        self.put("self_least", kept, least=True)
        self.put("self_most", kept)
        self.ends("self", kept)
        self.score(saved)

    def token(self, saved):
        at = 5 if self.first else 4
        maps = self.w[:, :, at, self.first :]
        self.row(maps)
        far = np.hypot(*(self.middle - self.middle[4]).T)
        distance = (maps / maps.sum(axis=-1, keepdims=True) * far).sum(axis=-1)
        self.facts["even_distance"] = far.mean()
        self.ends("distance", distance)
        self.chosen("local", distance <= LOCAL * far.mean())
        self.put("self_least", self.w[:, :, at, at], least=True)
        self.put("self_most", self.w[:, :, at, at])
        self.put("class_most", self.w[:, :, at, 0])
        self.facts["dropped"] = self.w[:, :, at, 0].mean()

    def matrices(self, saved):
        self.distances()
        h = scipy_entropy(self.w, base=2, axis=-1)
        information = scipy_entropy(self.w.mean(axis=2), base=2, axis=-1) - h.mean(axis=2)
        self.put("asked", information)
        self.chosen("blind", information <= ASKING)
        self.chosen("even", (2**h).mean(axis=2) >= EVEN * self.t)
        itself = self.table(lambda layer, head: np.mean([self.w[layer, head, i, i] for i in range(self.first, self.t)]))
        self.put("self_most", itself)
        self.facts["scale_top"] = self.w.max()

    def rollout(self, saved):
        through, product = [], np.eye(self.t)
        for layer in range(self.layers):
            product = (np.eye(self.t) / 2 + self.w[layer].mean(axis=0) / 2) @ product
            through.append(product[0] if self.first else product.mean(axis=0))
        maps = np.array(through)[:, self.first :]
        p = maps / maps.sum(axis=-1, keepdims=True)
        effective = 2 ** scipy_entropy(p, base=2, axis=-1)
        self.ends("effective", effective)
        self.facts |= {
            "scale_top": maps.max(), "first_token": maps[-1].argmax() + 1, "first_share": p[-1].max(),
            "last_ink": p[-1] @ self.inked, "dropped": through[-1][0],
        }  # fmt: skip
        self.score(saved)

    def depth(self, saved):
        h = scipy_entropy(self.w, base=2, axis=-1).mean(axis=2)
        for name, values in (("distance", self.distances()), ("entropy", h)):
            self.put(f"{name}_least", values, least=True)
            self.put(f"{name}_most", values)
            self.ends(name, values)
        self.facts["even_entropy"] = np.log2(self.t)

    def positions(self, saved):
        e = saved["positions"].astype(float)
        pairs = {
            (a, b): e[a] @ e[b] / np.linalg.norm(e[a]) / np.linalg.norm(e[b]) for a, b in combinations(range(self.n), 2)
        }
        far = {(a, b): round(np.hypot(*(self.middle[a] - self.middle[b])), 6) for a, b in pairs}
        least, most = min(far.values()), max(far.values())
        best = max(pairs, key=pairs.get)
        neighbours, chance = 0, 0
        for a in range(self.n):
            others = {b: tuple(sorted((a, b))) for b in range(self.n) if b != a}
            near = {b for b in others if far[others[b]] == min(far[o] for o in others.values())}
            neighbours += max(others, key=lambda b: pairs[others[b]]) in near
            chance += len(near) / (self.n - 1)
        self.facts |= {
            "numbers": e.shape[1], "pairs": len(pairs), "lowest": min(pairs.values()), "highest": pairs[best],
            "one": best[0] + 1, "two": best[1] + 1, "near": least, "far": most, "neighbours": neighbours,
            "near_cosine": np.mean([pairs[o] for o in pairs if far[o] == least]), "by_chance": chance,
            "far_cosine": np.mean([pairs[o] for o in pairs if far[o] == most]),
            "correlation": spearmanr(list(far.values()), list(pairs.values())).statistic,
        }  # fmt: skip

    def deletion(self, saved):
        curves = saved["curves"]
        self.facts |= {"band": 0.95, "full": curves[0, 0, 0], "empty": curves[0, 0, -1]}
        for i, name in enumerate(("own", "ink", "chance")):
            for way, curve in (("out", curves[0, i]), ("in", curves[1, i])):
                self.facts[f"{name}_{way}"] = sum((a + b) / 2 / self.n for a, b in pairwise(curve))
            self.facts[f"{name}_half"] = next(
                (k for k, v in enumerate(curves[0, i]) if v < curves[0, i, 0] / 2), self.n + 1
            )
        self.score(saved)

    def score(self, saved):
        if "tested_deletion" in saved:
            t = {name.removeprefix("tested_"): saved[name] for name in saved.files if name.startswith("tested_")}
            self.facts |= {n: float(t[n]) for n in ("deletion", "ink_deletion", "orders", "shapley", "ink_shapley")}
            self.facts |= {
                "beaten": float(t["fraction_of_random_beaten_deletion"]),
                "band": 0.95,
                "beaten_in": float(t["fraction_of_random_beaten_insertion"]),
            }
            self.facts |= {n: float(t[n]) for n in ("insertion", "ink_insertion")}
            self.facts |= {"random_insertion": float(t["random_insertion"][0])}
            self.facts |= dict(zip(("random_deletion", "random_low", "random_high"), t["random_deletion"], strict=True))


def statements(captioned):
    made = captioned.caption
    return [made.title, *(s for part in made.parts.values() for s in part), *made.alternative]


def test_no_template_holds_a_number(rng):
    for how in ({"label": -1}, {"concentration": 1e3, "tested": TESTED}, {"classed": False, "shape": (1, 1)}):
        for captioned in select_figures(drawn(rng, **how), "all", 2):
            for statement in statements(captioned):
                literal = "".join(text for text, *_ in string.Formatter().parse(statement.template))
                bare = re.sub(r"<[^<>]+>", "", literal)
                assert not re.search(r"\d", bare), bare
                for name in re.findall(r"<([^<>]+)>", literal):
                    assert name in FORMULAE


def models():
    """The model that ships, one that has learned nothing, and one whose weights have changed places."""
    saved, rng = pretrained_vit(), np.random.default_rng(0)
    image = np.zeros((28, 28), np.float32)
    image[4:24, 13:16] = 1
    shuffled = {name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in saved.params.items()}
    params = {"trained": saved.params, "untrained": vit_params(ViTConfig(), rng), "shuffled": shuffled}
    return {name: record_attention(image, p, saved.config) for name, p in params.items()}


def test_a_trained_an_untrained_and_a_shuffled_model_are_told_apart():
    made = {name: {c.figure: c.caption for c in select_figures(given, "all")} for name, given in models().items()}
    for figure in made["trained"]:
        _, shown, reading, says, _ = zip(*(made[name][figure].paragraphs() for name in made), strict=True)
        assert len(set(reading)) == 1  # how to read it is the same
        assert len(set(says)) == 3  # what it says is not
        assert len({re.sub(r"[\d.%-]+", "", text) for text in shown}) == 1
    said = {name: {figure: c.text() for figure, c in captions.items()} for name, captions in made.items()}
    values = {name: {n: v for s in statements_of(made[name]) for n, v in s.values.items()} for name in made}
    assert "No head is nearly uniform" in said["trained"]["maps"]
    assert "it looks at ink" in said["trained"]["rollout"]
    for name in ("untrained", "shuffled"):
        assert "are nearly uniform" in said[name]["maps"]
        assert "it does not single ink out" in said[name]["rollout"]
        assert values[name]["ink_heads"] <= 4 < 10 <= values["trained"]["ink_heads"]
        assert values[name]["alike_pairs"] > 10 * values["trained"]["alike_pairs"]
        assert values[name]["neighbours"] <= 6 < 9 <= values["trained"]["neighbours"]
        assert values[name]["probability"] < 0.9 < values["trained"]["probability"]
    assert "Every head is the same for all who ask" in said["shuffled"]["matrices"]


def statements_of(captions):
    return [s for caption in captions.values() for part in caption.parts.values() for s in part]


def test_rules_at_their_thresholds(rng):
    n = 17
    even, sharp = np.full((3, 2, n, n), 1 / n), np.full((3, 2, n, n), 1e-4)
    sharp[..., 6] = 1
    sharp /= sharp.sum(-1, keepdims=True)
    widening = np.concatenate([sharp[:1], even[:2]])
    texts = {name: maps_caption(drawn(rng, weights=w)).text() for name, w in (("even", even), ("sharp", sharp))}
    assert "Every head is nearly uniform" in texts["even"]
    assert "No head is nearly uniform" in texts["sharp"]
    assert "attention widens" in maps_caption(drawn(rng, weights=widening)).text()
    assert "attention narrows" in maps_caption(drawn(rng, weights=widening[::-1])).text()
    assert "stays about the same" in texts["even"]
    mixed = even.copy()
    mixed[1, 0] = sharp[1, 0]
    assert "Of 6 heads, 5 are nearly uniform" in maps_caption(drawn(rng, weights=mixed)).text()
    itself = np.broadcast_to(np.eye(n) * 0.9 + 0.1 / n, (3, 2, n, n))
    assert "Every head is local" in maps_caption(drawn(rng, weights=itself)).text()
    assert "No head is local" in texts["even"]


def test_heads_are_named():
    assert head_names(np.zeros((2, 2), bool)) == ""
    assert head_names(np.array([[1, 1, 1], [0, 0, 1]], bool)) == "layer 0: heads 0, 1 and 2; layer 1: head 2"


def test_right_wrong_and_unknown_are_told_apart(rng):
    given = drawn(rng)
    predicted = int(given.probabilities.argmax())
    for label, words in (
        (predicted, "which is right"),
        ((predicted + 1) % 10, "which is wrong: the label is"),
        (-1, ""),
    ):
        text = maps_caption(
            AttentionRecord(given.image, given.boxes, given.weights, given.probabilities, label, 16)
        ).text()
        assert words in text
        assert ("which is" in text.split("next comes")[0].split("reads a")[1]) == bool(words)
    nothing = maps_caption(AttentionRecord(given.image, given.boxes, given.weights, np.zeros(0))).text()
    assert "reads a" not in nothing
    assert "digit" not in nothing.split("\n")[0]


def test_nothing_is_said_of_ink_where_there_is_none(rng):
    given = drawn(rng)
    for image in (np.zeros_like(given.image), rng.random((28, 28))):
        for captioned in select_figures(
            AttentionRecord(image, given.boxes, given.weights, given.probabilities), "all", 1
        ):
            text = captioned.caption.text()
            assert " ink" not in text
            assert "outline" not in text


def test_what_was_done_to_arrays_and_image_is_said(rng):
    plain, cut = drawn(rng), drawn(rng, "scrambled-7x7", rearranged=True, cut_off=0.125)
    for words in ("rearranged", "12.5% of the rows' weight"):
        assert words in maps_caption(cut).text()
        assert words not in maps_caption(plain).text()
    assert "where tokens overlap their mean is" in maps_caption(drawn(rng, "8x8/4")).text()
    assert "overlap" not in maps_caption(plain).text()
    assert "there is no class token" in maps_caption(drawn(rng, classed=False)).text()


@pytest.mark.parametrize(
    ("out", "into", "shapley", "words"),
    [
        (0.99, 0.99, 0.7, "better than chance both ways (at least 95% of the random orders beaten), and follows"),
        (0.99, 0.99, 0.2, "both ways (at least 95% of the random orders beaten), but does not follow"),
        (0.99, 0.6, 0.7, "when tokens are taken away, not shown to be when they are put in (at least 95%"),
        (
            0.6,
            0.99,
            0.2,
            "not follow the Shapley values (at least 0.5): it explains the answer in part at most",
        ),
        (0.6, 0.6, 0.7, "either way (at least 95% of the random orders beaten), but follows the Shapley values"),
        (0.6, 0.6, 0.2, "and does not follow the Shapley values (at least 0.5): it must not be read as"),
        (0.99, 0.99, 0.7, "it may be read as an outline of what the answer rests on."),
    ],
)
def test_the_verdict_is_the_scores(rng, out, into, shapley, words):
    score = replace(
        TESTED, fraction_of_random_beaten_deletion=out, fraction_of_random_beaten_insertion=into, shapley=shapley
    )
    assert words in CaptionedFigure(drawn(rng, tested=score), "maps").caption.text()
    given = drawn(rng, tested=score)
    assert "Nothing was tested" in CaptionedFigure(given, "rollout").caption.text()  # another map was
    assert words in CaptionedFigure(replace(given, ranking=last_rollout_map(given)), "rollout").caption.text()


def test_the_ink_is_said_to_do_as_well_where_it_does(rng):
    for by_ink, said in (
        ({}, False),
        ({"ink_deletion": 0.2}, False),
        ({"ink_deletion": 0.2, "ink_insertion": 0.9}, True),
    ):
        text = maps_caption(drawn(rng, tested=replace(TESTED, **by_ink))).text()
        assert ("The ink alone, which needs no model" in text) == said


def test_a_single_head_is_not_compared_with_itself(rng):
    one = drawn(rng, shape=(1, 1))
    for figure, token in (("maps", 0), ("token", 3)):
        text = CaptionedFigure(one, figure, token).caption.text()
        assert "keeps from" not in text
    weight = one.weights[0, 0, 3]
    text = CaptionedFigure(one, "token", 3).caption.text()
    assert f"Token 3 keeps {weight[3]:.0%} of its attention on itself, where an even spread" in text
    assert f"On the class token it puts {weight[0]:.0%}. " in text


def test_without_a_model_nothing_was_tested(rng):
    assert "Nothing was tested" in maps_caption(drawn(rng)).text()
    assert "Nothing was tested" not in maps_caption(drawn(rng, tested=TESTED)).text()
    for figure in ("matrices", "depth"):
        assert "ranks none" in CaptionedFigure(drawn(rng, tested=TESTED), figure).caption.text()


@pytest.mark.parametrize("how", [{"tested": replace(TESTED, shapley_error=0.01)}, {"classed": False, "cut_off": 0.5}])
def test_latex_has_nothing_that_latex_would_stumble_over(rng, how):
    for captioned in select_figures(drawn(rng, **how), "all", 2):
        tex = captioned.caption.latex(captioned.name)
        assert tex.count("{") - tex.count("\\{") == tex.count("}") - tex.count("\\}")
        body = tex.split("\n", 1)[1]  # the first line is a comment
        words = re.sub(r"\$[^$]+\$", "", body)
        assert "$" not in words
        assert not re.search(r"(?<!\\)[%&#_^~]", words)
        assert body.isascii()
        for command in ("includegraphics", "caption[", "label", "end{figure*}"):
            assert f"\\{command}" in body


def test_the_text_in_place_of_a_picture_is_short_and_plain(rng):
    for captioned in select_figures(drawn(rng), "all", 2):
        alt = captioned.caption.alt()
        assert 60 < len(alt) < 500
        assert "\n" not in alt
        assert "$" not in alt


def test_the_documented_thresholds_are_the_rules():
    page = (Path(__file__).parents[2] / "docs/captions.md").read_text(encoding="utf-8")
    for name, rule in THRESHOLDS.items():
        assert f"| `{name}` | {rule.threshold:g} | {rule.decides} |" in page, name


def test_where_the_answer_falls_below_half(rng):
    given = drawn(rng, "14x14", tested=TESTED)
    falling = np.broadcast_to([0.8, 0.5, 0.3, 0.2, 0.1], (2, 5, 5))
    for curves, words in (
        (falling, "below half of what it was with 2 of 4 tokens taken away, where random orders need 2"),
        (np.concatenate([falling[:, :2], falling[:, :3] * 0 + 0.9], axis=1), "with 2 of 4 tokens taken away."),
        (falling * 0 + 0.9, ""),
    ):
        text = CaptionedFigure(replace(given, curves=curves), "deletion").caption.text()
        assert words in text
        assert ("below half" in text) == bool(words)
