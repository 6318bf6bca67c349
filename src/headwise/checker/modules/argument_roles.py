"""What the arguments of a layer are, where their names do not say it, and which of them are left alone."""

from __future__ import annotations

import re

from headwise.checker.arguments.documentation import document
from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.branches import arguments_of_other_forms
from headwise.checker.modules.call import Call
from headwise.checker.modules.calls import has_no_context, takes_masks
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.select import Match

# arguments of nn.MultiheadAttention that change no output by themselves: is_causal is a hint about the mask
_OF_TORCH = {"is_causal": "", "average_attn_weights": ""}
_MASKS_OFF = re.compile(r"(.*\.)?(use_?)?mask(_?flag|ed|ing)?")  # flags that turn its masks off
LATENTS = "latent_queries"  # the argument that stands for learned queries


def roles_of(match: Match) -> dict[str, str]:
    """The role of each argument that is known; an empty one leaves it at its default."""
    layer = match.call.layer
    roles = _of_tokens(match.call) | dict.fromkeys(masks_left_out(match), "")
    if layer.framework == "keras":
        roles |= _masks_of_keras(layer)
    return roles | _OF_TORCH if layer.owner == "torch.nn.MultiheadAttention" else roles


def _of_tokens(call: Call) -> dict[str, str]:
    """What its arguments of tokens are: X, a context, and values where they are apart from the keys."""
    if call.latents:
        return {LATENTS: "X", **call.tokens}
    pairs = {call.pairs.argument: "bias"} if call.pairs else {}
    contexts = [name for name, source in call.tokens.items() if source == "context"]
    values = [name for name in contexts if role_of(name) == "v"] or contexts[1:]
    if call.of_first:
        return {**dict.fromkeys(call.layer.arguments, ""), **call.tokens}
    if has_no_context(call.layer):  # arguments of the same class where it has one
        names = call.layer.arguments
        of_others = {name for name in names if name.startswith("encoder_") or role_of(name) in ("context", "k", "v")}
        contexts_of_others = dict.fromkeys(of_others, "")
        return {**contexts_of_others, **call.tokens}
    apart = {values[0]: "values"} if len(contexts) == 2 else {}
    return {
        **dict.fromkeys(arguments_of_other_forms(call.layer), ""),
        **_handed_on(call.layer),
        **pairs,
        **_factors_of_logits(call.layer),
        **_lesser_masks(call.layer),
        **_decided_by_layer(call.layer),
        **call.tokens,
        **apart,
    }


def roles_without_weights(layer: Layer) -> dict[str, str]:
    """The same for a layer that learns nothing."""
    own = any(value is True and role_of(name) == "causal" for name, value in layer.attributes.items())
    return _factors_of_logits(layer) | (_decided_by_layer(layer) if own else {})


def _lesser_masks(layer: Layer) -> dict[str, str]:
    """Masks under names of their own next to that of the attention, such as a time mask."""
    names = [name for name in layer.arguments if role_of(name) == "mask"]
    main = [name for name in names if re.fullmatch(r"((self_)?att(n|ention)_?)?mask", name.lower())]
    return {name: "" for name in names if main and name not in main}


def _decided_by_layer(layer: Layer) -> dict[str, str]:
    """A causal flag that is None by default, so that the layer's own counts."""
    return {p.name: "" for p in layer.arguments.values() if p.default is None and role_of(p.name) == "causal"}


def _factors_of_logits(layer: Layer) -> dict[str, str]:
    """A factor `tau` next to a shift `delta` of the logits (Liu et al., 2022) is no temperature."""
    return {"tau": "", "delta": ""} if {"tau", "delta"} <= layer.arguments.keys() else {}


def masks_left_out(match: Match) -> list[str]:
    """The masks that a flag turns off, and those that have to be passed and are None or an object."""
    call = match.call
    if any(value is False and _MASKS_OFF.fullmatch(name) for name, value in call.layer.attributes.items()):
        return [name for name in call.layer.arguments if role_of(name) in ("mask", "padding")]
    return [] if takes_masks(call, match.reading.sizes) or not call.masks else list(call.masks)


def _handed_on(layer: Layer) -> dict[str, str]:
    """A bias that is returned too, for the next layer, holds the mask already: it is left alone."""
    code = document(layer.forward, layer.source, layer.function).code
    biases = [name for name in layer.arguments if role_of(name) == "bias"]
    return {name: "" for name in biases if re.search(rf"(return|outputs?\s*=)[^\n]*\b{name}\b", code)}


def _masks_of_keras(layer: Layer) -> dict[str, str]:
    """The masks that Keras passes along with tensors by itself are left alone."""
    names = layer.arguments
    if layer.owner == "keras" and {*names} == {"inputs", "training", "mask"}:
        return {"mask": ""}  # of a model that is made of layers
    return {name: "" for name in names if name.endswith("_mask") and name.removesuffix("_mask") in names}
