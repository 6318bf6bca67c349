"""What to say about a function that cannot be called as attention: one cause, and an adapter to fill in."""

from __future__ import annotations

import ast
import inspect
import re
from textwrap import shorten

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.roles import role_of
from headwise.checker.user_code.source import last_name, nodes_in, nodes_of
from headwise.errors import DataError, HeadwiseError

# These are errors of the code whatever the arguments; others may be due to the form in which a call passed them.
_OF_CODE = re.compile(
    r"(NameError|UnboundLocalError|ImportError|ModuleNotFoundError|NotImplementedError|AnswerError|SubmissionError"
    r"|returned None)\b"
)


# the decoders of Luong et al. (2015) and Bahdanau et al. (2015)
_OF_DECODER = re.compile(r"luong|bahdanau|\btanh\(|encoder_(outputs|hidden|states)", re.IGNORECASE)
_SCORES = (
    " Attention from given queries to given keys is checked with the scores q · k, q W k (Luong) and"
    " a · tanh(q U + k V) (Bahdanau; U and V are arguments of their own), and where it"
    " returns the mixture of the keys or values alone."
)

_LAYERS = {"Linear", "Dense", "Conv1d", "Conv2d", "MultiheadAttention", "MultiHeadAttention", "LazyLinear", "Parameter"}
_RANDOM = {"randn", "rand", "normal", "standard_normal", "random", "uniform", "random_normal", "xavier_uniform_"}
_MADE_ITSELF = (
    "makes its matrices itself in each call, with `{}`: a check passes others, for which there is no place. Make them"
    " arguments, or variables of the file."
)


class UncallableError(HeadwiseError, TypeError):
    """A function that cannot be called as any kind of attention.

    Attributes
    ----------
    called_as, error : str
        The likeliest call, and how it ended; empty if the function was not called.
    """

    called_as: str = ""
    error: str = ""


class CheckError(HeadwiseError, RuntimeError):
    """A check that failed on what a function returns: a defect of the checker, not of the function."""


def refuse(
    name: str,
    kind: str,
    problems: list[str],
    attempts: dict[str, str],
    parameters: list[inspect.Parameter] | None,
    documentation: Documentation | None = None,
) -> UncallableError:
    """Return the error that names the likeliest cause and gives an adapter as a start."""
    cause = problems[0] if problems and not attempts else ""
    how, error = min(attempts.items(), key=lambda item: _dependence_on_form(item[1]), default=("", ""))
    if not cause and error:
        cause = f"called as {how}, it {_ended(error)}"
    cause = cause or "its arguments are not those of attention"
    if not _OF_CODE.match(error) and documentation is not None and (statement := own_matrices(documentation)):
        return UncallableError(f"function: {name}: it {_MADE_ITSELF.format(shorten(statement, 100))}")
    if problems and problems[0].startswith("unknown argument"):
        cause = problems[0]
    wanted = "attention" if kind == "auto" else kind
    text = f"function: {name or 'it'} cannot be called as {wanted}: {cause}."
    if documentation is not None and _OF_DECODER.search(documentation.code + documentation.text):
        text += _SCORES
    if not _OF_CODE.match(error):
        text += (
            "\nPass kind= or args= to state what its arguments are, or adapter= to make the call, starting from\n\n"
            f"{_skeleton(name, kind, parameters)}"
        )
    refusal = UncallableError(text)
    refusal.called_as, refusal.error = how, error
    return refusal


def own_matrices(documentation: Documentation) -> str:
    """The statement in which a function makes layers or random matrices itself, in each call; empty without one."""
    for node in nodes_of(documentation.code):
        if isinstance(node, ast.Assign):
            names = {n.id for target in node.targets for n in nodes_in(target) if isinstance(n, ast.Name)}
            is_matrix = any((role_of(name) or "")[:1] == "W" for name in names)
            made = {last_name(n.func) for n in nodes_in(node.value) if isinstance(n, ast.Call)}
            if made & _LAYERS or (is_matrix and made & _RANDOM):
                return ast.unparse(node)
    return ""


def refuse_own_matrices(documentation: Documentation, explained: bool) -> None:
    """Raise DataError for a function that nothing explains and that makes its matrices itself."""
    if not explained and (statement := own_matrices(documentation)):
        raise DataError(f"{documentation.name}: it {_MADE_ITSELF.format(shorten(statement, 100))}")


def _dependence_on_form(error: str) -> int:
    """How likely an error is due to the form of the arguments, which is another one in the next attempt."""
    return 0 if _OF_CODE.match(error) else 2 if "values to unpack" in error else 1


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
