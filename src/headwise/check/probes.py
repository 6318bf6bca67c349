"""The inputs that a function is tried on: awkward sizes, several magnitudes, and the corners where mistakes live.

Sizes are different primes wherever a shape allows it, so that a wrong axis cannot pass; where a mistake needs square
matrices to run at all, there are square ones too. Every probe is made twice, in other sizes and with other numbers:
once to choose an explanation, once to hold it to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headwise.check.pinned import np
from headwise.check.reference import Case
from headwise.shapes import Array, BoolArray

__all__ = ["PROBES", "Face", "Probe", "Sizes", "probes", "revealing"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One input: the kind of probe that it is, and the arguments."""

    name: str
    case: Case


@dataclass(frozen=True, slots=True)
class Face:
    """What a function can be asked.

    Attributes
    ----------
    kind : {"self_attention", "multi_head", "attention"}
        Which arguments there are.
    takes : frozenset of str
        The arguments that it has, optional ones too.
    needs : frozenset of str
        Those without which it cannot be called.
    lead : int
        How many axes in front it is called with: 0 or 1 for tokens (batch), 0 to 2 for q, k and v (heads, then batch).
    batched : bool
        Whether it takes tokens with a batch axis as well as without.
    key_mask : bool
        Whether its mask is of keys alone, (B, M).
    dtype : {"float64", "float32"}
        The type of the arguments; float32 for a function that says that it works in that.
    causal : bool
        Whether it is causal without being asked, as its name says.
    """

    kind: str
    takes: frozenset[str]
    needs: frozenset[str]
    lead: int
    batched: bool = False
    key_mask: bool = False
    dtype: str = "float64"
    causal: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one round of probes."""

    batch: int
    heads: int
    tokens: int
    keys: int
    width: int  # of one head
    values: int
    model: int  # for matrices that are not square

    @classmethod
    def of_round(cls, number: int) -> Sizes:
        """Sizes that share no factor, other ones each round."""
        return (cls(2, 3, 5, 7, 2, 4, 11), cls(3, 2, 7, 5, 6, 3, 13))[number]


# what each kind of probe tries, in words; the order is the order in which mistakes are looked for
PROBES = {
    "plain": "ordinary tokens",
    "sharp": "tokens four times as large, so that the softmax is nearly a choice",
    "batch": "several items at once",
    "biased": "biases of the projections",
    "groups": "fewer key heads than query heads",
    "columns": "tokens as columns, asked for",
    "scale": "a scale that is asked for",
    "softcap": "a softcap",
    "bias": "a bias of the logits",
    "mask": "a mask of queries and keys",
    "mask-each": "another mask for each item and head",
    "mask-keys": "a mask of keys",
    "causal": "causal",
    "window": "a window",
    "lengths": "items of different lengths",
    "rotary": "rotary positions",
    "aligned": "causal, with fewer queries than keys and each alignment",
    "together": "everything at once",
    "empty-rows": "queries that may attend to nothing",
    "hidden-nan": "NaN behind the mask",
    "large-logits": "logits in the thousands",
    "float32": "float32 arguments",
    "wide": "sizes that differ where they may",
}


def probes(face: Face, round_number: int, rng: np.random.Generator) -> list[Probe]:
    """Return one round of probes for a function with this face."""
    maker = (_Projected if face.kind == "attention" else _Tokens)(face, Sizes.of_round(round_number), rng)
    return maker.finished(maker.all())


def revealing(face: Face, rng: np.random.Generator) -> list[Probe]:
    """Return probes with values so wide that the output determines the weights."""
    maker = (_Projected if face.kind == "attention" else _Tokens)(face, Sizes.of_round(0), rng)
    case = maker.with_wide_values()
    found = [Probe("plain", case), Probe("plain", maker.with_wide_values()), *maker.about_logits(case)]
    return maker.finished([*found, *maker.more_wide(), *maker.edges(case), Probe("large-logits", maker.large(case))])


def narrowed(case: Case) -> Case:
    """The case with its float64 arrays as float32."""
    return {k: v.astype(np.float32) if getattr(v, "dtype", None) == np.float64 else v for k, v in case.items()}


class _Maker:
    """What the probes of both sorts share: everything that concerns the logits."""

    def __init__(self, face: Face, sizes: Sizes, rng: np.random.Generator) -> None:
        self.face, self.takes, self.lead, self.sizes, self.rng = face, face.takes, face.lead, sizes, rng
        self.heads = sizes.heads

    def base(self, times: float = 1.0) -> Case:
        raise NotImplementedError

    def with_wide_values(self) -> Case:
        """A case whose values have more features than there are tokens."""
        raise NotImplementedError

    def more_wide(self) -> Iterator[Probe]:
        """Others like that."""
        return iter(())

    def large(self, case: Case) -> Case:
        """Logits that are all large, and differ by little: their softmax is ordinary."""
        raise NotImplementedError

    def all(self) -> Iterator[Probe]:
        raise NotImplementedError

    def finished(self, found: Iterable[Probe]) -> list[Probe]:
        """The probes with the arguments that have to be given, in the function's own type."""
        whole = [Probe(probe.name, self.neutral(probe.case) | probe.case) for probe in found]
        if self.face.causal:
            square = (p for p in whole if self.grid(p.case)[2] == self.grid(p.case)[3])  # others need an alignment
            whole = [Probe(p.name, p.case | {"causal": True}) for p in square]
        return [Probe(p.name, narrowed(p.case)) for p in whole] if self.face.dtype == "float32" else whole

    def neutral(self, case: Case) -> Case:
        """What changes nothing, for arguments that have to be given."""
        b, _, n, m = self.grid(case)
        values: Case = {
            "mask": np.ones((b, 1, 1, m) if self.face.key_mask else (1, 1, n, m), bool),
            "bias": np.zeros((1, 1, n, m)),
            "lengths": np.full(b, m),
            "causal": False,
            "window": None,
            "align": "start",
            "scale": self.width(case) ** -0.5,
            "softcap": None,
        }
        if "X" in case:
            values |= {f"b{x}": np.zeros(case[f"W{x}"].shape[0]) for x in "qkvo" if f"W{x}" in case}
        return {name: value for name, value in values.items() if name in self.face.needs}

    def normal(self, *shape: int) -> Array:
        return self.rng.normal(size=shape)

    def grid(self, case: Case) -> tuple[int, int, int, int]:
        """(B, H, N, M) of a case's logits."""
        if "X" in case:
            batch, n, _ = case["X"].shape
            return batch, self.heads, n, n
        return (*case["q"].shape[:3], case["k"].shape[2])

    def width(self, case: Case) -> int:
        """Of one head."""
        return int(case["Wq"].shape[0] // self.heads if "X" in case else case["q"].shape[-1])

    def mask(self, *shape: int) -> BoolArray:
        """A mask without an empty or a full row or column, and not symmetric."""
        while True:
            found = self.rng.random(shape) < 0.6
            rows, columns = found.mean(axis=-1), found.mean(axis=-2)
            mixed = ((rows > 0) & (rows < 1)).all() and ((columns > 0) & (columns < 1)).all()
            if mixed and (shape[-1] != shape[-2] or not (found == found.swapaxes(-1, -2)).all()):
                return found

    def pairs_or_keys(self, batch: int, n: int, m: int) -> BoolArray:
        """A mask as the function takes it: of pairs (1, 1, N, M), or of keys (B, 1, 1, M)."""
        if not self.face.key_mask:
            return self.mask(1, 1, n, m)
        found = np.ones((batch, 1, 1, m), bool)
        for item in found:
            item[..., self.rng.choice(m, 2, replace=False)] = False
        return found

    def about_logits(self, case: Case) -> Iterator[Probe]:
        """Scale, softcap, bias, masks and limits, each alone on this case, and all at once."""
        b, h, n, m = self.grid(case)
        short = self.rng.permutation(np.arange(m - b, m))  # as many different lengths as items
        options: dict[str, Case] = {
            "scale": {"scale": 0.37},
            "softcap": {"softcap": 1.3},
            "bias": {"bias": 2 * self.normal(1, 1, n, m)},
            "mask": {"mask": self.pairs_or_keys(b, n, m)},
            "causal": {"causal": True},
            "window": {"window": (2, 1)},
            "lengths": {"lengths": short},
        }
        taken = {name: option for name, option in options.items() if name in self.takes}
        for name, option in taken.items():
            yield Probe(name, case | option)
        if "scale" in taken:
            yield Probe("scale", case | {"scale": 1.0})
        if "mask" in taken and not self.face.key_mask and b * h > 1:
            yield Probe("mask-each", case | {"mask": self.mask(b, h, n, m)})
            yield Probe("mask-each", case | {"mask": self.mask(b, 1, n, m)})
        if "softcap" in taken:
            for other in ("bias", "mask"):
                if other in taken:
                    yield Probe("softcap", case | taken["softcap"] | taken[other])
        if len(taken) > 1:
            mask = self.pairs_or_keys(b, n, m)
            mask[..., 0] = True  # so that no query is left with nothing
            open_mask = {"mask": mask if self.face.key_mask else mask | np.eye(n, m, dtype=bool)}
            everything = {k: v for option in taken.values() for k, v in option.items()}
            yield Probe("together", case | everything | (open_mask if "mask" in taken else {}))

    def edges(self, case: Case) -> Iterator[Probe]:
        """Queries that may attend to nothing, and NaN where nobody looks."""
        b, _, n, m = self.grid(case)
        if "mask" in self.takes:
            empty = self.pairs_or_keys(b, n, m)
            empty[0, 0, 0 if self.face.key_mask else 1] = False
            yield Probe("empty-rows", case | {"mask": empty})
            hidden = self.pairs_or_keys(b, n, m)
            hidden[..., 2] = False
            hidden[..., 0] = True
            for where in ("k", "v"):
                yield from self.poisoned(case | {"mask": hidden}, where, (slice(None), slice(None), 2))
        if "lengths" in self.takes:
            last = np.arange(m - b, m)
            for where in ("k", "v"):
                yield from self.poisoned(case | {"lengths": last}, where, (slice(None), slice(None), m - 1))

    def poisoned(self, case: Case, where: str, at: tuple[slice | int, ...]) -> Iterator[Probe]:
        """The case with NaN in one column of hidden keys or values."""
        if where in case:
            array = case[where].copy()
            array[(*at, 0)] = np.nan
            yield Probe("hidden-nan", case | {where: array})


class _Tokens(_Maker):
    """Tokens and matrices."""

    def __init__(self, face: Face, sizes: Sizes, rng: np.random.Generator) -> None:
        super().__init__(face, sizes, rng)
        self.heads = sizes.heads if face.kind == "multi_head" else 1

    def base(self, times: float = 1.0) -> Case:
        s = self.sizes
        width = s.heads * s.width if self.face.kind == "multi_head" else s.width * 3 + 1
        return self.matrices(times, s.tokens, width, width, width, width)

    def with_wide_values(self) -> Case:
        n, width = (4, 5 * self.heads) if self.heads > 1 else (10, 11)
        return self.matrices(1.0, n, width, width, width, width)

    def more_wide(self) -> Iterator[Probe]:
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
        s, case = self.sizes, self.base()
        yield Probe("plain", case)
        yield Probe("plain", self.base())
        yield Probe("sharp", self.base(4.0))
        if self.face.batched:
            width = case["X"].shape[-1]
            yield Probe("batch", self.matrices(1.0, s.tokens, width, width, width, width, s.batch))
        yield from self.biased(case)
        if "Wo" in self.takes - self.face.needs:
            yield Probe("plain", {k: v for k, v in case.items() if k != "Wo"})
        if "tokens" in self.takes:
            yield Probe("columns", case | {"tokens": "columns"})
        yield from self.about_logits(case)
        yield from self.edges(case)
        yield Probe("large-logits", self.large(self.base()))
        yield Probe("float32", narrowed(self.base()))
        yield Probe("wide", self.matrices(1.0, s.tokens, s.model, self.heads * s.width, self.heads * s.values, s.keys))

    def large(self, case: Case) -> Case:
        case["Wk"] = case["Wq"] + 0.3 * case["Wk"]
        direction = self.normal(case["X"].shape[-1])
        direction *= direction.size**0.5 / (direction @ direction) ** 0.5
        return case | {"X": 40 * direction + 0.05 * case["X"]}


class _Projected(_Maker):
    """Queries, keys and values."""

    def __init__(self, face: Face, sizes: Sizes, rng: np.random.Generator) -> None:
        super().__init__(face, sizes, rng)
        self.heads = sizes.heads if face.lead else 1

    def base(self, times: float = 1.0) -> Case:
        s = self.sizes
        width = 2 * s.width + 2
        return self.arrays(times, self.heads, s.tokens, s.tokens, width, width)

    def with_wide_values(self) -> Case:
        return self.arrays(1.0, self.heads, 3, 3, 6, 6)

    def more_wide(self) -> Iterator[Probe]:
        if self.lead:
            yield Probe("groups", self.arrays(1.0, self.heads, 3, 3, 6, 6, heads=2 * self.heads))
        if "cos" in self.takes:
            yield Probe("rotary", self.with_wide_values() | self.angles(3, 6, False))

    def arrays(self, times: float, groups: int, n: int, m: int, d: int, e: int, heads: int | None = None) -> Case:
        batch, heads = self.sizes.batch if self.lead == 2 else 1, heads or self.heads
        case: Case = {
            "q": times * self.normal(batch, heads, n, d),
            "k": times * self.normal(batch, groups, m, d),
            "v": self.normal(batch, groups, m, e),
        }
        return case | (self.angles(n, d, False) if "cos" in self.face.needs else {})

    def angles(self, n: int, d: int, interleaved: bool) -> Case:
        turns = 3 * self.normal(n, d // 2)
        asked = {"interleaved": interleaved} if "interleaved" in self.takes else {}
        return {"cos": np.cos(turns), "sin": np.sin(turns)} | asked

    def all(self) -> Iterator[Probe]:
        s, case = self.sizes, self.base()
        d = case["q"].shape[-1]
        rotary = "cos" in self.face.needs
        yield Probe("plain", case)
        yield Probe("plain", self.base())
        yield Probe("sharp", self.base(2.0))
        if not rotary:
            yield Probe("wide", self.arrays(1.0, self.heads, s.tokens, s.keys, s.model, s.values))
        if self.lead:
            yield Probe("groups", self.arrays(1.0, s.heads, s.tokens, s.tokens, d, d, heads=2 * s.heads))
        if "cos" in self.takes:
            yield Probe("rotary", case | self.angles(s.tokens, d, False))
            if "interleaved" in self.takes:
                yield Probe("rotary", case | self.angles(s.tokens, d, True))
        yield from self.about_logits(case)
        if "mask" in self.takes and not rotary:
            cross = self.arrays(1.0, self.heads, s.tokens, s.keys, s.model, s.values)
            yield Probe("mask", cross | {"mask": self.mask(1, 1, s.tokens, s.keys)})
        yield from self.aligned()
        yield from self.edges(case)
        yield Probe("large-logits", self.large(self.base()))
        yield Probe("float32", narrowed(case))

    def aligned(self) -> Iterator[Probe]:
        """Causal and windowed attention of few queries over more keys, or the other way, with each alignment."""
        if "align" not in self.takes or "cos" in self.face.needs:
            return
        few, many = sorted((self.sizes.tokens, self.sizes.keys))
        case = self.arrays(1.0, self.heads, few, many, self.sizes.model, self.sizes.values)
        limits: list[Case] = [{name: on} for name, on in (("causal", True), ("window", (1, 1))) if name in self.takes]
        for limit in limits:
            yield Probe("aligned", case | limit | {"align": "start"})
            yield Probe("aligned", case | limit | {"align": "end"})
            if "lengths" in self.takes:
                lengths = np.arange(many - 1, many - 1 - case["q"].shape[0], -1)
                yield Probe("aligned", case | limit | {"align": "end", "lengths": lengths})
        if limits:
            long = self.arrays(1.0, self.heads, many, few, self.sizes.model, self.sizes.values)
            yield Probe("empty-rows", long | limits[0] | {"align": "end"})

    def large(self, case: Case) -> Case:
        direction = self.normal(case["q"].shape[-1])
        direction *= direction.size**0.5 / (direction @ direction) ** 0.5
        return case | {x: 40 * direction + 0.05 * case[x] for x in "qk"}
