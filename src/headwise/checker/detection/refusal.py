"""What to say about a function that cannot be called as attention: one cause, and an adapter to fill in."""

from __future__ import annotations

import inspect
from textwrap import shorten

from headwise.checker.arguments.roles import role_of
from headwise.errors import HeadwiseError


class UncallableError(HeadwiseError, TypeError):
    """A function that cannot be called as any kind of attention."""


class CheckError(HeadwiseError, RuntimeError):
    """A check that failed on what a function returns: a defect of the checker, not of the function."""


def refuse(
    name: str, kind: str, problems: list[str], attempts: dict[str, str], parameters: list[inspect.Parameter] | None
) -> UncallableError:
    """Return the error that names the likeliest cause and gives an adapter as a start."""
    cause = problems[0] if problems and not attempts else ""
    if not cause and attempts:
        how, error = next(iter(attempts.items()))
        cause = f"called as {how}, it {_ended(error)}"
    cause = cause or "its arguments are not those of attention"
    if problems and problems[0].startswith("unknown argument"):
        cause = problems[0]
    wanted = "attention" if kind == "auto" else kind
    text = (
        f"function: {name or 'it'} cannot be called as {wanted}: {cause}.\n"
        "Pass kind= or args= to state what its arguments are, or adapter= to make the call, starting from\n\n"
        f"{_skeleton(name, kind, parameters)}"
    )
    return UncallableError(text)


def _ended(error: str) -> str:
    return shorten(error, 160) if error.startswith("returned") else f"raised {shorten(error, 160)}"


def _skeleton(name: str, kind: str, parameters: list[inspect.Parameter] | None) -> str:
    """An adapter that calls the function, with every argument that is not understood left to fill in."""
    required = [p for p in parameters or [] if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    known = {p.name: role_of(p.name) for p in required}
    projected = kind == "attention" or {"q", "k", "v"} <= set(known.values())
    arguments = ["q", "k", "v"] if projected else ["X", "Wq", "Wk", "Wv"]
    if kind == "multi_head" or "heads" in known.values():
        arguments += ["Wo", "heads"] if "Wo" in known.values() else ["heads"]
    passed = ", ".join(
        f"{p.name}={known[p.name] if known[p.name] in arguments else '...'}" for p in required
    ) or ", ".join(arguments)
    layout = "q, k, v (B, H, N, d)" if projected else "X (B, N, D) or (N, D), matrices (out, in)"
    return f"    def adapter(function, {', '.join(arguments)}):  # {layout}\n        return function({passed})\n"
