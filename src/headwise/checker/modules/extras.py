"""What a layer learns besides its projections: norms, scales, gates, and tables such as those of positions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.matrices import collect_parts
from headwise.checker.modules.names import is_norm, is_of_residual
from headwise.checker.modules.reduction import of_one_pixel
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_OF_HEADS = re.compile(
    r"(^|[._])(q|k|query|key|qk)_?(layer_?norm|norm|ln|rms)|(norm|ln)_?(q|k|query|key)\b", re.IGNORECASE
)
_MIXTURE = re.compile(r"talk|mix", re.IGNORECASE)
_OF_POSITIONS = re.compile(r"pos|rel|rpe|bias_table|cpb|distance|sink|alibi|embed", re.IGNORECASE)
_OF_DISTANCES = re.compile(r"rel|rpe|bias_table|position(al)?_bias", re.IGNORECASE)
_NEEDED = re.compile(_OF_DISTANCES.pattern + "|sinks?$", re.IGNORECASE)  # of which a layer has no other use
_OF_ONE_SIDE = re.compile(r"(^|[._])(q|k|query|key)_?scale$", re.IGNORECASE)  # as it is at first, part of the scale
_OF_LOGITS = re.compile(r"logits?_?scale|temperature|(^|[._])tau$", re.IGNORECASE)
_CAP = re.compile(r"^(?!.*(final|output|lm_)).*(soft_?cap|logits?_?cap|(^|_)cap$)", re.IGNORECASE)
_CONFIGURED = re.compile(
    r"self\.(\w*scal\w*)\s*=\s*(?:\w+\.)*(\w*(?:multiplier|scalar|(?<!_)scale|scaling)\w*)(\s*\*\*\s*-0\.5)?\s*(?:#.*)?$",
    re.MULTILINE,
)
_SQUASHED = re.compile(r"tanh\([^()]*?/\s*(?:self\.)?(\w+\.?\d*)")  # tanh(logits / cap)
_LONGEST = 400  # entries along an axis of a table of which each is tried
_NORM_OF_EACH = re.compile(  # as said in words
    r"\bnorm(?!_)\w*[^.\n_]{0,50}\b(per|each|every)[- ]head\b|\b(per|each|every)[- ]head[^.\n_]{0,30}\bnorm(?!_)",
    re.IGNORECASE,
)
_SCALE = re.compile(r"(^|[._])(gamma\w*|\w*scale\w*|ls\w*|lambda\w*|gain|temperature|tau)$", re.IGNORECASE)


def make_neutral(layer: Layer, heads: int) -> None:
    """Let norms do no more than normalise, scales be one, mixtures of heads mix nothing, and all else say nothing."""
    layer.write({p.name: _neutral(p, heads, layer.passing) for p in collect_parts(layer.parameters).rest})


def _neutral(parameter: Parameter, heads: int, passing: frozenset[str]) -> Array:
    value = parameter.value
    if parameter.name in passing or (parameter.stride > 1 and value.ndim == 4 and parameter.padding < value.shape[-1]):
        return of_one_pixel(parameter)
    if _OF_LOGITS.search(parameter.name) and value.size in (1, heads):
        return _factors(parameter)
    if value.size == 1:
        return np.where(value == 0, 1.0, value)
    if _is_of_norm(parameter):
        shifts = "bias" in parameter.name or (value == 0).all()
        return np.zeros(value.shape) if shifts else np.ones(value.shape)
    if _is_scale(parameter):
        return value if _OF_ONE_SIDE.search(parameter.name) and (value == value.flat[0]).all() else np.ones(value.shape)
    if is_residual(parameter):
        return np.eye(len(value))
    if value.size == heads**2 and value.shape[:2] == (heads, heads):
        return np.eye(heads).reshape(value.shape)
    return np.zeros(value.shape)


def without_effect(layer: Layer, heads: int, repeats: Callable[[], bool]) -> dict[str, bool]:
    """The norms and scales with other numbers in which the outputs repeat, which the layer then does not use.

    The value says whether it is a norm of queries or keys of which the layer uses another.
    """
    others = {parameter.name for parameter in _others(layer)}
    parts: dict[str, list[Parameter]] = {}  # the numbers of one norm together: some change nothing by themselves
    for parameter in collect_parts(layer.parameters).rest:
        if parameter.name not in others:
            parts.setdefault(parameter.name.rpartition(".")[0] or parameter.name, []).append(parameter)
    rng, names = np.random.default_rng(5), []
    for name, parameters in parts.items():
        neutral = {p.name: _neutral(p, heads, layer.passing) for p in parameters}
        layer.write({key: value * rng.uniform(0.4, 0.6, value.shape) + 0.1 for key, value in neutral.items()})
        if repeats():
            names.append(name)
        layer.write(neutral)
    of_heads = {name for name, parameters in parts.items() if any(map(is_norm_of_heads, parameters))}
    return {name: name in of_heads and not of_heads <= {*names} for name in names}


def used_in_part(
    layer: Layer, heads: int, count: int | None, repeats: Callable[[], bool], repeats_many: Callable[[], bool] | None
) -> list[str]:
    """The tables of which only some entries change an output, in sentences.

    They are those of some heads, or half of all others at most: no more with many tokens than with few, if it takes
    many. Of distances in a window, the only number of tokens of which is `count`, they are any; of other distances also
    all but one at an end, as where they are clipped on one side by one too much.
    """
    arrays, sentences = fill_tables(layer), []
    names = [parameter.name for parameter in layer.parameters]
    needed = [name for name in arrays if _NEEDED.search(name) and not _is_of_linear_layer(name, names)]
    if not repeats():  # they are empty in this check
        zeros = {name: np.zeros(array.shape) for name, array in arrays.items()}
        for name in needed:
            layer.write({**zeros, name: arrays[name]})
            if (repeats_many or repeats)():
                layer.write({**arrays, name: zeros[name]})  # where nothing has an effect without it, others multiply it
                sentences += [f"{name} changes no output."] * (not repeats())
        layer.write(zeros)
        return sentences
    for name, array in arrays.items():

        def changes(axis: int, places: range, name: str = name, array: Array = array, many: bool = False) -> bool:
            other = array.copy()
            np.moveaxis(other, axis, 0)[places] *= -1
            layer.write({name: other})
            return not (repeats_many if many and repeats_many else repeats)()

        of_heads = [axis for axis, side in enumerate(array.shape) if side == heads > 1]
        used = [changes(axis, range(head, head + 1)) for axis in of_heads for head in range(heads)]
        if len(of_heads) == 1 and any(used) and not all(used):
            sentences.append(f"Of {name}, only the entries for some of the heads change an output.")
        if repeats_many and name in needed and not changes(0, range(len(array)), many=True):
            sentences.append(f"{name} changes no output.")
        for axis, side in enumerate(array.shape):
            if not repeats_many or axis in of_heads or not 2 < side <= _LONGEST:
                continue
            most = side - 1 if _is_of_window(side, count) else side // 2
            few, many = (
                list(islice(_places(range(side), partial(changes, axis, many=more)), most + 1))
                for more in (False, True)
            )
            if few and few == many and len(few) <= most:
                sentences.append(f"Of {name} {array.shape}, only {len(few)} of {side} entries ever change an output.")
            elif _OF_DISTANCES.search(name) and _lacks_one_end(side, partial(changes, axis, many=True)):
                sentences.append(f"Of {name} {array.shape}, the entry at one end never changes an output.")
        layer.write({name: array})
    return sentences


def _is_of_linear_layer(name: str, names: Iterable[str]) -> bool:
    """Whether an array is the matrix or the bias of a layer, which may do something to other tables alone."""
    return {f"{name.rpartition('.')[0]}.{part}" for part in ("weight", "bias")} <= {*names}


def _is_of_window(entries: int, count: int | None) -> bool:
    """Whether a table has an entry for each distance in a window of so many tokens, which has two sides or more."""
    return count is not None and entries in {*_numbers_of_distances(count)} - {2 * count - 1}


def _numbers_of_distances(count: int) -> Iterator[int]:
    """How many distances there are among so many places in a row, or in an area or a volume of whole rows."""
    yield 2 * count - 1
    for side in range(2, count // 2 + 1):
        if count % side == 0:
            yield from ((2 * side - 1) * others for others in _numbers_of_distances(count // side))


def _lacks_one_end(side: int, changes: Callable[[range], bool]) -> bool:
    """Whether of as many distances on both sides one end is not in use, but all that are next to the ends."""
    if side < 5 or side % 2 == 0:
        return False
    used = [changes(range(place, place + 1)) for place in (0, 1, side - 2, side - 1)]
    return used[1:3] == [True, True] and used[0] != used[3]


def _places(places: range, changes: Callable[[range], bool]) -> Iterator[int]:
    """Those of some places in a table that change an output."""
    if not changes(places):
        return
    if len(places) == 1:
        yield places[0]
        return
    half = len(places) // 2
    yield from _places(places[:half], changes)
    yield from _places(places[half:], changes)


def fill_tables(layer: Layer) -> dict[str, Array]:
    """Put numbers, which float32 can hold, into the tables that `make_neutral` has emptied; return them by name."""
    rng = np.random.default_rng(3)
    arrays: dict[str, Array] = {
        p.name: rng.normal(size=p.shape).astype(np.float32).astype(np.float64) for p in tables(layer)
    }
    layer.write(arrays)
    return arrays


def tables(layer: Layer) -> list[Parameter]:
    """The parameters that may be tables of positions: no layer of their own that takes the tokens."""
    return [p for p in _others(layer) if not _takes_tokens(p)]


def neutral_names(layer: Layer) -> tuple[str, ...]:
    """The parameters that stay neutral while the layer is checked, and are neither norms nor scales."""
    others = [p for p in _others(layer) if _takes_tokens(p)]
    of_one = [p.name in layer.passing or p.stride > 1 < p.value.ndim for p in others]
    names = [p.name + " besides one pixel" * is_of_one for p, is_of_one in zip(others, of_one, strict=True)]
    mixing = [p for p in layer.parameters if is_residual(p) or _mixes_heads(p)]
    return (*names, *(f"{p.name} besides the identity" for p in mixing))


def linear_functions(layer: Layer) -> list[Parameter]:
    """The matrices that are linear functions of tokens besides the projections, such as that of a gate."""
    others = [p for p in _others(layer) if p.value.ndim == 2]
    return [p for p in others if _takes_tokens(p) or "gate" in p.name.lower()]


def learned_scales(layer: Layer, heads: int) -> list[Array]:
    """The factors of the logits that a layer learns, (H,) or (1,), as `make_neutral` leaves them."""
    rest = collect_parts(layer.parameters).rest
    scales = [p for p in rest if _OF_LOGITS.search(p.name) and p.value.size in (1, heads)]
    return [_factors(p).ravel() for p in scales]


def configured_scale(layer: Layer) -> float | None:
    """The scale that it stores, where this is an entry of its configuration for it, or the root of one, inverted."""
    match = _CONFIGURED.search(layer.documentation)
    if match is None or re.search(rf"self\.{match[1]}\s*=", layer.documentation[: match.start()]):
        return None  # a class that inherits it sets another
    value = layer.attributes.get(match[1], layer.numbers.get(match[1]))
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        return None
    entry = layer.attributes.get(f"config.{match[2]}", value)
    entry = entry**-0.5 if match[3] and f"config.{match[2]}" in layer.attributes else entry
    return float(value) if math.isclose(value, entry) else None


def softcaps(layer: Layer) -> list[float]:
    """The softcaps among its attributes, and the numbers that its code divides by inside of a tanh."""
    numbers = {**layer.attributes, **layer.numbers}
    squashed = _SQUASHED.findall(layer.documentation)
    configured = {name for name in numbers if name.startswith("config.") or f"config.{name}" in numbers}
    unread = {name for name in configured if name.removeprefix("config.") not in layer.documentation}  # by its code
    caps = [value for name, value in numbers.items() if (name not in unread and _CAP.search(name)) or name in squashed]
    caps += [float(text) for text in squashed if text[0].isdigit()]
    return [
        float(value) for value in caps if isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    ]


def components(layer: Layer, model: int, heads: int, width: int) -> frozenset[str]:
    """What the layer contains besides attention, by design: norms, and a residual connection with one."""
    rest = collect_parts(layer.parameters).rest
    norm = any(_is_of_norm(p) and not is_norm_of_heads_alone(p, model) for p in rest)
    scaled = layer.gate is not None or any(p.value.size == 1 or _is_scale(p) or is_residual(p) for p in rest)
    there = {
        "norm-added": norm,
        "residual-added": norm or scaled,
        "qk-norm-across-heads": normalizes_all_heads_together(layer, heads, width)
        and not _NORM_OF_EACH.search(layer.documentation),
    }
    return frozenset(code for code, is_there in there.items() if is_there)


def normalizes_heads(layer: Layer) -> bool:
    """Whether it holds a norm of queries or keys."""
    return any(map(is_norm_of_heads, collect_parts(layer.parameters).rest))


def is_norm_of_heads(parameter: Parameter) -> bool:
    """Whether a parameter belongs to a norm of queries or keys."""
    return _is_of_norm(parameter) and bool(_OF_HEADS.search(parameter.name))


def is_norm_of_heads_alone(parameter: Parameter, model: int) -> bool:
    """Whether a norm of queries or keys by its name is none of the tokens that these are made from, by its size."""
    return is_norm_of_heads(parameter) and parameter.value.size != model


def normalizes_all_heads_together(layer: Layer, heads: int, width: int) -> bool:
    """Whether a norm of queries or keys has a factor for each feature of several heads."""
    norms = filter(is_norm_of_heads, collect_parts(layer.parameters).rest)
    return heads > 1 and any(p.value.size == heads * width for p in norms)


def _factors(parameter: Parameter) -> Array:
    """Different factors of logits, all of ordinary size, which float32 can hold."""
    return 0.5 + 0.25 * np.arange(1, parameter.value.size + 1).reshape(parameter.shape)


def _others(layer: Layer) -> Iterator[Parameter]:
    for parameter in collect_parts(layer.parameters).rest:
        neutral = _is_of_norm(parameter) or _is_scale(parameter) or is_residual(parameter) or _mixes_heads(parameter)
        if parameter.value.size > 1 and not neutral:
            yield parameter


def _mixes_heads(parameter: Parameter) -> bool:
    """Whether it is an array (H, H) in which the logits or weights of heads are mixed, by its name (talking heads)."""
    sides = parameter.shape
    return len(sides) == 2 and sides[0] == sides[1] and not parameter.axes and bool(_MIXTURE.search(parameter.name))


def is_residual(parameter: Parameter) -> bool:
    """Whether it is a matrix (D, D) with which a residual connection takes the tokens, by its name."""
    sides = parameter.shape
    return is_of_residual(parameter.name) and len(sides) == 2 and sides[0] == sides[1]


def _takes_tokens(parameter: Parameter) -> bool:
    """Whether it belongs to a linear layer, such as that of a gate, whose name does not speak of positions."""
    learned_by_layer = parameter.axes != "" or re.search(r"linear|conv|dense", parameter.owner, re.IGNORECASE)
    return bool(learned_by_layer or "lora" in parameter.name.lower()) and not _OF_POSITIONS.search(parameter.name)


def _is_of_norm(parameter: Parameter) -> bool:
    return is_norm(parameter.name) or "norm" in parameter.owner.lower()


def _is_scale(parameter: Parameter) -> bool:
    """Whether it is a factor for each feature or head: by its name, or because all its numbers are the same."""
    value = parameter.value
    if parameter.axes or value.size <= 1 or "bias" in parameter.name or re.search("sink", parameter.name):
        return False
    return bool(_SCALE.search(parameter.name)) or bool((value == value.flat[0]).all() and value.flat[0] != 0)
