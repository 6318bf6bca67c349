"""What the probes of tokens, and of queries, keys and values, have in common: all that concerns the logits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from headwise.checker.probes.kinds import Interface, Probe, ProbeShape
from headwise.checker.reference.state import Case, grid
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

_TRIES = 200
MANY_TOKENS = 131  # tokens: more than a block of a function that works in blocks usually has


def to_float32(case: Case) -> Case:
    """The case with its float64 arrays as float32."""
    return {k: v.astype(np.float32) if getattr(v, "dtype", None) == np.float64 else v for k, v in case.items()}


def block_diagonal(matrix: Array, heads: int, equal: bool) -> Array:
    """A matrix of which each head keeps its slice of the columns, in blocks of its own or equal ones, times √H."""
    rows, columns = (side // heads for side in matrix.shape)
    blocks = matrix.reshape(heads, rows, heads, columns)
    diagonal = np.zeros_like(blocks)
    for h in range(heads):
        place = 0 if equal else h
        diagonal[h, :, h] = blocks[place, :, place] * heads**0.5
    return diagonal.reshape(matrix.shape)


class Generator(ABC):
    """What the probes of both sorts share: everything that concerns the logits."""

    def __init__(self, interface: Interface, sizes: ProbeShape, rng: np.random.Generator) -> None:
        self.interface, self.takes, self.sizes, self.rng = interface, interface.takes, sizes, rng
        self.heads = (interface.heads or sizes.heads) if interface.multi_head else 1

    @abstractmethod
    def base(self, times: float = 1.0) -> Case:
        """Ordinary arguments, `times` as large as usual."""

    @abstractmethod
    def with_wide_values(self) -> Case:
        """A case whose values have more features than there are tokens."""

    @abstractmethod
    def wide(self) -> Case:
        """A case whose sizes differ wherever they may."""

    def more_wide(self) -> Iterator[Probe]:
        """Others like that."""
        return iter(())

    @abstractmethod
    def apart(self) -> Iterator[Probe]:
        """Queries that are not as many as keys."""

    def many_keys(self, count: int) -> Iterator[Probe]:
        """One query and so many keys, where they are apart."""
        return iter(())

    def several_items(self) -> Iterator[Case]:
        """A batch, for a function that is else called without one."""
        return iter(())

    def biased(self, case: Case) -> Iterator[Probe]:
        """The case with every bias that the function takes."""
        return iter(())

    def uncached(self) -> Iterator[Case]:
        """A case without earlier tokens, where these may be apart."""
        return iter(())

    def grouped(self, key_heads: int) -> Iterator[Probe]:
        """Three query heads for each of so many key heads, where it takes them."""
        return iter(())

    @abstractmethod
    def one_item(self, tokens: int) -> Case:
        """One item of so many tokens."""

    def of_other_counts(self, last_round: bool) -> Iterator[Probe]:
        """One item, with a single token and with many, which are tried once."""
        interface = self.interface
        if interface.sizes is not None or interface.cached:
            return
        of_batch: Case = {"alone": True} if interface.batch else {}  # a batch all the same
        if interface.batch:
            yield Probe("single", self.one_item(self.sizes.tokens) | of_batch)
        if not {"mask", "padding"} & interface.needs:  # which would hide the token
            yield Probe("single", self.one_item(1) | of_batch)
        if last_round:
            yield Probe("long", self.one_item(MANY_TOKENS) | of_batch)

    @abstractmethod
    def large(self, case: Case) -> Case:
        """Logits that are all large, and differ by little: their softmax is ordinary."""

    @abstractmethod
    def all(self) -> Iterator[Probe]:
        """Every probe of a round, in the order in which mistakes are looked for."""

    def finished(self, probes: Iterable[Probe]) -> list[Probe]:
        """The probes with the arguments that have to be given, in the function's own type."""
        cases = ((probe.name, self.neutral(probe.case) | probe.case) for probe in probes)
        full = [Probe(name, case | self._implicit(case)) for name, case in cases]
        narrow = self.interface.dtype == "float32"
        return [Probe(p.name, to_float32(p.case)) if narrow or p.name == "float32" else p for p in full]

    def _implicit(self, case: Case) -> Case:
        """The options that apply to a case although there is no argument for them."""
        replaced = {"causal", "window"} if self.interface.mask_replaces_limits and "mask" in case else set()
        return {name: value for name, value in self.interface.implicit.items() if name not in replaced}

    def neutral(self, case: Case) -> Case:
        """What changes nothing, for arguments that have to be given."""
        b, h, n, m = grid(case)
        last_hidden = np.arange(m) < max(1, m - 1)  # a mask that has to be given is used to hide something
        values: Case = {
            "mask": np.ones((b, 1, 1, m) if self.interface.key_mask else (1, 1, n, m), bool) & last_hidden,
            "padding": np.ones((b, 1, 1, m), bool) & last_hidden,
            "bias": np.zeros((1, h if self.interface.bias_table or self.interface.bias_of_heads else 1, n, m)),
            "lengths": np.full(b, m),
            "segments": np.ones((b, n), int),
            "prefix": np.full(b, 2),
            "logscale": self.slopes(h),
            "causal": False,
            "window": tuple(s and m for s in self.interface.window),
            "offset": 0,
            "align": "start",
            "sinks": np.zeros((1, h)),
            "scale": self.width(case) ** -0.5,
            "temperature": 1.7,
            "slopes": self.slopes(h),
            "softcap": 5.0,
            "topk": m,
        }
        values |= {name: self.normal(h, h) for name in ("Tl", "Tw") if name in self.interface.needs}
        if {"Ss", "Sa"} & self.interface.needs:
            query, key = (case[x].shape[-1] for x in (("X", "context") if "X" in case else ("q", "k")))
            of_pair = query + 3 if self.interface.sizes is None else self.interface.sizes.width
            values |= {
                "Ss": self.normal(query, key),
                "Sq": self.normal(query, of_pair),
                "Sk": self.normal(key, of_pair),
            }
            values["Sa"] = self.normal(of_pair)
        if "X" in case:
            values |= {f"b{x}": np.zeros(case[f"W{x}"].shape[0]) for x in "qkvo" if f"W{x}" in case}
        return {name: value for name, value in values.items() if name in self.interface.needs}

    def normal(self, *shape: int) -> Array:
        """Independent normal numbers."""
        return self.rng.normal(size=shape)

    def width(self, case: Case) -> int:
        """Of one head."""
        return int(case["Wq"].shape[0] // self.heads if "X" in case else case["q"].shape[-1])

    def angles(self, n: int, d: int, interleaved: bool) -> Case:
        """Rotary angles (n, d/2)."""
        turns = 3 * self.normal(n, d // 2)
        layout = {"interleaved": interleaved} if "interleaved" in self.takes else {}
        return {"cos": np.cos(turns), "sin": np.sin(turns)} | layout

    def uniform(self, *names: str) -> Iterator[Probe]:
        """Queries of zero, and keys: what concerns the logits does not show, so that the rest is explained apart."""
        for name in () if self.interface.unprojected else names:
            case = self.base()
            yield Probe("uniform", case | {name: np.zeros_like(case[name])})

    def mask(self, *shape: int) -> BoolArray:
        """A mask without an empty or a full row or column, and not symmetric."""
        lead, pairs = shape[:-2], shape[-2:]
        grids = [self.pairs(*pairs) for _ in range(math.prod(lead))]
        return self.with_visible_keys(np.reshape(grids, shape))

    def pairs(self, n: int, m: int) -> BoolArray:
        """One grid (N, M) of such a mask; where its size allows none, one that hides something."""
        for _ in range(_TRIES):
            grid = self.rng.random((n, m)) < 0.6
            rows, columns = grid.mean(axis=-1), grid.mean(axis=-2)
            mixed = ((rows > 0) & (rows < 1)).all() and (((columns > 0) & (columns < 1)).all() or n == 1)
            if mixed and (n != m or not (grid == grid.T).all()):
                return grid
        return np.arange(n)[:, None] + np.arange(m) < max(n, m)

    def slopes(self, heads: int) -> Array:
        """Slopes (H, 1, 1) of biases that fall with the distance."""
        return 1 / (1.3 + np.arange(heads))[:, None, None]

    def bias(self, heads: int, n: int, m: int) -> Array:
        """A bias (1, heads, N, M); one that depends only on distances for a function that takes it as a table."""
        if not self.interface.bias_table:
            return 2 * self.normal(1, heads, n, m)
        distances = np.arange(n)[:, None] - np.arange(m) + m - 1
        return 2 * self.normal(1, self.heads, n + m - 1)[..., distances]

    def pairs_or_keys(self, batch: int, n: int, m: int) -> BoolArray:
        """A mask as the function takes it: of pairs (1, 1, N, M), or of keys (B, 1, 1, M)."""
        return self.keys(batch, m) if self.interface.key_mask else self.mask(1, 1, n, m)

    def keys(self, batch: int, m: int) -> BoolArray:
        """A mask of keys (B, 1, 1, M), in which each item hides two."""
        visible = np.ones((batch, 1, 1, m), bool)
        for item in visible:
            item[..., self.rng.choice(m, min(2, m - 1), replace=False)] = False
        if batch > 1 and (visible == visible[:1]).all():  # so that no item has the mask of another
            visible[-1] = np.roll(visible[-1], 1)
        return self.with_visible_keys(visible)

    def with_visible_keys(self, mask: BoolArray) -> BoolArray:
        """The mask with the first key visible where a function is causal by construction: no query has nothing."""
        mask[..., 0] |= bool(self.interface.implicit.get("causal"))
        return mask

    def options(self, case: Case) -> dict[str, Case]:
        """The options of the logits that the function takes, each with a value that shows on this case."""
        b, h, n, m = grid(case)
        short = self.rng.permutation(np.arange(m - b - 1, m - 1)).clip(1)  # as many different lengths as items
        options: dict[str, Case] = {
            "scale": {"scale": 0.37},
            "temperature": {"temperature": 0.6},
            "softcap": {"softcap": 1.3},
            "slopes": {"slopes": self.slopes(h)},
            "bias": {"bias": self.bias(h if self.interface.bias_of_heads else 1, n, m)},
            "mask": {"mask": self.pairs_or_keys(b, n, m)},
            "padding": {"padding": self.keys(b, m)},
            "causal": {"causal": True},
            "window": {"window": self.interface.window},
            "lengths": {"lengths": short},
            "segments": {"segments": self.segments(b, n)},
            "prefix": {"prefix": np.full(b, max(3, m - 2))},
            "sinks": {"sinks": self.normal(1, h)},
            "topk": {"topk": 3},
        }
        return {name: option for name, option in options.items() if name in self.takes}

    def masks_each(self, case: Case) -> Iterator[Case]:
        """Another mask for each item and head, and for each item, where it takes them."""
        b, h, n, m = grid(case)
        if "mask" in self.takes and not self.interface.key_mask and b * h > 1:
            if self.interface.mask_axes in ("", "BHNM"):
                yield {"mask": self.mask(b, h, n, m)}
            if self.interface.mask_axes != "NM":
                yield {"mask": self.mask(b, 1, n, m)}

    def about_logits(self, case: Case) -> Iterator[Probe]:
        """Scale, softcap, bias, masks and limits, each alone on this case, and all at once."""
        b, h, n, m = grid(case)
        taken = self.options(case)
        for name, option in taken.items():
            yield Probe({"padding": "mask-keys"}.get(name, name), case | option)
        if "scale" in taken:
            yield Probe("scale", case | {"scale": 1.0})
        if "temperature" in taken:
            yield Probe("temperature", case | {"temperature": 2.3})
        yield from (Probe("mask-each", case | option) for option in self.masks_each(case))
        if "bias" in taken and h > 1:
            yield Probe("bias", case | {"bias": self.bias(h, n, m)})
        if "softcap" in taken:
            for other in ("bias", "mask"):
                if other in taken:
                    yield Probe("softcap", case | taken["softcap"] | taken[other])
        if {"mask", "padding"} <= taken.keys() and not self.interface.masks_apart:
            of_pairs = self.pairs_or_keys(b, n, m)
            of_pairs[..., 0] = taken["padding"]["padding"][..., 0] = True
            yield Probe("together", case | {"mask": of_pairs} | taken["padding"])
        if len(taken) > 1:
            mask = self.pairs_or_keys(b, n, m)
            mask[..., 0] = True  # so that no query is left with nothing
            open_mask = {"mask": mask if self.interface.key_mask else mask | np.eye(n, m, dtype=bool)}
            everything = {k: v for name in taken if name != "padding" for k, v in taken[name].items()}
            yield Probe("together", case | everything | (open_mask if "mask" in taken else {}))

    def segments(self, b: int, n: int) -> Array:
        """Up to three sequences in each row, numbered from one."""
        rows = self.rng.integers(0, 3, (1 if self.interface.segments_shared else b, n))
        return np.repeat(1 + np.sort(rows), b // len(rows), axis=0)

    def edges(self, case: Case) -> Iterator[Probe]:
        """Queries that may attend to nothing, and NaN where no query attends."""
        b, _, n, m = grid(case)
        hidden: dict[str, Case] = {}
        if "mask" in self.takes:
            empty = self.pairs_or_keys(b, n, m)
            empty[0, 0, 0 if self.interface.key_mask else min(1, empty.shape[2] - 1)] = False
            yield Probe("empty-rows", case | {"mask": empty})
            hidden["mask"] = {"mask": self.pairs_or_keys(b, n, m)}
            hidden["mask"]["mask"][..., 0] = True
        if "padding" in self.takes:
            hidden["padding"] = {"padding": self.keys(b, m)}
        place = min(2, m - 1)  # of a key that no query sees; the first is seen
        for name, option in hidden.items() if place else ():
            option[name][..., place] = False
            for where in ("k", "v"):
                yield from self.poisoned(case | option, where, (slice(None), slice(None), place))
        if "lengths" in self.takes:
            last = np.arange(m - b, m)
            yield Probe("empty-rows", case | {"lengths": last * (np.arange(b) > 0)})
            for where in ("k", "v"):
                yield from self.poisoned(case | {"lengths": last}, where, (slice(None), slice(None), m - 1))

    def poisoned(self, case: Case, where: str, at: tuple[slice | int, ...]) -> Iterator[Probe]:
        """The case with NaN in one column of hidden keys or values."""
        if where in case:
            array = case[where].copy()
            array[(*at, 0)] = np.nan
            yield Probe("hidden-nan", case | {where: array})
