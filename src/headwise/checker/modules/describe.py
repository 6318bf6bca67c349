"""From a reading of a layer to a target: its parts besides the projections, and what was inferred, in words."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.documentation import UNSCALED, document
from headwise.checker.arguments.packed import stated_order
from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.windows import meaning_of_window
from headwise.checker.calling.responses import bare
from headwise.checker.modules.argument_roles import LATENTS, masks_left_out, roles_of, roles_without_weights
from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.calls import takes_any_count
from headwise.checker.modules.distances import contradiction
from headwise.checker.modules.extras import (
    components,
    make_neutral,
    neutral_names,
    normalizes_heads,
    softcaps,
    tables,
    used_in_part,
    without_effect,
)
from headwise.checker.modules.heads import named_head_count
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.layouts import (
    OF_ONE_GROUP,
    gather_first,
    has_tokens_first,
    present,
    put_each_first,
    restore,
)
from headwise.checker.modules.packed import with_separate_arguments
from headwise.checker.modules.positions import FIRST_POSITION, NEIGHBOURS, OF_SEGMENTS, positions_of
from headwise.checker.modules.projections import Reading
from headwise.checker.modules.required_arguments import with_required
from headwise.checker.modules.rotation import rotates
from headwise.checker.modules.select import Match
from headwise.checker.modules.table_scale import is_scaled
from headwise.checker.reference.state import Change
from headwise.checker.target import Target
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

# what True means in the masks of the frameworks' own layers
_DOCUMENTED_MASKS = {"torch.nn.MultiheadAttention": "hides", "keras": "attends", "flax": "attends"}
# conventions that a layer is known to follow before the search
_KNOWN = {"activation-last", "context-and-tokens", "gated", "keys-latent", "keys-reduced", "position-bias", "qk-norm"}
_KNOWN |= {"positions-inside", "registers", "rope", "scale-configured", "scale-learned", "set-block", "sinks"}
_KNOWN |= {"softcap-built-in"}
_CAUSAL = re.compile(r"_?(is_|use_)?(causal|autoregressive)")
_OF_T5 = re.compile(r"relative_attention_num_buckets\b")  # a family without a scale
_ONE = r"\s*1(?:\.0*)?\s*(?=[,)]|$)"
_SCALED = re.compile(r"scal(e|ing)|-\s*(0?\.5|1\s*/\s*2)\b|sqrt\([^()]*(d|dim|size)\w*\)", re.IGNORECASE)
_ROOTED = re.compile(r"sqrt|\*\*|\bpow(er)?\(")  # a root of a width, perhaps
_LOGITS = re.compile(
    r"(return|outputs?\s*=)\s[^\n]*,\s*\(?((raw|attn|attention|pre_?softmax)_?)?(qk|scores?|logits|dots|sim|energy|position_bias)"
    r"(\.detach\(\))?(,[^\n]*)?\)?\s*(#.*)?$",
    re.MULTILINE,
)
_TABLES = {
    "pair",
    "flat-pair",
    "cos",
    "sin",
    "batch-cos",
    "batch-sin",
}  # of angles, those of a pair in either of two places
# names of torch's own layers of a transformer, whose tokens come before the batch
_OF_TRANSFORMER = re.compile(r"\b(tgt|src|memory)_key_padding_mask\b|\bquery_pos\b|\bwith_pos_embed\b")


def documented(layer: Layer, options: list[Reading]) -> list[Reading]:
    """The reading whose order of a fused matrix is the one that the source gives in words; all where it does not."""
    if not any(reading.fused for reading in options) or not (order := stated_order(_comments(layer.documentation))):
        return options
    return [reading for reading in options if reading.order == order][:1] or options


def _returns_logits(layer: Layer) -> bool:
    """Whether what it returns after its output is logits or a part of them by its name, and no weights."""
    return bool(_LOGITS.search(document(layer.forward, layer.source, layer.function).code))


def target_of(match: Match, filled: Mapping[str, Array]) -> Target:
    """What the core probes; `filled` are its tables with random numbers."""
    reading = match.reading
    sizes, call = reading.sizes, _call_with_tables(match)
    layer = call.layer
    multi_head = sizes.heads > 1 or "Wo" in reading.parameters
    unmasked = dict.fromkeys(masks_left_out(match))
    count = None if takes_any_count(call, sizes) else call.count
    known = "position-bias" in match.design.codes  # what each entry of its tables is for
    return Target(
        layer.name,
        "multi_head" if multi_head else "self_attention",
        _forward(call),
        lambda weights: layer.write(reading.stored(weights)),
        reading.parameters,
        replace(
            sizes,
            tokens=count,
            queries=call.rows if call.latents or call.of_one else None,
            sliced=reading.sliced,
            shared=reading.shared,
        ),
        layer.convert,
        roles=roles_of(match),
        arguments={name: value for name, value in call.arguments.items() if role_of(name) != "lengths"} | unmasked,
        axes=_axes(match),
        mask=_DOCUMENTED_MASKS.get(layer.owner, "any"),
        components=_components(match),
        design=_design(match),
        lowers=layer.framework in ("keras", "tensorflow"),
        coarse=_is_coarse(layer),
        empty_tables=functools.partial(make_neutral, layer, sizes.heads) if tables(layer) else None,
        rotates=functools.partial(rotates, call, sizes.model, sizes.context),
        capped=bool(softcaps(layer)),
        unscaled=_is_unscaled(layer),
        window=_window(layer),
        neutral=neutral_names(layer),
        gate=layer.gate.name if layer.gate else "",
        tables=tuple(p.name for p in tables(layer)),
        without_effect=functools.partial(without_effect, layer, sizes.heads),
        contradiction=None if known else functools.partial(contradiction, call, reading, filled),
        used_in_part=None if known else functools.partial(used_in_part, layer, sizes.heads, count),
        scales_table=functools.partial(is_scaled, filled, sizes.heads, sizes.width),
        switches=layer.switches,
        train=layer.train,
        state=layer.state,
        causal=_is_causal(call),
        conventions=tuple(_inferred(layer, reading, call)),
        source=layer.source,
        function=layer.function,
    )


def _is_causal(call: Call) -> bool:
    """Whether a flag that it stores says so; that of a layer that takes a mask may be for others to read."""
    roles = {role_of(name) for name in call.layer.arguments}
    flags = [n for name, n in call.layer.attributes.items() if _CAUSAL.fullmatch(name) and isinstance(n, bool)]
    return flags == [True] and len(call.tokens) == 1 and not roles & {"mask", "causal", "context", "k", "v"}


def _is_unscaled(layer: Layer) -> bool:
    """Whether it has no scale by design: as T5, if it says so, with one that is only ever 1, or with learned norms."""
    code = re.sub("#.*", "", layer.documentation)
    normalized = normalizes_heads(layer) and (not _SCALED.search(code) or bool(re.search(rf"scale\s*={_ONE}", code)))
    assigned = re.findall(r"self\.\w*scal(?:e|ing)\s*=([^\n=]*)", code)
    of_one = bool(assigned) and all(re.fullmatch(_ONE, value) for value in assigned)
    of_classes = layer.documentation.partition("\nclass ")[2]
    stated = any(map(UNSCALED.search, re.findall(r'"""(.*?)"""', of_classes, re.DOTALL)))
    return normalized or of_one or stated or bool(_OF_T5.search(layer.documentation))


def _window(layer: Layer) -> tuple[int, str] | None:
    """The window among its numbers, and what the comments say that it counts."""
    names = {name for name in layer.numbers if role_of(name) == "window"}
    names |= {"w"} if re.search(r"\bself\.w\b[^=\n]*=[^\n]*window", layer.documentation) else set()
    sizes = ((name, value) for name, value in layer.numbers.items() if name in names and value > 0)
    comments = _comments(layer.documentation).lower()
    return next(((value, meaning_of_window(comments, name)) for name, value in sizes), None)


def without_weights(layer: Layer) -> Target:
    """The target of a layer that learns nothing: attention of q, k and v."""
    forward, axes = with_separate_arguments(layer)
    parameters = inspect.signature(forward).parameters.values()
    scales = [p.name for p in parameters if role_of(p.name) == "scale" and p.default is None]
    if scales and not _ROOTED.search(re.sub("#.*", "", layer.documentation)):  # it makes none of a width
        forward = with_required(forward, scales)
    return Target(
        layer.name,
        "attention",
        forward,
        layer.write,
        frozenset(),
        None,
        layer.convert,
        roles=roles_without_weights(layer),
        axes=axes,
        conventions=(*("queries, keys and values in one argument",) * bool(axes), *(layer.note,) * bool(layer.note)),
        source=layer.source,
        function=layer.function,
    )


def _forward(call: Call) -> Callable[..., Any]:
    """The forward method of a layer, of tokens in place of images, and without the arguments that give positions."""
    layer = call.layer
    if call.latents:
        return _forward_of_latents(call)
    signature = inspect.signature(layer.forward)
    places = {name: kind for name, kind in call.positions.items() if kind not in OF_SEGMENTS}
    logits = _returns_logits(layer)
    if not _is_presented(call) and not places and not logits and not call.of_first and call.pairs is None:
        return layer.forward
    outer = signature.replace(parameters=[p for name, p in signature.parameters.items() if name not in places])

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        position = kwargs.pop(FIRST_POSITION, 0)
        arguments = dict(outer.bind(*args, **kwargs).arguments)
        first = next(iter(call.tokens))
        count = arguments[first].shape[1 if _is_presented(call) else call.axes.index("N")]
        arguments = call.with_pairs(arguments)
        for name in call.tokens:
            if _is_presented(call) and name in arguments:
                arguments[name] = present(arguments[name], call.axes)
        if call.of_first:
            arguments[first] = put_each_first(arguments[first])
        narrow = "float32" in str(arguments[first].dtype)
        positions = positions_of(layer, places, call.width, count, narrow=narrow, first=position)
        result = layer.forward(**arguments, **positions)
        result = result[0] if logits and isinstance(result, tuple) else result
        if call.of_first:
            return gather_first(result[0] if isinstance(result, tuple) else result, count)
        if not _is_presented(call):
            return result
        return (restore(result[0], call.axes), *result[1:]) if isinstance(result, tuple) else restore(result, call.axes)

    vars(forward)["__signature__"] = outer
    if places:
        vars(forward)[FIRST_POSITION] = True  # it takes this keyword, which its signature does not show
    return forward


def _is_presented(call: Call) -> bool:
    """Whether its tokens have axes that the core does not know, to which they are brought here."""
    return "W" in call.axes or call.axes == OF_ONE_GROUP


def _forward_of_latents(call: Call) -> Callable[..., Any]:
    """The forward method with the learned queries as an argument, other ones for each item."""
    forward = _forward(replace(call, latents=""))
    signature = inspect.signature(forward)

    def with_queries(*args: Any, **kwargs: Any) -> Any:
        queries, outputs = kwargs.pop(LATENTS), []
        for item, query in enumerate(queries):
            call.write_latents(bare(query))
            result = forward(*args, **kwargs)
            output = (result[0] if isinstance(result, tuple) else result)[item]
            outputs.append(np.atleast_2d(bare(output)))
        return np.stack(outputs)

    parameter = inspect.Parameter(LATENTS, inspect.Parameter.KEYWORD_ONLY)
    vars(with_queries)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), parameter])
    return with_queries


def _axes(match: Match) -> str:
    """The axes of the tokens. Attention along the batch is a convention where the source or a flag says so."""
    layer, axes = match.call.layer, match.call.axes
    if "batch_first" in layer.attributes and "B" in axes:
        return "BND" if layer.attributes["batch_first"] else "NBD"
    if match.along_batch and has_tokens_first(layer.documentation):
        return "NBD"
    if layer.attributes.get("inner_batch_first") is False and _OF_TRANSFORMER.search(layer.documentation):
        return "NBD"
    return "BND" if _is_presented(match.call) else axes


def _design(match: Match) -> tuple[tuple[str, Change], ...]:
    """What the layer does by design, of what it is known to contain or has been measured."""
    evident = _components(match) | _KNOWN
    return tuple(pair for pair in match.design.pairs if pair[0] in evident)


def _components(match: Match) -> frozenset[str]:
    """What it contains by design; a residual connection is usual where it takes images, or channels before places."""
    call, sizes = match.call, match.reading.sizes
    of_signals = not call.axes.endswith("D")
    return components(call.layer, sizes.model, sizes.heads, sizes.width) | ({"residual-added"} if of_signals else set())


def _is_coarse(layer: Layer) -> bool:
    """Whether it holds numbers that float32 rounds, or its code mentions that type."""
    arrays = [a for a in layer.attributes.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    fractions = any((a[np.isfinite(a)] % 0.25).any() for a in arrays)
    return fractions or bool(re.search(r"float32|\.float\(\)", layer.documentation))


def _inferred(layer: Layer, reading: Reading, call: Call) -> list[str]:
    sizes, fused = reading.sizes, reading.fused
    heads = "one head" if sizes.heads == 1 else f"{sizes.heads} heads"
    if sizes.key_heads != sizes.heads:
        heads += f" for {sizes.key_heads} of keys and values" if sizes.key_heads > 1 else " that share keys and values"
    stated = len(reading.weights[0].stored) > 1 or named_head_count(layer, sizes.heads * sizes.width) is not None
    words = [heads if stated else f"{heads}, inferred from the output"]
    if fused is not None:
        parts = {"q": "queries", "k": "keys", "v": "values"}
        order = ", ".join(reading.order).replace("3", str(len(fused.part)))
        names = ", ".join(parts[x] for x in fused.part)
        blocks = f" in each of {reading.blocks} blocks" if reading.blocks > 1 else ""
        words.append(f"{names} fused in {fused.stored[0].name} in the order ({order}){blocks}")
    if not fused and any(m.axes == "Dn" and m.part != "o" and not m.stored[0].axes for m in reading.weights):
        words.append("(in, out) matrices")
    if reading.shared:
        words.append("the same projection for every head")
    elif reading.sliced:
        words.append("a slice of the features for each head")
    if "W" in call.axes:
        words.append("pixels as tokens")
    words += [layer.note] * bool(layer.note)
    words += [f"features of pairs of tokens ({call.pairs.argument})"] if call.pairs else []
    words += ["queries of the first token alone"] * call.of_first
    words += ["one query"] * call.of_one
    words += [f"learned queries ({call.latents})"] * bool(call.latents)
    if _returns_logits(layer):
        words.append("logits next to its output")
    words += [f"{name}={value}" for name, value in call.arguments.items() if role_of(name) != "lengths"]
    return words


def _comments(source: str) -> str:
    """The docstring of a file, and the docstrings and comments of the classes after it."""
    file, _, code = source.partition("\nclass ")
    quoted = re.findall(r'"""(.*?)"""', code, re.DOTALL)
    return "\n".join([*quoted, *re.findall(r"#(.*)", code), file])


def _call_with_tables(match: Match) -> Call:
    """The call with the angle of a pair in neighbouring places, if its output is only then one of distances."""
    call, model = match.call, match.reading.sizes.model
    tables = {name: NEIGHBOURS + kind for name, kind in call.positions.items() if kind in _TABLES}
    if not tables:
        return call
    rng = np.random.default_rng(0)
    matrices = [stored for matrix in match.reading.weights for stored in matrix.stored]
    call.layer.write({p.name: rng.normal(size=p.shape) / p.shape[-1] ** 0.5 for p in matrices})
    neighbours = replace(call, positions={**call.positions, **tables})
    usual = _depends_on_distances(call, model)
    return neighbours if not usual and _depends_on_distances(neighbours, model) else call


def _depends_on_distances(call: Call, model: int) -> bool:
    """Whether the output is the same where every position is three more."""
    X = np.random.default_rng(1).normal(size=(call.batch, call.count, model))
    try:
        here, there = (replace(call, turn=1.0, first=first)(X) for first in (0, 3))
    except CallError:
        return True
    return bool(np.allclose(here, there, rtol=0, atol=1e-4 * np.abs(here).max(initial=0)))
