"""The sizes of blocks that a function may be given: blocks of one token show the most, and need not be supported."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.roles_in_code import is_step
from headwise.checker.arguments.signatures import signature_of, with_signature
from headwise.checker.search.findings import Findings


def in_small_blocks(
    function: Callable[..., Any], documentation: Documentation, find: Callable[..., Findings]
) -> Findings:
    """The findings with blocks of one token; with those of their usual size if these are right and nothing explains it.

    `find` makes the findings of a function, with so many mistakes at most.
    """
    code = documentation.code_with_helpers
    optional = [p.name for p in signature_of(function) or () if isinstance(p.default, int) and p.default > 1]
    sizes = [name for name in optional if role_of(name) is None and is_step(name, code)]
    if not sizes:
        return find(function)
    signature = inspect.signature(function)
    others = [p for p in signature.parameters.values() if p.name not in sizes]
    usual = find(with_signature(function, signature.replace(parameters=others)))
    named = usual.rank[0] - usual.unexplained
    small = find(function) if named else find(function, 2)
    if usual.explanation is None or small.explanation is not None:
        return small
    return usual.with_untested(f"{' and '.join(f'{name}=1' for name in sizes)} (it gives other outputs)")
