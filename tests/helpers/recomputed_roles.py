"""The roles of the heads of a record, computed again by loops."""

import numpy as np
from scipy.stats import poisson

NAMES = ["self", "offset", "local", "first", "outlier", "sink", "uniform"]  # the narrower, the earlier


class RecomputedRoles:
    """Main roles and sinks from weights (L, H, T, T) of a class token (or none) and boxes (N, 4)."""

    def __init__(self, w, boxes, first):
        self.w, self.first = w, first
        self.layers, self.heads, self.t, _ = w.shape
        rows, columns = sorted(set(boxes[:, 0])), sorted(set(boxes[:, 1]))
        self.grid = len(rows) * len(columns) == len(boxes) and min(len(rows), len(columns)) > 1
        if self.grid:
            cells = [(rows.index(y), columns.index(x)) for y, x, *_ in boxes]
            self.cell = {first + n: cell for n, cell in enumerate(cells)}
        else:
            self.cell = {n: (n,) for n in range(self.t)}
        self.seen = [{n: set(range(self.t)) for n in range(self.t)}] * self.layers  # by layer
        self.candidates = {"sink": range(self.t), "outlier": range(max(first, 1), self.t)}
        self.decide(w, NAMES if self.grid else ["previous", "next", *NAMES])

    def decide(self, w, names):
        """Which heads have which of these roles, the narrower earlier, and the main ones."""
        results = {name: self.measure(name) for name in names}
        tests = self.layers * self.heads * (len(names) - 1)
        self.has = {name: np.zeros(w.shape[:2], bool) for name in names}
        for name in names[:-1]:
            for head in np.ndindex(*w.shape[:2]):
                score, chance, p, _ = results[name][head]
                least = 0.4 if name == "alignment" else 0.25
                self.has[name][head] = score >= min(max(least, 4 * chance), 0.9) and p * tests <= 0.05
        tested = np.any([self.has[name] for name in names[:-1]], axis=0)
        for head in np.ndindex(*w.shape[:2]):
            self.has["uniform"][head] = results["uniform"][head][0] >= 0.9 and not tested[head]
        self.tested, self.results, self.names = tested, results, names
        self.main = {name: np.zeros(w.shape[:2], bool) for name in names}
        for head in np.ndindex(*w.shape[:2]):
            excess = {
                name: max((results[name][head][0] - c) / (1 - c), 1e-9)
                for name in names
                if self.has[name][head]
                for c in [min(results[name][head][1], 0.999)]
            }
            near = [name for name in excess if excess[name] >= 0.8 * max(excess.values())]
            if near:
                self.main[near[0]][head] = True

    def measure(self, name):
        if name == "offset":
            return self.best_offset()
        if name in self.candidates:
            return self.sink(self.candidates[name])
        if name == "uniform":
            return {head: (self.evenness(head), 1, 1, None) for head in np.ndindex(*self.w.shape[:2])}
        return {head: self.score(head, self.targets(name)) for head in np.ndindex(*self.w.shape[:2])}

    def evenness(self, head):
        seen = self.seen[head[0]]
        return np.mean([self.effective(self.w[head][n]) / len(keys) for n, keys in seen.items() if len(keys) > 1])

    @staticmethod
    def effective(row):
        return 2 ** -sum(x * np.log2(x) for x in row if x > 0)

    def targets(self, name):
        """Query -> set of keys."""
        if name == "first":
            return {n: {0} for n in range(1, self.t)}
        if name == "self":
            return {n: {n} for n in self.cell}
        step = {"previous": (-1,), "next": (1,)}.get(name)
        if step:
            return self.at_offset(step)
        reach = 1 if self.grid else 2
        return {
            n: {
                m
                for m in self.cell
                if max(abs(a - b) for a, b in zip(self.cell[n], self.cell[m], strict=True)) <= reach
            }
            for n in self.cell
        }

    def distance(self, n, m):
        return max(abs(a - b) for a, b in zip(self.cell[n], self.cell[m], strict=True))

    def at_offset(self, step):
        index = {cell: key for key, cell in self.cell.items()}
        moved = {n: tuple(a + b for a, b in zip(cell, step, strict=True)) for n, cell in self.cell.items()}
        return {n: {index[cell]} for n, cell in moved.items() if cell in index}

    def score(self, head, targets):
        return self.score_of(self.w[head], targets, self.seen[head[0]])

    def score_of(self, matrix, targets, seen):
        targets = {n: keys & seen[n] for n, keys in targets.items()}
        targets = {n: keys for n, keys in targets.items() if 0 < len(keys) < len(seen[n])}
        if not targets:
            return 0, 0, 1, None
        weight = np.mean([sum(matrix[n, m] for m in keys) for n, keys in targets.items()])
        chance = np.mean([len(keys) / len(seen[n]) for n, keys in targets.items()])
        variance, bound, excess = 0, -1, 0
        for n, keys in targets.items():
            k, v, row = len(keys), len(seen[n]), matrix[n]
            expected = k * row.sum() / v
            variance += np.var([row[m] for m in seen[n]]) * k * (v - k) / (v - 1)
            bound = max(bound, min(k * row.max(), row.sum()) - expected)
            excess += sum(row[m] for m in keys) - expected
        return weight, chance, self.tail(excess, variance, bound), None

    @staticmethod
    def tail(excess, variance, bound):
        t = max(excess, 0)
        if bound <= 0 or t <= 1e-9 * bound or variance <= 1e-12 * t**2:
            return 1
        u = bound * t / variance
        return np.exp(-variance / bound**2 * ((1 + u) * np.log(1 + u) - u))

    def best_offset(self):
        cells = np.array(list(self.cell.values()))
        reach = min(3 if self.grid else 16, int(np.ptp(cells, axis=0).max()))
        steps = np.ndindex(*[2 * reach + 1] * cells.shape[1])
        steps = [tuple(a - reach for a in step) for step in steps]
        steps = [step for step in steps if max(map(abs, step)) > (0 if self.grid else 1)]
        targets = {step: self.at_offset(step) for step in steps}
        least = max(0.5 * len(self.cell), 0.5 * self.t)
        result = {}
        for head in np.ndindex(*self.w.shape[:2]):
            scores = {
                step: self.score(head, keys)
                for step, keys in targets.items()
                if sum(bool(m & self.seen[head[0]][n]) for n, m in keys.items()) >= least
            }
            if not scores:
                result[head] = (0, 0, 1, None)
                continue
            best = max(scores, key=lambda step: scores[step][0])
            chance = np.mean([s[1] for s in scores.values()])
            result[head] = (scores[best][0], chance, min(1, len(scores) * scores[best][2]), best)
        return result

    def sink(self, keys):
        result = {}
        for head in np.ndindex(*self.w.shape[:2]):
            seen = self.seen[head[0]]
            askers = {key: [n for n in range(self.t) if n != key and key in seen[n]] for key in keys}
            askers = {key: queries for key, queries in askers.items() if len(queries) >= max(2, 0.5 * self.t)}
            if not askers:
                result[head] = (0, 0, 1, 0)
                continue
            chance = np.mean([np.mean([1 / len(seen[n]) for n in queries]) for queries in askers.values()])
            received = {key: np.mean([self.w[head][n, key] for n in queries]) for key, queries in askers.items()}
            best = max(received, key=received.get)
            _, _, p, _ = self.score(head, {n: {best} for n in askers[best]})
            result[head] = (received[best], chance, min(1, len(askers) * p), best)
        return result


class RecomputedTokenRoles(RecomputedRoles):
    """Of a text or a series: weights (L, H, T, T), the keys seen (L, T, T), words, parts of the input."""

    def __init__(self, w, visible, prefix, words, segments, probe):
        self.w, self.t, self.grid, self.probe = w, w.shape[2], False, probe
        self.layers, self.heads = w.shape[:2]
        self.cell = {n: (n,) for n in range(self.t)}
        self.seen = [{n: {m for m in range(self.t) if layer[n, m]} for n in range(self.t)} for layer in visible]
        self.words, self.segments = [word.strip().casefold() for word in words], segments
        self.delimiters = {n for n, word in enumerate(self.words) if word in (".", ",") or (prefix[n] and n > 0)}
        self.tokens = [n for n in range(self.t) if not prefix[n]]
        ordinary = [n for n in self.tokens if n > 0 and n not in self.delimiters]
        self.candidates = {"sink": range(self.t), "outlier": ordinary}
        has = {
            "induction": probe.size > 0, "alignment": segments.size > 0, "delimiter": bool(self.delimiters),
            "same": bool(words) and len({self.words[n] for n in self.tokens}) < len(self.tokens),
        }  # fmt: skip
        order = ["induction", "alignment", "previous", "next", "same", "self", "offset", "local", "delimiter", "first",
                 "outlier", "sink", "uniform"]  # fmt: skip
        self.decide(w, [name for name in order if has.get(name, True)])

    def measure(self, name):
        if name == "induction":
            return {head: self.induction(self.probe[head]) for head in np.ndindex(*self.w.shape[:2])}
        if name == "alignment":
            return {head: self.alignment(self.w[head]) for head in np.ndindex(*self.w.shape[:2])}
        return super().measure(name)

    def targets(self, name):
        if name == "delimiter":
            return {n: self.delimiters - {n} for n in self.cell}
        if name == "same":
            return {n: {m for m in self.tokens if m != n and self.words[m] == self.words[n]} for n in self.tokens}
        return super().targets(name)

    def induction(self, matrix):
        half = len(matrix) // 2
        seen = {n: set(range(n + 1)) for n in range(2 * half)}
        return self.score_of(matrix, {n: {n - half + 1} for n in range(half, 2 * half)}, seen)

    def alignment(self, matrix):
        first, second = ([n for n in self.tokens if self.segments[n] == part] for part in (0, 1))
        partner = {n: max(second, key=lambda m: matrix[n, m]) for n in first}
        back = {n: max(first, key=lambda m: matrix[n, m]) for n in second}
        pairs = sum(back[m] == n for n, m in partner.items())
        shorter = min(len(first), len(second))
        return pairs / shorter, 1 / shorter, poisson.sf(pairs - 1, 1), None
