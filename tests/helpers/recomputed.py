"""The facts of captions, computed again by loops and by SciPy, as an oracle for the tests."""

from itertools import combinations, pairwise

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr

from headwise.attribution import MAPS
from helpers.recomputed_roles import RecomputedRoles

ROLE_ORDER = ["induction", "alignment", "previous", "next", "same", "self", "offset", "local", "delimiter", "first",
              "outlier", "sink", "uniform"]  # fmt: skip
THRESHOLDS = {  # the documented values, written once more
    "role": 0.25, "role_ratio": 4.0, "depth_ratio": 1.1,
    "ink_level": 0.5, "near_uniform": 0.9, "ink_ratio": 1.25, "local": 0.7, "agreement": 0.7, "query_dependence": 0.25,
    "map_agreement": 0.5, "position_correlation": 0.3, "beats_random": 0.95, "shapley_correlation": 0.5,
}  # fmt: skip


class Recomputed:
    """The facts of one figure, from the arrays in its file."""

    def __init__(self, saved, kind):
        self.image, self.boxes = saved["image"], saved["boxes"]
        self.w = saved["weights"].astype(float)
        self.layers, self.heads, self.t, _ = self.w.shape
        self.n = len(self.boxes)
        self.first = self.t - self.n
        self.centers = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        self.ink = (self.image > 0.5) & ((self.image < 0.1).sum() * 2 >= self.image.size)
        self.token_ink = np.array([self.ink[y : y + h, x : x + w].sum() / (h * w) for y, x, h, w in self.boxes])
        self.facts = self.base(saved)
        self.head_roles()
        getattr(self, kind)(saved)

    def base(self, saved):
        probabilities = saved["probabilities"]
        order = np.argsort(-probabilities)
        return THRESHOLDS | {
            "height": 28, "width": 28, "box_height": self.boxes[0, 2], "box_width": self.boxes[0, 3],
            "tokens": self.n, "rows": self.t, "layers": self.layers, "heads": self.heads,
            "all_heads": self.layers * self.heads, "head_width": int(saved["head_width"]), "uniform": 1 / self.t,
            "ink_area": self.token_ink.mean(), "uniform_share": 1 / self.n, "last_layer": self.layers - 1,
            "predicted": order[0], "probability": probabilities[order[0]], "second": order[1],
            "second_probability": probabilities[order[1]], "label": int(saved["label"]),
            "atypical_share": float(saved["typicality"]),
            "dropped_weight": float(saved["dropped_weight"]), "token": 5, "input": "image", "unit": "pixels",
            "keys": self.t, "prefix": self.first, "panels": self.layers * self.heads, "scale_quantile": 0.99,
            "pooled": 1, "even_self": 1 / self.t,
        }  # fmt: skip

    def head_roles(self):
        roles = RecomputedRoles(self.w, self.boxes, self.first)
        self.selected("roled", roles.tested)
        for name in roles.names:
            self.selected(f"role_{name}", roles.main[name])
        sinks = roles.has["sink"]
        if sinks.any():
            keys = [roles.results["sink"][head][3] for head in zip(*np.nonzero(sinks), strict=True)]
            key = max(sorted(set(keys)), key=keys.count)
            self.selected("sink", sinks)
            weights = [r[0] for head, r in roles.results["sink"].items() if sinks[head] and r[3] == key]
            name = "the class token" if key < self.first else f"token {key + 1 - self.first}"
            self.facts |= {"sink_token": name, "sink_weight": np.mean(weights)}

    def roles(self, saved):
        """They are measured for every figure."""

    def extreme(self, name, values, *, least=False):
        at = np.unravel_index(values.argmin() if least else values.argmax(), values.shape)
        self.facts |= {name: values[at], f"{name}_layer": at[0], f"{name}_head": at[1]}
        return at

    def ends(self, name, values):
        means = np.array([layer.mean() for layer in values])
        self.facts |= {
            f"{name}_first": means[0], f"{name}_last": means[-1], f"{name}_low": means.min(),
            f"{name}_high": means.max(), f"{name}_low_layer": means.argmin(), f"{name}_high_layer": means.argmax(),
        }  # fmt: skip

    def selected(self, name, values):
        lines = []
        for layer in range(self.layers):
            heads = [str(h) for h in range(self.heads) if values[layer, h]]
            text = " and ".join([*([", ".join(heads[:-1])] if heads[1:] else []), *heads[-1:]])
            lines += [f"layer {layer}: head{'s' if heads[1:] else ''} {text}"] if heads else []
        names = "; ".join(lines) if values.sum() > 1 else "".join(lines).replace(": ", ", ")
        if values.sum() > 12:
            names = self.main_layers([sum(row) for row in values])
        self.facts |= {f"{name}_heads": values.sum(), f"{name}_names": names}

    def main_layers(self, counts):
        """The shortest run of layers with three quarters of the heads."""
        lengths = range(1, self.layers + 1)
        runs = [(start, start + length) for length in lengths for start in range(self.layers - length + 1)]
        start, stop = next((a, b) for a, b in runs if 4 * sum(counts[a:b]) >= 3 * sum(counts))
        if stop - start == self.layers and min(counts) > 0:
            return "in every layer"
        amount = "all" if sum(counts[start:stop]) == sum(counts) else "mostly"
        return f"{amount} in " + (f"layer {start}" if stop - start == 1 else f"layers {start}–{stop - 1}")

    def per_head(self, function):
        return np.array([[function(layer, head) for head in range(self.heads)] for layer in range(self.layers)])

    def distances(self):
        between = np.array([[np.hypot(*(a - b)) for b in self.centers] for a in self.centers])
        p = self.w[:, :, self.first :, self.first :]
        p = p / p.sum(axis=-1, keepdims=True)
        distance = self.per_head(lambda layer, head: (p[layer, head] * between).sum(axis=1).mean())
        self.facts["uniform_distance"] = between.mean()
        self.selected("local", distance <= THRESHOLDS["local"] * between.mean())
        if self.first:
            self.ends("class_weight", self.w[:, :, 1:, 0].mean(axis=2))
            self.facts["class_weight"] = self.w[:, :, 1:, 0].mean()
        return distance

    def row(self, maps):
        p = maps / maps.sum(axis=-1, keepdims=True)
        effective = 2 ** scipy_entropy(p, base=2, axis=-1)
        narrow = self.extreme("min_effective", effective, least=True)
        self.extreme("max_effective", effective)
        self.ends("effective", effective)
        self.facts |= {
            "scale_max": maps.max(), "peak_token": p[narrow].argmax() + 1, "peak_share": p[narrow].max()
        }  # fmt: skip
        self.selected("uniform", effective >= THRESHOLDS["near_uniform"] * self.visible_tokens())
        on_ink = (p * self.token_ink).sum(axis=-1)
        self.extreme("max_ink", on_ink)
        self.selected("ink", on_ink >= THRESHOLDS["ink_ratio"] * self.token_ink.mean())
        self.selected("background", on_ink <= self.token_ink.mean() / THRESHOLDS["ink_ratio"])
        heads = list(np.ndindex(self.layers, self.heads))
        agreement = {(a, b): 1 - jensenshannon(p[a], p[b], base=2) for a, b in combinations(heads, 2)}
        if agreement:
            a, b = max(agreement, key=agreement.get)
            self.facts |= {
                "pairs": len(agreement), "max_agreement": agreement[a, b],
                "agreeing_pairs": sum(value >= THRESHOLDS["agreement"] for value in agreement.values()),
                "pair_first_layer": a[0], "pair_first_head": a[1],
                "pair_second_layer": b[0], "pair_second_head": b[1],
            }  # fmt: skip

    def visible_tokens(self):
        return self.n

    def maps(self, saved):
        self.row(self.w[:, :, 0, 1:] if self.first else self.w.mean(axis=2))
        self.ends("distance", self.distances())
        itself = self.w[:, :, 0, 0]
        self.extreme("min_self", itself, least=True)
        self.extreme("max_self", itself)
        self.ends("self", itself)
        self.score(saved)

    def token(self, saved):
        at = 5 if self.first else 4
        maps = self.w[:, :, at, self.first :]
        self.row(maps)
        from_token = np.hypot(*(self.centers - self.centers[4]).T)
        distance = (maps / maps.sum(axis=-1, keepdims=True) * from_token).sum(axis=-1)
        self.facts["uniform_distance"] = from_token.mean()
        self.ends("distance", distance)
        self.selected("local", distance <= THRESHOLDS["local"] * from_token.mean())
        self.extreme("min_self", self.w[:, :, at, at], least=True)
        self.extreme("max_self", self.w[:, :, at, at])
        self.extreme("max_class", self.w[:, :, at, 0])
        self.facts["class_weight"] = self.w[:, :, at, 0].mean()

    def matrices(self, saved):
        self.distances()
        h = scipy_entropy(self.w, base=2, axis=-1)
        information = scipy_entropy(self.w.mean(axis=2), base=2, axis=-1) - h.mean(axis=2)
        self.extreme("max_information", information)
        self.selected("query_independent", information <= THRESHOLDS["query_dependence"])
        self.selected("uniform", (2**h).mean(axis=2) >= THRESHOLDS["near_uniform"] * self.t)
        tokens = range(self.first, self.t)
        self.extreme("max_self", self.per_head(lambda l, h: np.mean([self.w[l, h, i, i] for i in tokens])))
        self.facts["scale_max"] = self.w.max()

    def rollout(self, saved):
        rows, product = [], np.eye(self.t)
        for layer in range(self.layers):
            product = (np.eye(self.t) / 2 + self.w[layer].mean(axis=0) / 2) @ product
            rows.append(product[0] if self.first else product.mean(axis=0))
        maps = np.array(rows)[:, self.first :]
        p = maps / maps.sum(axis=-1, keepdims=True)
        self.ends("effective", 2 ** scipy_entropy(p, base=2, axis=-1))
        self.facts |= {
            "scale_max": maps.max(), "top_token": maps[-1].argmax() + 1, "top_share": p[-1].max(),
            "rollout_ink": p[-1] @ self.token_ink, "class_weight": rows[-1][0],
        }  # fmt: skip
        self.score(saved)

    def depth(self, saved):
        h = scipy_entropy(self.w, base=2, axis=-1).mean(axis=2)
        for name, values in (("distance", self.distances()), ("entropy", h)):
            self.extreme(f"min_{name}", values, least=True)
            self.extreme(f"max_{name}", values)
            self.ends(name, values)
        self.facts["uniform_entropy"] = np.log2(self.t)

    def positions(self, saved):
        e = saved["positions"].astype(float)
        cosine = {
            (a, b): e[a] @ e[b] / np.linalg.norm(e[a]) / np.linalg.norm(e[b]) for a, b in combinations(range(self.n), 2)
        }
        between = {(a, b): round(np.hypot(*(self.centers[a] - self.centers[b])), 6) for a, b in cosine}
        least, most = min(between.values()), max(between.values())
        best = max(cosine, key=cosine.get)
        matches, expected = 0, 0
        for a in range(self.n):
            others = {b: tuple(sorted((a, b))) for b in range(self.n) if b != a}
            nearest = {b for b in others if between[others[b]] == min(between[pair] for pair in others.values())}
            matches += max(others, key=lambda b: cosine[others[b]]) in nearest
            expected += len(nearest) / (self.n - 1)
        self.facts |= {
            "embedding_dim": e.shape[1], "pairs": len(cosine), "min_cosine": min(cosine.values()),
            "max_cosine": cosine[best], "most_similar_first": best[0] + 1, "most_similar_second": best[1] + 1,
            "nearest_distance": least, "farthest_distance": most,
            "nearest_cosine": np.mean([cosine[pair] for pair in cosine if between[pair] == least]),
            "farthest_cosine": np.mean([cosine[pair] for pair in cosine if between[pair] == most]),
            "nearest_matches": matches, "expected_matches": expected,
            "rank_correlation": spearmanr(list(between.values()), list(cosine.values())).statistic,
        }  # fmt: skip

    def deletion(self, saved):
        curves = saved["curves"]
        self.facts |= {"band": 0.95, "all_tokens": curves[0, 0, 0], "no_tokens": curves[0, 0, -1]}
        for i, name in enumerate(("map", "ink", "random")):
            for test, curve in (("deletion", curves[0, i]), ("insertion", curves[1, i])):
                self.facts[f"{name}_{test}_auc"] = sum((a + b) / 2 / self.n for a, b in pairwise(curve))
            half = curves[0, i, 0] / 2
            self.facts[f"{name}_half"] = next((k for k, v in enumerate(curves[0, i]) if v < half), self.n + 1)
        self.score(saved)

    def dependence(self, saved):
        name, prefix = str(saved["dependence_map"]), "dependence_"
        attention, values = saved[prefix + "attention"], saved[prefix + "values"]
        players, tops = saved[prefix + "players"].tolist(), []
        for m in (attention, values):
            members = [n + 1 for n, p in enumerate(players) if p == m.argmax()]
            tops.append(
                f"token {members[0]}" if len(members) == 1 else f"the block that begins with token {members[0]}"
            )
        entry = MAPS[name]
        self.facts |= {
            "map": name, "description": entry.description, "source": entry.source, "passes": entry.passes,
            "audited": int(saved[prefix + "audited"]), "confidence": float(saved[prefix + "confidence"]),
            "audit_data": str(saved[prefix + "data"]), "players": len(values),
            "agreement_of_maps": spearmanr(attention, values).statistic,
            "attention_top": tops[0], "attention_max": max(attention), "map_top": tops[1],
            "map_max": max(abs(values)), "negative": sum(v < 0 for v in values),
        }  # fmt: skip
        self.score(saved)

    def score(self, saved):
        if "faithfulness_deletion" not in saved:
            return
        t = {name.removeprefix("faithfulness_"): saved[name] for name in saved.files if "faithfulness_" in name}
        names = ("deletion", "ink_deletion", "insertion", "ink_insertion", "orders", "shapley", "ink_shapley")
        self.facts |= {name: float(t[name]) for name in (*names, "shapley_error")}
        self.facts |= {
            "band": 0.95, "beaten_deletion": float(t["fraction_of_random_beaten_deletion"]),
            "beaten_insertion": float(t["fraction_of_random_beaten_insertion"]),
            "random_insertion": float(t["random_insertion"][0]),
        }  # fmt: skip
        bounds = ("random_deletion", "random_deletion_low", "random_deletion_high")
        self.facts |= dict(zip(bounds, t["random_deletion"], strict=True))
