"""Other arguments for a class that is right so far: widths that differ, and options that are off by default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headwise.checker.arguments.settings import OTHERS, role_of_setting
from headwise.checker.modules.construct import arguments_of, has_groups, is_activation, settings_of
from headwise.checker.modules.frameworks import framework_of
from headwise.checker.modules.layer import documentation_of
from headwise.checker.user_code.execution import user_code

_OF_HEADS = {"width": 6, "values": 10}  # widths of one head
_WIDTHS = (24, 40, 48)  # for those that are as wide as the tokens by default
_OF_CAUSAL = re.compile(r"(use_?|with_?)?mask")  # flags that mean a causal one
_OFF = (None, False, 0, -1, (-1, -1))
_OPTIONS: dict[str, Any] = {"causal": True, "bias": True, "window": 4, "softcap": 5.0, "norm": True, "rope": True}
_RATIO = re.compile(r"(down_?sampl\w*|reduc\w*|expan\w*|attn|attention|qk|kv|inner|dim)_?(rate|ratio|factor)")
_NORM = re.compile(r"(use_?|with_?|apply_?)?((qk|query_?key)_?(layer_?|rms_?|l2_?)?(norm\w*|ln)|normali[sz]e_?qk)")
_ROPE = re.compile(r"(use_?|with_?|apply_?)?(rope|rotary)(_?(emb|pos|enc)\w*)?")
# names of options that may change what is computed; how is not known
_OTHER = re.compile(
    r"window|local|causal|mask|cap$|norm|rope|rotary|alibi|rel(ative)?_?pos|position|bias|sink|talking|gate|temperature|"
    r"scal(e|ing)|null|zero_attn|share|lambda|diff"
)
_NOT_OF_ATTENTION = re.compile(r"return|norm_layer|eps|init|drop|residual")


@dataclass(frozen=True, slots=True)
class Variant:
    """Arguments of a class: the sizes that names stand for, and values by name."""

    sizes: Mapping[str, int] | None
    arguments: Mapping[str, Any]

    def in_words(self, cls: type) -> str:
        """The call that makes the class, with the arguments that are numbers, flags or strings."""
        made = arguments_of(cls, self.arguments, self.sizes or {})
        shown = {name: made[name] for name in settings_of(cls) if isinstance(made.get(name), int | float | str | tuple)}
        return f"{cls.__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def other_sizes(cls: type) -> Iterator[Variant]:
    """Other sizes than usual: of widths that may differ all, each of them, and none."""
    usual = OTHERS | ({"key_heads": OTHERS["heads"] // 2} if has_groups(cls) else {})
    names = [name for name in settings_of(cls) if role_of_setting(name) == "model" and name in _made(cls, usual)]
    alone = [Variant({**usual, role: width}, {}) for role, width in _OF_HEADS.items()]
    unset = ((name, role_of_setting(name)) for name, default in settings_of(cls).items() if default is None)
    alone += [Variant(usual, {name: _OF_HEADS[role]}) for name, role in unset if role in _OF_HEADS]
    alone += [Variant(usual, {name: width}) for name, width in zip(names[1:], _WIDTHS, strict=False)]
    before = _shapes(cls, Variant(usual, {})) if _has_widths(cls, names) else None
    alone = [one for one in alone if before is not None and _shapes(cls, one) not in (None, before)]
    if len(alone) > 1:
        changes = [size for one in alone for size in (one.sizes or {}).items() if size not in usual.items()]
        yield Variant({**usual, **dict(changes)}, {k: v for one in alone for k, v in one.arguments.items()})
    yield from alone
    yield Variant(usual, {})


def _has_widths(cls: type, names: list[str]) -> bool:
    return len(names) > 1 or any(role_of_setting(name) in ("width", "values") for name in settings_of(cls))


def _made(cls: type, sizes: Mapping[str, int]) -> Mapping[str, Any]:
    return arguments_of(cls, {}, sizes)


def _shapes(cls: type, variant: Variant) -> list[tuple[int, ...]] | None:
    """The shapes of what a class learns; None if it cannot be made."""
    try:
        with user_code():
            instance = cls(**arguments_of(cls, variant.arguments, variant.sizes or {}))
        return [p.shape for p in framework_of(instance).layer(instance, cls.__name__, None).parameters]
    except Exception:  # whatever somebody's constructor raises
        return None


def options_off(cls: type, init: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options of a class that are off by default with what turns them on; and those for which this is not known."""
    known: dict[str, Any] = {}
    unknown: list[str] = []
    code = documentation_of(cls)
    for name, default in settings_of(cls).items():
        if type(default) in (int, float) and default == 1 and _RATIO.fullmatch(name.lower()) and name not in init:
            known[name] = 2 * default
            continue
        if is_activation(name, default) and name not in init:
            unknown.append(name)
        is_off = default is None or (type(default) in (bool, int, float, tuple) and default in _OFF)
        if name in init or not is_off or len(re.findall(rf"\b{name}\b", code)) < 2:
            continue
        role = _role_of_option(name)
        if role in _OPTIONS and (default is False or role in ("window", "softcap")):
            known[name] = (3, 2) if isinstance(default, tuple) else _OPTIONS[role]
        elif _OTHER.search(name.lower()) and not _NOT_OF_ATTENTION.search(name.lower()):
            unknown.append(name)
    return known, unknown


def _role_of_option(name: str) -> str:
    patterns = {"norm": _NORM, "rope": _ROPE, "causal": _OF_CAUSAL}
    by_name = (role for role, pattern in patterns.items() if pattern.fullmatch(name.lower()))
    return next(by_name, role_of_setting(name) or "")
