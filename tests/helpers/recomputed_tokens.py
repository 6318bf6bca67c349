"""The facts of the captions of texts and series, computed again from the arrays of their files."""

import numpy as np
from scipy.stats import entropy as scipy_entropy

from helpers.recomputed import THRESHOLDS, Recomputed
from helpers.recomputed_roles import RecomputedTokenRoles


class RecomputedTokens(Recomputed):
    """The facts of one figure of a text or a series."""

    def __init__(self, saved, kind, shown=None):
        self.w = saved["weights"].astype(float)
        self.layers, self.heads, self.t, _ = self.w.shape
        self.shown = shown or list(np.ndindex(self.layers, self.heads))  # layer and head of each panel
        self.boxes, self.input = saved["boxes"], str(saved["kind"])
        self.n = len(self.boxes)
        self.prefix = saved["prefix"] if saved["prefix"].size else np.zeros(self.t, bool)
        visible = saved["visible"] if saved["visible"].size else np.ones((self.t, self.t), bool)
        self.visible = visible if visible.ndim == 3 else np.array([visible] * self.layers)
        self.words = [str(word) for word in saved["words"]]
        self.content = [n for n in range(self.t) if not self.prefix[n]]
        self.counts = np.array([[sum(row) for row in layer] for layer in self.visible])
        self.causal = not any(
            layer[n, m] for layer in self.visible for n in range(self.t) for m in range(n + 1, self.t)
        )
        self.reader = self.t - 1 if self.causal else 0 if self.prefix[0] else None
        self.first = int(self.reader == 0)  # a class token
        self.token_ink = np.zeros(self.n)
        self.facts = self.base(saved)
        self.token_roles(saved)
        if self.reader is None:
            self.even("uniform", [np.mean([1 / count for count in layer]) for layer in self.counts])
        else:
            self.even("uniform", [1 / layer[self.reader] for layer in self.counts])
        self.even("even_self", [np.mean([1 / layer[n] for n in self.content]) for layer in self.counts])
        getattr(self, kind)(saved)

    def row(self, maps):
        super().row(maps)
        if self.words:
            self.facts["peak_word"] = self.words[self.content[self.facts["peak_token"] - 1]].strip()

    def even(self, name, values):
        self.facts |= {name: np.mean(values), f"{name}_low": min(values), f"{name}_high": max(values)}

    def base(self, saved):
        probabilities, names = saved["probabilities"], saved["top_names"].tolist()
        order = np.argsort(-probabilities)
        return THRESHOLDS | {
            "tokens": self.n, "rows": self.t, "keys": self.t, "prefix": self.t - self.n, "layers": self.layers,
            "heads": self.heads, "all_heads": self.layers * self.heads, "panels": len(self.shown),
            "head_width": int(saved["head_width"]), "last_layer": self.layers - 1, "uniform_share": 1 / self.n,
            "pooled": 1, "scale_quantile": 0.99,
            "predicted": names[0] if names else order[0], "probability": probabilities[order[0]],
            "second": names[1] if names else order[1], "second_probability": probabilities[order[1]],
            "label": int(saved["label"]), "input": self.input, "unit": "steps" if self.input == "series" else "tokens",
            "characters": len(str(saved["text"]).strip()), "read_characters": max(self.boxes[:, 1]),
        }  # fmt: skip

    def token_roles(self, saved):
        words = self.words if self.input == "text" else []
        roles = RecomputedTokenRoles(self.w, self.visible, self.prefix, words, saved["segments"], saved["probe"])
        self.selected("roled", roles.tested)
        for name in roles.names:
            self.selected(f"role_{name}", roles.main[name])
        heads = [head for head in np.ndindex(self.layers, self.heads) if roles.has["sink"][head]]
        if not heads:
            return
        keys = [roles.results["sink"][head][3] for head in heads]
        key = max(sorted(set(keys)), key=keys.count)
        self.selected("sink", roles.has["sink"])
        chosen = [head for head, k in zip(heads, keys, strict=True) if k == key]
        name = f"“{self.words[key].strip()}”" if self.words else f"token {key + 1}"
        self.facts |= {
            "sink_token": name, "sink_weight": np.mean([roles.results["sink"][head][0] for head in chosen])
        }  # fmt: skip
        if saved["value_norms"].size:
            norms = [saved["value_norms"][head].astype(float) for head in chosen]
            self.facts["sink_norm"] = np.mean([norm[key] / np.median(norm) for norm in norms])

    def distances(self):
        places = self.boxes.mean(axis=1) if self.input == "series" else range(self.n)
        between = np.array([[abs(a - b) for b in places] for a in places])
        seen = [layer[np.ix_(self.content, self.content)] for layer in self.visible]
        p = self.w[:, :, self.content][..., self.content]
        p = p / p.sum(axis=-1, keepdims=True)
        distance = self.per_head(lambda layer, head: (p[layer, head] * between).sum(axis=1).mean())
        even = [np.mean([between[n][layer[n]].mean() for n in range(self.n)]) for layer in seen]
        self.even("uniform_distance", even)
        on_prefix = self.w[:, :, self.content][..., self.prefix].sum(axis=-1).mean(axis=-1)
        self.ends("class_weight", on_prefix)
        self.facts |= {"class_weight": on_prefix.mean()}
        self.selected("local", distance <= THRESHOLDS["local"] * np.array(even)[:, None])
        return distance

    def visible_tokens(self):
        queries = range(self.t) if self.reader is None else [self.reader]
        return np.array([[sum(any(layer[n, m] for n in queries) for m in self.content)] for layer in self.visible])

    def maps(self, saved):
        rows = self.w.mean(axis=2) if self.reader is None else self.w[:, :, self.reader]
        self.row(rows[..., self.content])
        self.facts["scale_max"] = max(rows[head][self.content].max() for head in self.shown)
        self.facts |= {"window": self.n, "window_start": 1, "window_stop": self.n}
        self.ends("distance", self.distances())
        for name, least in (("min_self", True), ("max_self", False)):
            self.extreme(name, self.w[:, :, 0, 0], least=least)
        self.ends("self", self.w[:, :, 0, 0])
        self.score(saved)

    def matrices(self, saved):
        self.distances()
        h = scipy_entropy(self.w, base=2, axis=-1)
        information = scipy_entropy(self.w.mean(axis=2), base=2, axis=-1) - h.mean(axis=2)
        self.extreme("max_information", information)
        self.selected("query_independent", information <= THRESHOLDS["query_dependence"])
        self.selected("uniform", (2**h / self.counts[:, None]).mean(axis=2) >= THRESHOLDS["near_uniform"])
        self.extreme("max_self", self.per_head(lambda l, h: np.mean([self.w[l, h, n, n] for n in self.content])))
        self.facts["scale_max"] = max(self.w[head].max() for head in self.shown)

    def lines(self, saved):
        drawn = np.array([self.w[head] for head in self.shown])
        lines = drawn[drawn >= 0.05]
        self.facts |= {"least_line": 0.05, "lines": len(lines), "line_share": lines.sum() / drawn.sum()}

    def rollout(self, saved):
        rows, product, reached = [], np.eye(self.t), {n: {n} for n in range(self.t)}
        for layer in self.w:
            product = (np.eye(self.t) / 2 + layer.mean(axis=0) / 2) @ product
            rows.append(product.mean(axis=0) if self.reader is None else product[self.reader])
        for layer in self.visible:
            seen = {n: np.flatnonzero(layer[n]).tolist() for n in reached}
            reached = {n: reached[n].union(*(reached[m] for m in seen[n])) for n in reached}
        queries = range(self.t) if self.reader is None else [self.reader]
        self.facts["uniform"] = np.mean([1 / len(reached[n]) for n in queries])
        maps = np.array(rows)[:, self.content]
        p = maps / maps.sum(axis=-1, keepdims=True)
        self.ends("effective", 2 ** scipy_entropy(p, base=2, axis=-1))
        self.facts |= {
            "scale_max": maps.max(), "top_token": maps[-1].argmax() + 1, "top_share": p[-1].max(),
            "top_word": self.words[self.content[maps[-1].argmax()]].strip() if self.words else "",
            "class_weight": rows[-1][0], "panels": self.layers,
        }  # fmt: skip

    def depth(self, saved):
        super().depth(saved)
        self.even("uniform_entropy", [np.mean([np.log2(count) for count in layer]) for layer in self.counts])

    def dependence(self, saved):
        super().dependence(saved)
        if self.input == "text":
            text, players = str(saved["text"]), saved["dependence_players"]
            for name, array in (("attention_top", "attention"), ("map_top", "values")):
                spans = self.boxes[players == saved[f"dependence_{array}"].argmax()]
                self.facts[name] = f"“{text[spans[0, 0] : spans[-1, 1]].strip()}”"
