"""Options that a function takes in ``**kwargs``, which its signature does not show."""

from __future__ import annotations

import re
from inspect import Parameter


def with_keyword_options(parameters: list[Parameter] | None, code: str) -> list[Parameter] | None:
    """The parameters, with those that the code looks up in ``**kwargs`` in its place, if it looks up any."""
    whole = next((p for p in parameters or [] if p.kind is p.VAR_KEYWORD), None)
    if parameters is None or whole is None:
        return parameters
    found = re.findall(rf"\b{whole.name}(?:\.get\(|\.pop\(|\[)\s*['\"](\w+)['\"]", code)
    names = dict.fromkeys(name for name in found if name not in {p.name for p in parameters})
    options = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names]
    return [p for p in parameters if p is not whole] + options if options else parameters
