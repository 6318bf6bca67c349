"""The roles of the heads of an image's record, computed again by loops."""

import numpy as np

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
        names = NAMES if self.grid else ["previous", "next", *NAMES]
        results = {name: self.measure(name) for name in names}
        tests = self.layers * self.heads * (len(names) - 1)
        self.has = {name: np.zeros(w.shape[:2], bool) for name in names}
        for name in names[:-1]:
            for head in np.ndindex(*w.shape[:2]):
                score, chance, p, _ = results[name][head]
                self.has[name][head] = score >= min(max(0.25, 4 * chance), 0.9) and p * tests <= 0.05
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
        if name == "sink":
            return self.sink(range(self.t))
        if name == "outlier":
            return self.sink(range(max(self.first, 1), self.t))
        if name == "uniform":
            return {
                (layer, head): (np.mean([self.effective(row) / self.t for row in self.w[layer, head]]), 1, 1, None)
                for layer, head in np.ndindex(*self.w.shape[:2])
            }
        return {head: self.score(head, self.targets(name)) for head in np.ndindex(*self.w.shape[:2])}

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
        matrix = self.w[head]
        targets = {n: keys for n, keys in targets.items() if 0 < len(keys) < self.t}
        if not targets:
            return 0, 0, 1, None
        weight = np.mean([sum(matrix[n, m] for m in keys) for n, keys in targets.items()])
        chance = np.mean([len(keys) / self.t for keys in targets.values()])
        variance, bound, excess = 0, -1, 0
        for n, keys in targets.items():
            k, row = len(keys), matrix[n]
            expected = k * row.sum() / self.t
            variance += row.var() * k * (self.t - k) / (self.t - 1)
            bound = max(bound, min(k * row.max(), row.sum()) - expected)
            excess += sum(row[m] for m in keys) - expected
        return weight, chance, self.tail(excess, variance, bound), None

    @staticmethod
    def tail(excess, variance, bound):
        t = max(excess, 0)
        return np.exp(-(t**2) / 2 / (variance + bound * t / 3)) if t else 1

    def best_offset(self):
        cells = np.array(list(self.cell.values()))
        reach = min(3 if self.grid else 16, int(np.ptp(cells, axis=0).max()))
        steps = np.ndindex(*[2 * reach + 1] * cells.shape[1])
        steps = [tuple(a - reach for a in step) for step in steps]
        steps = [step for step in steps if max(map(abs, step)) > (0 if self.grid else 1)]
        targets = {step: self.at_offset(step) for step in steps}
        least = max(0.5 * len(self.cell), 0.5 * self.t)
        targets = {step: keys for step, keys in targets.items() if len(keys) >= least}
        result = {}
        for head in np.ndindex(*self.w.shape[:2]):
            scores = {step: self.score(head, keys) for step, keys in targets.items()}
            if not scores:
                result[head] = (0, 0, 1, None)
                continue
            best = max(scores, key=lambda step: scores[step][0])
            chance = np.mean([s[1] for s in scores.values()])
            result[head] = (scores[best][0], chance, min(1, len(scores) * scores[best][2]), best)
        return result

    def sink(self, keys):
        result = {}
        if self.t - 1 < max(2, 0.5 * self.t) or not len(keys):
            return {head: (0, 0, 1, 0) for head in np.ndindex(*self.w.shape[:2])}
        for head in np.ndindex(*self.w.shape[:2]):
            received = {key: np.mean([self.w[head][n, key] for n in range(self.t) if n != key]) for key in keys}
            best = max(received, key=received.get)
            _, _, p, _ = self.score(head, {n: {best} for n in range(self.t) if n != best})
            result[head] = (received[best], 1 / self.t, min(1, len(keys) * p), best)
        return result
