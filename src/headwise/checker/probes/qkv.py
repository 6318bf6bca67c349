"""Probes for attention: queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.probes.generator import Generator, to_float32
from headwise.checker.probes.kinds import Probe
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np


class Projected(Generator):
    """Queries, keys and values."""

    @property
    def width_of_head(self) -> int:
        """The number of features of queries, keys and values."""
        return 2 * self.sizes.width + 2 * (not self.interface.grid)

    def base(self, times: float = 1.0) -> Case:
        """Ordinary arguments, `times` as large as usual."""
        return self.with_earlier(2 * self.interface.cached, times)

    def with_earlier(self, count: int, times: float = 1.0) -> Case:
        """Ordinary arguments, with so many more keys than queries."""
        n, width = self.sizes.tokens, self.width_of_head
        return self.arrays(times, self.heads, n, n + count, width, width)

    def with_wide_values(self) -> Case:
        """A case whose values have more features than there are tokens."""
        width = 8 if self.interface.grid else 6
        return self.arrays(1.0, self.heads, 3, 3, width, width)

    def wide(self) -> Case:
        """A case whose sizes differ wherever they may."""
        s = self.sizes
        counts = (s.tokens, s.keys)
        few, many = sorted(counts) if self.interface.cached else counts
        return self.arrays(1.0, self.heads, few, many, s.model, s.values)

    def more_wide(self) -> Iterator[Probe]:
        """Others like that, with options of their own."""
        if self.interface.multi_head and not self.interface.packed:
            yield Probe("groups", self.arrays(1.0, self.heads, 3, 3, 6, 6, heads=2 * self.heads))
        if "cos" in self.takes:
            yield Probe("rotary", self.with_wide_values() | self.angles(3, 6, False))

    def apart(self) -> Iterator[Probe]:
        """Queries that are not as many as keys."""
        yield Probe("wide", self.wide())
        yield from self.aligned()

    def many_keys(self, count: int) -> Iterator[Probe]:
        """One query and so many keys."""
        if self.interface.packed != "qkv" and "segments" not in self.takes:
            width = self.width_of_head
            for values in (width, 3 * width + 1):
                yield Probe("wide", self.arrays(1.0, self.heads, 1, count, width, values, batch=1))

    def uncached(self) -> Iterator[Case]:
        """A case without earlier tokens."""
        yield self.with_earlier(0)

    def grouped(self, key_heads: int) -> Iterator[Probe]:
        """Three query heads for each of so many key heads, where it takes them."""
        if self.interface.multi_head and not self.interface.packed and not self.interface.heads:
            yield Probe("groups", self.arrays(1.0, key_heads, 4, 4, 6, 6, heads=3 * key_heads))

    def arrays(self, times: float, groups: int, n: int, m: int, d: int, e: int, heads: int = 0, batch: int = 0) -> Case:
        """Queries (B, H, n, d), keys and values of so many groups, and angles where they have to be given."""
        batch, heads = batch or (self.sizes.batch if self.interface.batch else 1), heads or self.heads
        groups = self.interface.key_heads or groups
        n = 1 if self.interface.one_token else n
        case: Case = {
            "q": times * self.normal(batch, heads, n, d),
            "k": times * self.normal(batch, groups, m, d),
            "v": self.normal(batch, groups, m, e),
        }
        return case | (self.angles(n, d, False) if "cos" in self.interface.needs else {})

    def all(self) -> Iterator[Probe]:
        """Every probe of a round, in the order in which mistakes are looked for."""
        s, case = self.sizes, self.base()
        d = case["q"].shape[-1]
        rotary = "cos" in self.interface.needs
        yield from self.uniform("q", "k")
        yield Probe("plain", case)
        yield Probe("plain", self.base())
        yield Probe("sharp", self.base(2.0))
        if not rotary:
            yield Probe("wide", self.wide())
        if self.interface.multi_head and not self.interface.packed:
            yield Probe("groups", self.arrays(1.0, s.heads, s.tokens, s.tokens, d, d, heads=2 * s.heads))
        if "cos" in self.takes:
            yield Probe("rotary", case | self.angles(s.tokens, d, False))
            if "interleaved" in self.takes:
                yield Probe("rotary", case | self.angles(s.tokens, d, True))
        yield from self.about_logits(case)
        if "mask" in self.takes and not rotary:
            cross = self.arrays(1.0, self.heads, s.tokens, s.keys, s.model, s.values)
            yield Probe("mask", cross | {"mask": self.pairs_or_keys(len(cross["q"]), s.tokens, s.keys)})
        yield from self.aligned()
        yield from self.edges(case)
        yield Probe("large-logits", self.large(self.base()))
        yield Probe("float32", to_float32(case))

    def one_item(self, tokens: int) -> Case:
        """One item of so many tokens."""
        width = self.width_of_head
        return self.arrays(1.0, self.heads, tokens, tokens, width, width, batch=1)

    def aligned(self) -> Iterator[Probe]:
        """Causal and windowed attention with other numbers of queries than of keys, with each alignment there is."""
        if "cos" in self.interface.needs:
            return
        few, many = sorted((self.sizes.tokens, self.sizes.keys))
        case = self.arrays(1.0, self.heads, few, many, self.sizes.model, self.sizes.values)
        long = self.arrays(1.0, self.heads, many, few, self.sizes.model, self.sizes.values)
        limits: list[Case] = [{"causal": True}] if "causal" in self.takes else []
        limits += [{"window": (1, 1)}] if "window" in self.takes and self.interface.window == (2, 1) else []
        if "offset" in self.takes and "causal" in self.takes | self.interface.implicit.keys():
            yield Probe("aligned", case | {"causal": True, "align": "end", "offset": many - few})
        elif "align" not in self.takes:
            limits = limits or [{}] * ("causal" in self.interface.implicit)
            for limit in limits:
                yield Probe("aligned", case | limit)
                if not self.interface.cached:
                    yield Probe("aligned", long | limit)
            return
        if "align" not in self.takes:
            return
        for limit in limits:
            yield Probe("aligned", case | limit | {"align": "start"})
            yield Probe("aligned", case | limit | {"align": "end"})
            if "lengths" in self.takes:
                lengths = np.arange(many - 1, many - 1 - case["q"].shape[0], -1)
                yield Probe("aligned", case | limit | {"align": "end", "lengths": lengths})
        if limits:
            yield Probe("empty-rows", long | limits[0] | {"align": "end"})

    def large(self, case: Case) -> Case:
        """Logits that are all large, and differ by little: their softmax is ordinary."""
        direction = self.normal(case["q"].shape[-1])
        direction *= direction.size**0.5 / (direction @ direction) ** 0.5
        return case | {x: 40 * direction + 0.05 * case[x] for x in "qk"}
