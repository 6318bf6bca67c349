"""Probes for self-attention and multi-head attention: tokens and matrices."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.probes.generator import Generator, block_diagonal, to_float32
from headwise.checker.probes.kinds import Probe
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np

_UNPROJECTED = 0.6  # how large tokens are whose own norms are logits


class Tokens(Generator):
    """Tokens and matrices."""

    def base(self, times: float = 1.0) -> Case:
        """Ordinary arguments, `times` as large as usual."""
        s = self.sizes
        width = self.heads * s.width if self.interface.multi_head else s.width * 3 + 1 + self.interface.even
        return self.matrices(times, s.tokens, width, width, width, width)

    def with_wide_values(self) -> Case:
        """A case whose values have twice as many features as there are tokens."""
        n, width = (4, (9 + self.interface.even) * self.heads) if self.heads > 1 else (8, 17 + self.interface.even)
        return self.matrices(1.0, n, width, width, width, width)

    def wide(self) -> Case:
        """A case whose sizes differ wherever they may."""
        s = self.sizes
        values = s.width if self.interface.fused else s.values
        return self.matrices(1.0, s.tokens, s.model, self.heads * s.width, self.heads * values, s.keys)

    def more_wide(self) -> Iterator[Probe]:
        """Others like that, with options of their own."""
        yield from self.biased(self.with_wide_values())

    def biased(self, case: Case) -> Iterator[Probe]:
        """The case with every bias that the function takes."""
        shared = self.interface.sizes is not None and self.interface.sizes.shared
        given = [x for x in "qkvo" if f"b{x}" in self.takes and f"W{x}" in case]
        biases = {f"b{x}": self.normal(case[f"W{x}"].shape[0]) for x in given}
        for name in biases.keys() - {"bo"} if shared else ():
            biases[name] = np.tile(biases[name][: len(biases[name]) // self.heads], self.heads)
        if biases:
            yield Probe("biased", case | biases)

    def matrices(self, times: float, n: int, model: int, keys: int, values: int, out: int, batch: int = 0) -> Case:
        """Tokens (B, n, model) and the matrices that take them to queries, values and the output."""
        batch = batch or (self.sizes.batch if self.interface.batch else 1)
        fixed = self.interface.sizes
        queries, context, groups = keys, model, self.interface.key_heads or self.heads
        keys, values, m = keys * groups // self.heads, values * groups // self.heads, n
        if fixed is not None:
            m = fixed.tokens or (self.sizes.keys if fixed.queries else n)
            n, model, context, out = fixed.queries or fixed.tokens or n, fixed.model, fixed.context, fixed.output
            queries, groups = fixed.heads * fixed.width, fixed.key_heads
            keys, values = groups * fixed.width, groups * fixed.values
        if self.interface.unprojected and fixed is not None:
            queries, keys, values, out = model, context, context, context
        elif self.interface.unprojected:
            model = out = keys = queries = values = context = model if self.heads == 1 else queries
        if self.interface.unprojected:
            times *= _UNPROJECTED
        case: Case = {"X": times * self.normal(batch, n, model)}
        for x, rows, columns in (("q", queries, model), ("k", keys, context), ("v", values, context)):
            case[f"W{x}"] = self.normal(rows, columns) * columns**-0.5 * 1.2
            if fixed is not None and fixed.sliced:
                case[f"W{x}"] = block_diagonal(case[f"W{x}"], self.heads, fixed.shared)
            if self.interface.unprojected:
                case[f"W{x}"] = np.eye(rows)
        if self.interface.multi_head:
            case["heads"] = self.heads
        if groups != self.heads:
            case["key_heads"] = groups
        if "Wo" in self.takes:
            heads_values = values * self.heads // groups
            case["Wo"] = self.normal(out, heads_values) * heads_values**-0.5
        if "context" in self.interface.needs:
            case["context"] = times * self.normal(batch, m, context)
        if "cos" in self.interface.needs:
            case |= self.angles(n, self.width(case), False)
        return self.finished_case(case)

    def finished_case(self, case: Case) -> Case:
        """The case with one query where there is only one: of the last token, if the others are cached."""
        if self.interface.cached:
            return case | {"X": case["context"][:, -1:]}
        if self.interface.pooled:
            return case | {"X": np.repeat(case["X"][:1, :1], len(case["X"]), axis=0)}
        return case | {"X": case["X"][:, :1]} if self.interface.one_query else case

    def all(self) -> Iterator[Probe]:
        """Every probe of a round, in the order in which mistakes are looked for."""
        case = self.base()
        square = self.interface.sizes is None
        yield from self.uniform("Wq", "Wk")
        yield Probe("plain", case)
        yield Probe("plain", self.base())
        yield Probe("sharp", self.base(4.0))
        yield from (Probe("batch", items) for items in self.several_items())
        yield from self.biased(case)
        if square and "Wo" in self.takes - self.interface.needs:
            yield Probe("no-output", {k: v for k, v in case.items() if k != "Wo"})
        if "tokens" in self.takes:
            yield Probe("columns", case | {"tokens": "columns"})
        yield from self.with_context(case)
        if "cos" in self.takes - self.interface.needs:
            yield Probe("rotary", case | self.angles(case["X"].shape[1], self.width(case), False))
        yield from self.about_logits(case)
        yield from self.edges(case)
        yield Probe("large-logits", self.large(self.base()))
        yield Probe("float32", to_float32(self.base()))
        if square:
            yield Probe("wide", self.wide())

    def several_items(self) -> Iterator[Case]:
        """A batch, for a function that is else called without one."""
        if self.interface.batched:
            width = self.base()["X"].shape[-1]
            yield self.matrices(1.0, self.sizes.tokens, width, width, width, width, self.sizes.batch)

    def one_item(self, tokens: int) -> Case:
        """One item of so many tokens."""
        width = self.base()["X"].shape[-1]
        return self.matrices(1.0, tokens, width, width, width, width, batch=1)

    def apart(self) -> Iterator[Probe]:
        """Queries that are not as many as keys."""
        yield from self.with_context(self.base())

    def with_context(self, case: Case) -> Iterator[Probe]:
        """The case with keys and values made from other tokens, more of them, and with the masks that go with them."""
        if "context" not in self.takes or (self.interface.sizes and self.interface.sizes.tokens):
            return
        if self.interface.cached:
            width = case["X"].shape[-1]
            yield Probe("context", self.matrices(1.0, self.sizes.keys + 2, width, width, width, width))
            return
        b, n, _ = case["X"].shape
        m = self.sizes.keys + 4 * (self.sizes.keys == len(case["Wv"]))  # else weights have the shape of the output
        for count in (n, m, m):
            yield Probe("context", case | {"context": self.normal(b, count, case["Wk"].shape[1])})
        if "values" in self.takes:
            yield Probe("values", case | {x: self.normal(b, m, case["Wk"].shape[1]) for x in ("context", "values")})
        for name in ["mask"] * self.interface.key_mask + ["padding"] * ("padding" in self.takes):
            context = self.normal(b, m, case["Wk"].shape[1])
            yield Probe("context", case | {"context": context, name: self.keys(b, m)})

    def large(self, case: Case) -> Case:
        """Logits that are all large, and differ by little: their softmax is ordinary."""
        if case["Wq"].shape == case["Wk"].shape and not self.interface.unprojected:
            case["Wk"] = case["Wq"] + 0.3 * case["Wk"]
        direction = self.normal(case["X"].shape[-1])
        direction *= direction.size**0.5 / (direction @ direction) ** 0.5
        case |= {"X": 40 * direction + 0.05 * case["X"]}
        if "context" in case:
            case["context"] = 40 * self.normal(case["context"].shape[-1]) + 0.05 * case["context"]
        return self.finished_case(case)
