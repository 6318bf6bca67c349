"""Further inputs for a function that is right on all others: sizes and values that code often treats apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from headwise.checker.arguments.numbers_in_code import MANY_QUERIES
from headwise.checker.probes.generator import MANY_TOKENS, Generator, to_float32
from headwise.checker.probes.kinds import Interface, Probe, ProbeShape
from headwise.checker.probes.qkv import Projected
from headwise.checker.probes.tokens import Tokens
from headwise.checker.reference.state import Case, grid
from headwise.checker.user_code.numpy_guard import np

_MANY, _ONE = ProbeShape(5, 8, 9, 11, 3, 5, 17), ProbeShape(1, 1, 6, 3, 1, 2, 1)
_ALIKE = ProbeShape(4, 4, 4, 4, 2, 2, 8)
_ONE_QUERY = ProbeShape(2, 3, 1, 5, 4, 3, 11)
_MOST_TOKENS = 517  # more than there are bytes, or numbers that bfloat16 keeps apart
_LARGE = {
    "67 items": ProbeShape(67, 2, 3, 4, 2, 2, 5),
    "33 heads": ProbeShape(1, 33, 3, 4, 2, 2, 5),
    "more than a hundred features in a head": ProbeShape(1, 2, 3, 4, 132, 5, 9),
}
_ORDINARY = {"uniform", "plain", "sharp", "batch", "no-output", "biased", "context", "groups", "columns", "wide"}
_ORDINARY |= {"aligned", "mask-each", "mask-keys", "together"}
SOME_BIASES = "some of the biases alone"
_MANY_KEYS = 1031  # more than a block has
_NAMES = {"padding": "mask-keys"}  # of probes that are not named as the option
_NARROWING = {"mask", "padding", "lengths", "segments"}


def _in_blocks(size: int) -> dict[str, ProbeShape]:
    """Items, heads and features, of which there are more than a block of so many has."""
    return {
        f"{size + 3} items": ProbeShape(size + 3, 1, 3, 4, 2, 2, 5),
        f"{size + 3} heads": ProbeShape(1, size + 3, 3, 4, 2, 2, 5),
        f"{size + 4} features in a head": ProbeShape(1, 1, 3, 4, size // 2 + 2, 5, 9),
    }


@dataclass(frozen=True, slots=True)
class Further:
    """An input, and in words what is different about it."""

    words: str
    probe: Probe

    @classmethod
    def of(cls, generator: Generator, words: str, probe: Probe) -> Further:
        """With the arguments that have to be given."""
        return cls(words, *generator.finished([probe]))


def generator_of(interface: Interface, shape: ProbeShape, rng: np.random.Generator) -> Generator:
    """What makes the probes of an interface, in these sizes as far as it takes them."""
    return (Tokens if interface.of_tokens else Projected)(interface, shape.within(interface), rng)


def further_probes(
    interface: Interface, rng: np.random.Generator, any_size: bool = True, blocks: Iterable[int] | None = ()
) -> list[Further]:
    """Return inputs of sizes, and with values of options, that code often treats apart.

    With `any_size` also numbers that are very small, or zero; with more tokens, items, heads and features than `blocks`
    of so many have, or not many tokens if it is None. Of a function that is compiled for every size, those of
    the usual sizes.
    """
    usual = generator_of(interface, ProbeShape.of_round(0, interface), rng)
    many, one, alike, query = (generator_of(interface, s, rng) for s in (_MANY, _ONE, _ALIKE, _ONE_QUERY))
    same_size = interface.grid or interface.compiled
    further = [*_of_other_values(usual if same_size else many), *_of_biases(usual), *_of_pairs(usual)]
    further += [*_of_extreme_logits(usual), *(_of_other_numbers(usual) if any_size else ()), *_of_batches(usual)]
    if interface.compiled:
        return further
    further += [*_of_groups(usual), *_of_empty_cache(usual)]
    if interface.grid:
        return further
    further += _of_other_sizes(many, "five items of eight heads" if many.heads > 1 else "five items")
    further += _of_other_sizes(one, "one item of one head, with few features")
    further += _of_other_sizes(alike, "as many items, and heads, as tokens") if not interface.cached else ()
    further += _of_one_query(query)
    large = dict(_LARGE)
    small, great = ([block for block in blocks or () if (block > MANY_QUERIES) == beyond] for beyond in (False, True))
    for block in small:
        large |= _in_blocks(block)
    if not interface.cached:
        further += _of_many_tokens(usual, MANY_TOKENS) if blocks is not None else ()
        further += _of_many_tokens(one, _MOST_TOKENS, options=False) if blocks is not None else ()
        further += [f for block in small for f in _of_many_tokens(one, block + 3)]
        further += [f for block in great for f in _of_many_keys(query, block + 3)]
    for words, shape in large.items():
        further += _of_large_sizes(generator_of(interface, shape, rng), words)
    return further


def _of_other_sizes(generator: Generator, words: str) -> Iterator[Further]:
    """Every ordinary probe in a generator's sizes."""
    for probe in generator.all():
        if probe.name in _ORDINARY | generator.takes:
            yield Further.of(generator, words, probe)


def _of_many_tokens(generator: Generator, count: int, options: bool = True) -> Iterator[Further]:
    """One item of so many tokens, also with each option, or causal only."""
    case = generator.one_item(count) | ({"alone": True} if generator.interface.batch else {})
    for further in _with_options(generator, case, f"{count} tokens"):
        if options or further.probe.name in ("plain", "causal"):
            yield further
    hidden = () if generator.interface.implicit.get("causal") else generator.takes & {"mask", "padding"}
    for name in sorted(hidden) if options else ():  # as whole blocks are in code that works in blocks
        visible = np.array(np.ones_like(generator.options(case)[name][name]))
        visible[..., :-3] = False
        words = f"{count} tokens, of which all but the last three are hidden"
        yield Further.of(generator, words, Probe(_NAMES.get(name, name), case | {name: visible}))


def _of_batches(generator: Generator) -> Iterator[Further]:
    """Several items with each option, for a function that also takes one without an axis for it."""
    for case in generator.several_items():
        yield from _with_options(generator, case, "several items")


def _of_large_sizes(generator: Generator, words: str) -> Iterator[Further]:
    """Ordinary tokens, of sizes with which code begins to work in blocks."""
    yield Further.of(generator, words, Probe("plain", generator.base()))


def _of_empty_cache(generator: Generator) -> Iterator[Further]:
    """No earlier tokens, for a function that takes their keys and values."""
    if generator.interface.cached and not generator.interface.one_token:
        yield from (Further.of(generator, "an empty cache", Probe("plain", case)) for case in generator.uncached())


def _of_one_query(generator: Generator) -> Iterator[Further]:
    """One query and several keys, also causal."""
    for probe in generator.apart():
        *_, n, m = grid(probe.case)
        if n <= m and "window" not in generator.takes:
            yield Further.of(generator, "one query and several keys", probe)
        if n < m and "window" in generator.takes and {"causal": True}.items() <= generator.interface.implicit.items():
            case = probe.case | {"window": generator.interface.window}
            yield Further.of(generator, "a window and fewer queries than keys", Probe("aligned", case))
    yield from _of_many_keys(generator, _MANY_KEYS)


def _of_many_keys(generator: Generator, count: int) -> Iterator[Further]:
    """One query and so many keys."""
    yield from (Further.of(generator, f"one query and {count} keys", probe) for probe in generator.many_keys(count))


def _of_other_values(generator: Generator) -> Iterator[Further]:
    """Other values of the options, in another type, and fewer of them."""
    case, sharp = generator.base(), generator.base(2.0)
    b, h, n, m = grid(case)
    left, right = generator.interface.window
    windows = [(left and left + 2, right and right + 2)]
    windows += [(0, 0), (0, 2), (3, 0)] if (left, right) == (2, 1) else []
    of_items = np.repeat(generator.bias(h, n, m), b, axis=0) * generator.slopes(b)[..., None]
    whole_items = np.full(b, m), np.where(np.arange(b) == 0, m, m - 2), np.full(b, m - 2)
    other: dict[str, tuple[str, list[object]]] = {
        "scale": ("a negative scale, or one above 1", [-0.6, 2.5]),
        "temperature": ("a low temperature", [0.15]),
        "softcap": ("a large softcap", [30.0]),
        "window": ("another window", [*windows]),
        "lengths": ("items without padding, or with as much", [*whole_items]),
        "bias": (
            "a bias of each item",
            [] if generator.interface.bias_table or generator.interface.bias_shared else [of_items],
        ),
        "prefix": ("a prefix of one token", [np.full(b, 1)]),
    }
    for name, (words, values) in other.items():
        for value in values if name in generator.takes else ():
            yield Further.of(generator, words, Probe(name, sharp | {name: value}))
    for name, option in generator.options(case).items():
        narrow = Probe(_NAMES.get(name, name), to_float32(case | option))
        yield Further.of(generator, f"{name} and float32 arguments", narrow)


def _of_pairs(generator: Generator) -> Iterator[Further]:
    """Two options of the logits at once."""
    case = generator.base()
    options = generator.options(case)
    for pair in combinations(options, 2):
        narrowing = _NARROWING & {*pair}
        if len(narrowing) == 2 or ("window" in pair and narrowing):
            continue  # which may leave a query nothing to attend to
        both = case | options[pair[0]] | options[pair[1]]
        masks: list[Case] = [{}]
        if "mask" in pair:
            own, first = both["mask"], np.arange(both["mask"].shape[-1]) == 0
            masks = [{"mask": own | first}, {"mask": np.ones_like(own)}]
        for mask in masks:
            yield Further.of(generator, f"{pair[0]} and {pair[1]} together", Probe("together", both | mask))


def _of_groups(generator: Generator) -> Iterator[Further]:
    """Three query heads for each key head, also with each option."""
    for key_heads, words in ((1, "one key head for several query heads"), (2, "two key heads for six query heads")):
        for probe in generator.grouped(key_heads):
            yield from _with_options(generator, probe.case, words, "groups")


def _with_options(generator: Generator, case: Case, words: str, name: str = "plain") -> Iterator[Further]:
    """A case by itself, with each option, and with another mask and bias for each head."""
    yield Further.of(generator, words, Probe(name, case))
    _, h, n, m = grid(case)
    options = [(_NAMES.get(option, option), values) for option, values in generator.options(case).items()]
    options += [("mask-each", values) for values in generator.masks_each(case)]
    if h > 1 and "bias" in generator.takes:
        options += [("bias", {"bias": generator.bias(h, n, m)})]
    for option, values in options:
        yield Further.of(generator, f"{words} and {option}", Probe(option, case | values))


def _of_biases(generator: Generator) -> Iterator[Further]:
    """Some of the biases of the projections, and all of them with each option and with a context."""
    case = generator.base()
    for probe in generator.biased(case):
        yield from _with_options(generator, probe.case, "biases", "biased")
        biases = {name: a for name, a in probe.case.items() if name not in case}
        for apart in generator.apart():
            yield Further.of(generator, "biases and a context", Probe(apart.name, apart.case | biases))
    yield from (Further.of(generator, SOME_BIASES, probe) for probe in _partly_biased(generator, case))


def _of_other_numbers(generator: Generator) -> Iterator[Further]:
    """Small queries, large values, tokens that are zero, and tokens that are the same."""
    case = generator.base()
    query, value = ("q", "v") if "q" in case else ("Wq", "Wv")
    if not generator.interface.unprojected:
        yield Further.of(generator, "small queries", Probe("plain", case | {query: 1e-4 * case[query]}))
        yield Further.of(generator, "large values", Probe("plain", case | {value: 1e6 * case[value]}))
    source = "k" if "k" in case else "context" if "context" in case else "X"
    if case[source].shape[-2] > 2:
        zero, same = case[source].copy(), case[source].copy()
        zero[..., 1, :], same[..., 1, :] = 0, same[..., 0, :]
        yield from _with_options(generator, case | {source: zero}, "a token that is zero")
        yield Further.of(generator, "two tokens that are the same", Probe("plain", case | {source: same}))


def _partly_biased(generator: Generator, case: Case) -> Iterator[Probe]:
    optional = generator.takes - generator.interface.needs
    names = [f"b{x}" for x in "qkvo" if f"b{x}" in optional and f"W{x}" in case]
    biases = {name: generator.normal(case[f"W{name[1:]}"].shape[0]) for name in names}
    for count in range(1, len(names)):
        for some in combinations(names, count):
            yield Probe("biased", case | {name: biases[name] for name in some})


def _of_extreme_logits(generator: Generator) -> Iterator[Further]:
    """Logits far below zero, logits in the thousands next to small ones, and some of hundreds that are hidden."""
    case = generator.large(generator.base())
    name = "k" if "k" in case else "Wk"
    if not generator.interface.unprojected:
        yield Further.of(generator, "logits far below zero", Probe("large-logits", case | {name: -case[name]}))
        case = generator.base()
        first = case["q" if "q" in case else "X"]
        if first.shape[-2] > 1:
            of_itself = "X" in case and "context" not in case
            if of_itself and case["Wq"].shape == case["Wk"].shape:
                case["Wk"] = case["Wq"].copy()  # so that the first token attends to itself
            first[..., 0, :] *= 200 if of_itself else 4000  # far from the mean of the row, too
            yield Further.of(generator, "one query much larger than the others", Probe("large-logits", case))
        case = generator.base()
        large = case | {x: 500 * case[x] for x in ("q", "Wq") if x in case}
        for option, hidden in generator.options(case).items():
            if option in ("mask", "padding", "causal", "lengths"):
                words = f"logits in the hundreds and {_NAMES.get(option, option)}"
                yield Further.of(generator, words, Probe("large-logits", large | hidden))
