"""The line of a source at which a mistake probably is: where its operation is written."""

from __future__ import annotations

import ast
import itertools
import re

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.report.verdict import SourceLocation
from headwise.checker.user_code.source import class_members, last_name, nodes_in, parse

# how an operation is written, the surest way first; each is looked for in one statement at a time
OPERATIONS: dict[str, tuple[str, ...]] = {
    "projection": (r"@\s*\(?W|W\w*(\.T)?\s*@|(dot|matmul|einsum)\(.*W", r"\bW\w*\["),
    "logits": (
        r"[qQ]\w*\s*@\s*[kK]|[kK]\w*\s*@\s*[qQ]|(einsum|matmul|dot|inner)\(.*\b[qQkK]\w*\b.*\b[qQkK]\w*\b",
        r"@.*(\.T|swapaxes|transpose|\.mT)",
    ),
    "scale": (r"sqrt|\*\*\s*-?\(?0?\.5|\bscal\w*\s*=", r"[/*]\s*(d\w*\b|len\(|\w+\.shape)", r"@.*/"),
    "axis": (r"softmax\(.*(\b(axis|dim) ?=|, *-?\d)",),
    "values": (r"^(\w+ ?(: ?\w+ ?)?(, *\w+ ?)*)?\bv\w* ?(,[\w ,]+)?=[^=].*\b(W_?k|W_?K|[kK]ey|w_?k|[kK]\b)",),
    "softmax": (r"\bexp2?\(", r"softmax\(", r"\.sum\(|\.max\("),
    "mix": (
        r"@\s*[vVxX]\w*\b|(einsum|matmul|dot)\(.*\b[vVxX]\w*\b",
        r"\b([pPaA]|\w*(weights?|probs?|attn|attention|alphas?))\s*@",
    ),
    "split": (r"reshape|split\(|\.view\(|rearrange", r"\[[^\]]*:[^\]]*\]"),
    "merge": (r"concatenate|hstack|\.mean\(|merge|stack\(|\bcat\(", r"reshape|\.view\(|flatten|rearrange"),
    "group": (r"\btile\(|repeat", r"//|%"),
    "output": (r"W_?[oO]\w*|[oO]ut\w*proj",),
    "bias": (r"\+.*bias|bias\w*\s*\+", r"\bb_?[qkvo]\b|bias"),
    "fill": (r"where\(|fill\(|\[.*\]\s*=[^=]|[*+-]=?\s*\(?\w*mask|mask\w*\)?\s*[*+-]",),
    "mask": (r"where\(|\binf\b|tril|triu|1e\d+|mask\w*\]|fill|(&|\||~|\*|\+)\s*\w*mask", r"mask|visible"),
    "mask-product": (
        r"\*=?\s*\w*(mask|adj\w*|visible|keep|allowed|valid)|(mask|adj\w*|visible|keep|allowed|valid)\w*\s*\*",
    ),
    "causal": (r"tril|triu|causal|arange",),
    "window": (r"window|\bleft\b|\bright\b",),
    "align": (r"align|offset|\bstart\b|\bend\b",),
    "lengths": (r"length|\blens?\b",),
    "softcap": (r"tanh|softcap|\bcap\b",),
    "rope": (r"\bcos\b|\bsin\b|rot",),
    "positions": (r"\bsin\(|\bcos\(|pos|\barange\b",),
    "norm": (r"\.std\(|\.var\(|norm|eps",),
    "dropout": (r"random|rng|drop|bernoulli|binomial",),
    "dtype": (r"float32|float16|astype|dtype|half\(",),
    "inplace": (r"[-+*/@]=|\[[^\]]*\]\s*=[^=]|out=|fill_diagonal|copyto|putmask|\.sort\(",),
    "residual": (r"\+\s*[xXq]\b|[xX]\s*\+|\+=\s*[xX]\b",),
    "return": (r"^\s*return\b",),
}
_LAST = ("merge", "return")  # operations that come after others that are written in the same way


def find_locations(source: str, name: str, codes: tuple[str, ...]) -> tuple[SourceLocation, ...]:
    """Return for each mistake the line where its operation stands, if one is found."""
    functions = _statements(source, name) if codes else []
    locations = []
    for code in codes:
        patterns = [(operation, p) for operation in CATALOGUE[code].operations for p in OPERATIONS[operation]]
        places = (
            [place for place in statements if re.search(pattern, place[1])][-1 if operation in _LAST else 0]
            for operation, pattern in patterns
            for statements in functions
            if any(re.search(pattern, text) for _, text in statements)
        )
        locations += [SourceLocation(code, *place) for place in itertools.islice(places, 1)]
    return tuple(locations)


def _statements(source: str, name: str) -> list[list[tuple[int, str]]]:
    """The statements of a function, and of each of those of the same file that it uses: line and text."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return []
    functions = _functions(tree, name)
    waiting, reached = [name.rpartition(".")[2]], dict[str, ast.FunctionDef]()
    while waiting:
        one = waiting.pop(0)
        if one in functions and one not in reached:
            reached[one] = functions[one]
            waiting += [last_name(n) for n in nodes_in(functions[one]) if isinstance(n, ast.Name | ast.Attribute)]
    return [_lines(f, source) for f in reached.values()]


def _functions(tree: ast.Module, name: str) -> dict[str, ast.FunctionDef]:
    """The functions that a function or method may call, by name: of classes only those that its class mentions."""
    methods = class_members(tree, name)[1]
    if not methods:
        return {n.name: n for n in nodes_in(tree) if isinstance(n, ast.FunctionDef)}
    mentioned = {n.id for method in methods.values() for n in nodes_in(method) if isinstance(n, ast.Name)}
    others = [class_members(tree, f"{other}.")[1] for other in mentioned]
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    for one in (*others, methods):
        functions |= one
    return functions


def _lines(function: ast.FunctionDef, source: str) -> list[tuple[int, str]]:
    """Its statements, but those that only hold others, and docstrings."""
    text, statements = source.splitlines(), []
    for node in nodes_in(function):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and not docstring:
            lines = text[node.lineno - 1 : node.end_lineno]
            statements.append((node.lineno, " ".join(line.split("#")[0].strip() for line in lines)))
    return sorted(statements)
