"""Arguments in other forms: several in one, as ``batch["x"]`` or ``x, mask = inputs``, and masks that are objects."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from headwise.checker.arguments.documentation import document
from headwise.checker.modules.layer import Layer


def with_separate_entries(layer: Layer) -> Layer:
    """The layer with an argument for each entry of a dictionary or tuple, if its code takes one apart."""
    signature = inspect.signature(layer.forward)
    required = [p.name for p in signature.parameters.values() if p.default is p.empty]
    if len(required) != 1:
        return layer
    name, code = required[0], document(layer.forward, layer.source, layer.function).code
    indents = sorted({len(line) - len(line.lstrip()) for line in code.splitlines() if line.strip()})
    always = rf"^ {{{indents[1]}}}" if len(indents) > 1 else "^ *"  # not what it unpacks only if it is a tuple
    unpacked = re.search(rf"{always}\(?(\w+(?:, *\w+)+)\)? *= *{name} *(?:#.*)?$", code, re.MULTILINE)
    optional = {*re.findall(rf"\b{name}\.(?:get|pop)\(\s*[\"'](\w+)", code)}
    optional |= {*re.findall(rf"[\"'](\w+)[\"'] +(?:not +)?in +{name}\b", code)}
    looked_up = dict.fromkeys(re.findall(rf"\b{name}(?:\[|\.get\(|\.pop\()\s*[\"'](\w+)", code))
    entries = re.split(", *", unpacked[1]) if unpacked else sorted(looked_up, key=optional.__contains__)
    if not entries or {*entries} & signature.parameters.keys() - {name}:
        return layer
    kinds = inspect.Parameter
    separate = [
        kinds(entry, kinds.POSITIONAL_OR_KEYWORD, default=None if entry in optional else kinds.empty)
        for entry in entries
    ]
    others = [p.replace(kind=kinds.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != name]
    outer = signature.replace(parameters=[*separate, *others])

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        arguments = dict(outer.bind(*args, **kwargs).arguments)
        values = {entry: arguments.pop(entry) for entry in entries if entry in arguments}
        given = {entry: value for entry, value in values.items() if value is not None or entry not in optional}
        return layer.forward(**{name: tuple(values.values()) if unpacked else given}, **arguments)

    vars(forward)["__signature__"] = outer
    return replace(layer, forward=forward)


def with_mask_arrays(layer: Layer) -> Layer:
    """The layer with arrays in place of objects with an attribute `mask`, such as Informer's TriangularCausalMask."""
    signature = inspect.signature(layer.forward)
    names = [name for name in signature.parameters if re.search(rf"\b{name}\.mask\b", layer.documentation)]
    if not names:
        return layer

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        passed = signature.bind(*args, **kwargs).arguments
        objects = {name: SimpleNamespace(mask=passed[name]) for name in names if passed.get(name) is not None}
        return layer.forward(**{**passed, **objects})

    return replace(layer, forward=forward)
