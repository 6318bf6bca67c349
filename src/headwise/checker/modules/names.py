"""What a parameter is by its name: a projection to queries, keys, values or the output, alone or fused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwise.checker.arguments.roles import normalize

_BEFORE = (
    "(?:self|cross|attn|attention|att|multihead|mha|ws?|to|fc|lin|linear|proj|project|transform|c|sn|conv|conv1x1|dense"
    "|weights?|kernel|mat|matrix|m|p(?!os)|layer|in|input|head|get|x|map|add|added|img|image|txt|text|ctx|context)*"
)
_AFTER = (
    "(?:s|ws?|proj|projs|projections?|project|projector|lin|linears?|layers?|nets?|conv|conv1x1|dense|weights?|fcs?"
    "|mat|matrix|matrices|transform|transformation|map|mapping|maps|kernel|heads?|mlp|params?|gen|generator|enc|encoder|block|tfms?|trans|ops?|fns?|funcs?|einsum)*"
)
_PARTS = {
    "q": "q|query|queries|theta|omegaq",
    "k": "k|key|keys|phi|omegak",
    "v": "v|val|vals|value|values|omegav",
}
_FUSED = {
    "qkv": "qkv|qkvg|qkvgate|qkvz|querykeyvalue|queryskeysvalues|inproj|inprojection|cattn|pack",
    "kv": "kv|keyvalue|keysvalues",
    "qk": "qk|querykey",
    **{order: order for order in ("qvk", "kqv", "kvq", "vqk", "vkq", "vk", "kq")},
}
_OUTPUT = (
    "o|0|omegac|omegao|out|output|outputs|unify|unifyheads|combine|combined|combiner|merge|final|result|collect"
    "|recombine"
)
_WEAK_OUTPUT = re.compile(
    "(?:w|attn|attention|att|c|sn|heads?|conv|conv1x1|img|image|txt|text|ctx|context)*(?:proj|projection|project|dense|fc|linear|lin|attn|w|z)w?"
)
_LEAVES = {"data", "array", "weight", "bias", "kernel", "w", "b", "weights", "biases", "gamma", "beta", "scale"}
# names that say nothing: what contains them may say more
_GENERIC = {"linear", "lin", "layer", "module", "fn", "net", "dense", "conv", "function", "seq"}
_GENERIC |= {"base", "baselayer", "orig", "original", "pretrained", "frozen", "wrapped"}
# matrices to latent vectors and from them, in small letters and without underscores, as in public code and in the paper
_LATENT = {
    "down_kv": r"w?kva(proj|layer)?(withmqa)?|w?dkv(kr)?|(w|to)?kvdown(proj)?|downkv|kvcompress\w*|compresskv",
    "up_kv": r"w?kvb(proj|layer)?|w?ukv|(w|to)?kvup(proj)?|upkv|kvdecompress\w*",
    "up_k": r"w?uk|(w|to)?kup(proj)?|upk",
    "up_v": r"w?uv|(w|to)?vup(proj)?|upv",
    "turned_k": r"w?kr|(w|to)?k(rope|pe)(proj)?",
    "down_q": r"w?qa(proj|layer)?|w?dq|(w|to)?qdown(proj)?|downq|qcompress\w*|compressq",
    "up_q": r"w?qb(proj|layer)?|w?uq|(w|to)?qup(proj)?|upq|qdecompress\w*",
    "turned_q": r"w?qr|(w|to)?q(rope|pe)(proj)?",
    "q": r"w?q(proj)?|toq|query",
    "o": r"w?o(proj)?|out(put)?(proj)?|toout|proj",
}
_RESIDUAL = re.compile(r"(^|[._])(w_?)?(res|residual|skip|shortcut)(_?(proj|fc|linear|w))?([._]weight)?$", re.I)
# words that tell the projections of one source of tokens from those of another
OF_SOURCE = re.compile(
    r"(^|[._])(add|added|ip|adapter|txt|text|context|ctx|c|img|image|x|y|encoder|enc|cond|second|other|2|b)(?=[._]|$)"
)
# what a part of a module computes once, from a formula, under the names of public code
_FORMULA = re.compile(
    r"(inv_?)?freq(s|uencies|uency)?(_?(cis|cos|sin))?|thetas?|(alibi_?)?slopes?|angles?", re.IGNORECASE
)
_FLAG = re.compile(r"_?(use|has|with|add|enable)?_?bias")  # says of a layer whether it adds its bias
_LISTS = re.compile("(?:w|lin|linears?|proj|projs|projections?|layers?|weights?|matrices|fcs?|denses?)+")


@dataclass(frozen=True, slots=True)
class Role:
    """What a weight or bias is."""

    # ``"q"``, ``"k"``, ``"v"``, ``"o"``; for a fused matrix its parts in the order of its name, such as ``"kv"``;
    # ``"list"`` for a numbered matrix whose name says no more; ``"o?"`` where the name fits an output projection among
    # others
    part: str
    group: str  # the path with ``*`` in place of a number: the matrices of one head each share it
    number: int | None  # the number


def role_of(path: str) -> Role | None:
    """Return the role of a parameter such as ``heads.0.query.weight``, or None where its name fits none."""
    components = path.split(".")
    if len(components) > 1 and components[-1].lower() in _LEAVES:
        components = components[:-1]
    group, number = _numbered(components)
    words = [c for c in components if not c.isdigit()]
    for place, component in enumerate(reversed(words)):
        name = _strip(component)
        if is_norm(component):
            return None
        if part := _part(name):
            return Role(part, group, number)
        if number is not None and components[-1].isdigit() and _LISTS.fullmatch(name):
            return Role("list", group, number)
        if _WEAK_OUTPUT.fullmatch(name):
            parent = _part(_strip(words[-2])) if len(words) > 1 and place == 0 else ""
            is_of_parent = parent in ("q", "k", "v") or (parent and name in _GENERIC)
            return Role(parent if is_of_parent else "o?", group, number)
        if name not in _GENERIC:
            return None
    return None


def latent_part(path: str) -> str:
    """What a matrix to a latent vector, or from one, is by its name, such as ``"down_kv"``; empty for other names."""
    name = path.lower().removesuffix(".weight").rpartition(".")[2].replace("_", "")
    return next((part for part, pattern in _LATENT.items() if re.fullmatch(pattern, name)), "")


def is_norm(name: str) -> bool:
    """Whether a name is that of a normalisation."""
    return bool(re.search(r"norm|(^|[._])ln(_|\d|$|[._])|rms", name.lower()))


def is_formula(path: str, shape: tuple[int, ...]) -> bool:
    """Whether a parameter holds rotary frequencies or slopes of distances, by its name: no matrix of a projection."""
    return bool(_FORMULA.fullmatch(path.rpartition(".")[2])) and sum(side > 1 for side in shape) <= 1


def is_turned_off(path: str, parts: Mapping[str, Any]) -> bool:
    """Whether a bias is one that a flag of the part which stores it leaves out; `parts` by their paths."""
    owner, _, leaf = path.rpartition(".")
    flags = vars(parts[owner]).items() if owner in parts else ()
    return ("bias" in leaf or leaf == "b") and any(value is False and _FLAG.fullmatch(name) for name, value in flags)


def is_of_residual(name: str) -> bool:
    """Whether a name is that of a projection of the tokens in a residual connection."""
    return bool(_RESIDUAL.search(name))


def _strip(component: str) -> str:
    name = normalize(component)
    return re.sub(r"(weight|bias|kernel)$", "", name) or name


def bias_role(path: str) -> Role | None:
    """As `role_of`, for the name of a bias of its own, such as ``b_q`` or ``value_bias``."""
    head, _, last = path.rpartition(".")
    name = re.sub(r"^(bias|beta|b)_?|_?(bias|beta|b)$", "", last, flags=re.IGNORECASE)
    return role_of(f"{head}.{name}".strip(".")) if name and name != last else role_of(path)


def _part(name: str) -> str:
    for part, words in _FUSED.items():
        if re.fullmatch(f"{_BEFORE}(?:{words}){_AFTER}", name):
            return part
    for part, words in _PARTS.items():
        if re.fullmatch(f"{_BEFORE}(?:{words}){_AFTER}", name):
            return part
    return "o" if re.fullmatch(f"{_BEFORE}(?:{_OUTPUT}){_AFTER}", name) else ""


def _numbered(components: list[str]) -> tuple[str, int | None]:
    places = [i for i, component in enumerate(components) if component.isdigit()]
    if not places:
        return ".".join(components), None
    last = places[-1]
    return ".".join("*" if i == last else c for i, c in enumerate(components)), int(components[last])
