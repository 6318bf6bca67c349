"""Probes for self-attention and multi-head attention: tokens and matrices."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.numpy_guard import np
from headwise.checker.probes.generator import Generator, to_float32
from headwise.checker.probes.kinds import Interface, Probe, ProbeShape
from headwise.checker.state import Case

__all__ = ["Tokens"]


class Tokens(Generator):
    """Tokens and matrices."""

    def __init__(self, face: Interface, sizes: ProbeShape, rng: np.random.Generator) -> None:
        super().__init__(face, sizes, rng)
        self.heads = sizes.heads if face.kind == "multi_head" else 1

    def base(self, times: float = 1.0) -> Case:
        """Ordinary arguments, `times` as large as usual."""
        s = self.sizes
        width = s.heads * s.width if self.face.kind == "multi_head" else s.width * 3 + 1
        return self.matrices(times, s.tokens, width, width, width, width)

    def with_wide_values(self) -> Case:
        """A case whose values have more features than there are tokens."""
        n, width = (4, 5 * self.heads) if self.heads > 1 else (10, 11)
        return self.matrices(1.0, n, width, width, width, width)

    def more_wide(self) -> Iterator[Probe]:
        """Others like that, with options of their own."""
        yield from self.biased(self.with_wide_values())

    def biased(self, case: Case) -> Iterator[Probe]:
        """The case with every bias that the function takes."""
        biases = {f"b{x}": self.normal(case["Wq"].shape[0]) for x in "qkvo" if f"b{x}" in self.takes}
        if biases:
            yield Probe("biased", case | biases)

    def matrices(
        self, times: float, n: int, model: int, keys: int, values: int, out: int, batch: int | None = None
    ) -> Case:
        """Tokens (B, n, model) and the matrices that take them to queries, values and the output."""
        batch = batch or (self.sizes.batch if self.lead else 1)
        W = {
            x: self.normal(rows, model) * model**-0.5 * 1.2 for x, rows in zip("qkv", (keys, keys, values), strict=True)
        }
        case: Case = {"X": times * self.normal(batch, n, model)} | {f"W{x}": w for x, w in W.items()}
        if self.face.kind == "multi_head":
            case["heads"] = self.heads
            if "Wo" in self.takes:
                case["Wo"] = self.normal(out, values) * values**-0.5
        return case

    def all(self) -> Iterator[Probe]:
        """Every probe of a round, in the order in which mistakes are looked for."""
        s, case = self.sizes, self.base()
        yield Probe("plain", case)
        yield Probe("plain", self.base())
        yield Probe("sharp", self.base(4.0))
        if self.face.batched:
            width = case["X"].shape[-1]
            yield Probe("batch", self.matrices(1.0, s.tokens, width, width, width, width, s.batch))
        yield from self.biased(case)
        if "Wo" in self.takes - self.face.needs:
            yield Probe("no-output", {k: v for k, v in case.items() if k != "Wo"})
        if "tokens" in self.takes:
            yield Probe("columns", case | {"tokens": "columns"})
        yield from self.about_logits(case)
        yield from self.edges(case)
        yield Probe("large-logits", self.large(self.base()))
        yield Probe("float32", to_float32(self.base()))
        yield Probe("wide", self.matrices(1.0, s.tokens, s.model, self.heads * s.width, self.heads * s.values, s.keys))

    def large(self, case: Case) -> Case:
        """Logits that are all large, and differ by little: their softmax is ordinary."""
        case["Wk"] = case["Wq"] + 0.3 * case["Wk"]
        direction = self.normal(case["X"].shape[-1])
        direction *= direction.size**0.5 / (direction @ direction) ** 0.5
        return case | {"X": 40 * direction + 0.05 * case["X"]}
