"""Functions of the statements of a script: what is computed from tokens becomes what is returned for them."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from headwise.checker.arguments.products import factors_of
from headwise.checker.arguments.roles import role_of
from headwise.checker.calling.responses import as_array, bare
from headwise.checker.script.flow import (
    DEFINITIONS,
    PARTS,
    Flow,
    base_name,
    changed,
    have_same_numbers,
    is_layer,
    is_numbers,
    is_weight,
    loaded,
    owner,
)
from headwise.checker.script.one_query import for_each_token, is_of_one_in, of_one
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import last_name, nodes_in, parse

_MOST = 8  # outputs of a script that are tried


@dataclass(frozen=True)
class ScriptFunction:
    """An array that a script computes, as a function of the tokens; the matrices remain variables."""

    name: str  # of the array
    text: str  # of the script with the statements that compute the array in a function, each in its line
    sources: tuple[str, ...]  # the variables that it is computed from
    renamed: Mapping[str, str]  # the names of matrices in the function, where their own say nothing

    def define(self, module: ModuleType) -> Callable[..., Any]:
        """Define the function in the module of the script, and let `inspect` find its text."""
        file = f"{module.__file__}:{self.name}"
        for name in self.sources:
            array = as_array(vars(module)[name])
            is_typed = getattr(array, "dtype", None) == np.int64
            vars(module)[name] = array.astype(np.float64) if is_typed else array
        vars(module).update({new: vars(module)[old] for old, new in self.renamed.items()})
        tree = ast.parse(self.text, file)
        named = (self.name, of_one(self.name))
        nodes: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in named]
        before = vars(module).get(self.name)
        exec(compile(ast.Module(nodes, []), file, "exec"), vars(module))
        function: Callable[..., Any] = vars(module)[self.name]
        vars(module)[self.name] = before
        linecache.cache[file] = (len(self.text), None, self.text.splitlines(keepends=True), file)
        module.__file__ = file
        return function


def functions_of_script(text: str, values: Mapping[str, Any], with_softmax: bool = False) -> Iterator[ScriptFunction]:
    """The arrays that may be the outputs of attention, each as a function; `with_softmax` only those that take one.

    `values`: of the script's variables, once it has run.
    """
    lists = {name for name, value in values.items() if as_array(value) is not value}
    values = {name: as_array(value) for name, value in values.items()}
    tree = parse(text)
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    statements = [node for node in tree.body if not isinstance(node, DEFINITIONS)]
    flow = Flow(values, definitions)
    flow.run(statements)
    outputs = _outputs(flow)[:_MOST]
    for name in outputs:
        if is_of_one_in(values[name], [values[other] for other in outputs if other != name]):
            continue
        sources = {owner(source) for source in flow.sources_of(name)}
        tokens = [*_tokens(flow, sources, statements), *_unused_contexts(flow)]
        kept = _computing(flow, name, statements)
        if not tokens or not kept or ((with_softmax or len(sources) == 1) and not _has_softmax(kept, definitions)):
            continue
        call = getattr(kept[0], "value", None)
        if len(kept) == 1 and isinstance(call, ast.Call) and last_name(call.func) in definitions:
            continue  # an example of a function
        for_each = for_each_token(flow, name, tokens, kept)
        shape = np.shape(bare(values[tokens[0]]))  # the only one that the statements may take
        head = [
            f"def {of_one(name) if for_each else name}({', '.join(tokens)}):  # tokens of shape {shape}",
            *filter(None, (_as_listed(n, values[n], n in lists) for n in tokens)),
        ]
        function = _text(text, tree, head, kept, _as_rows(name, values[name]))
        if set(tokens) == sources:
            function = _with_own_width(function, tokens[0], values)
        renamed = _renamed(flow, sources - {*tokens})
        for old, new in renamed.items():
            function = re.sub(rf"(?<![\w.]){old}\b", new, function)
        if function and _is_python(function):
            yield ScriptFunction(name, function + for_each, tuple(sources), renamed)


def _outputs(flow: Flow) -> list[str]:
    """The first arrays that are computed from the most sources, up to the order of their numbers."""
    values = {name: flow.values.get(name) for name in flow.outside if name not in flow.sources}
    names = [name for name, value in values.items() if is_numbers(value) and not isinstance(value, dict)]
    of = {name: flow.sources_of(name) for name in names}
    most = [n for n in names if _are_enough(of[n]) and not any(of[n] < others for others in of.values())]
    found: list[str] = []
    mixed = set[str]()  # those that are mixtures of tokens
    for name in most:
        earlier = [other for other in found if other in flow.ancestors[name] and of[other] == of[name]]
        of_values = (other in mixed or "v" in flow.parts_of(other) for other in earlier[-1:])
        if not all(of_values) and flow.mixes(name, earlier[-1]):
            mixed.add(name)
        more = name in mixed or any(_are_heads(values[other]) and other in flow.reads[name] for other in earlier[-1:])
        more |= all(flow.parts_of(other) < flow.parts_of(name) for other in earlier)
        if len(of[name]) == 1:  # tokens that are queries, keys and values themselves
            more |= np.shape(bare(values[name])) == np.shape(bare(flow.values[next(iter(of[name]))]))
        if not (more or have_same_numbers(flow.values[earlier[-1]], flow.values[name])):
            continue
        replaced = earlier if more else earlier[-1:]
        found = [other for other in found if other not in replaced] + [name]
    return [name for name in found if name not in flow.parts]


def _are_heads(value: Any) -> bool:
    """Whether a value is a list of arrays with tokens, which something else puts together."""
    return isinstance(value, list) and all(np.ndim(bare(item)) > 1 and min(np.shape(bare(item))) > 1 for item in value)


def _are_enough(sources: Collection[str]) -> bool:
    """Whether attention can be computed from these: from tokens and a matrix at least, or from tokens alone."""
    return len(sources) > 1 or any(role_of(name) == "X" for name in sources)


def _tokens(flow: Flow, sources: set[str], statements: list[ast.stmt]) -> list[str]:
    """Which of the sources are tokens: by their names, and by what they are multiplied with."""
    if all(role_of(name) in PARTS for name in sources):
        return [name for name in flow.outside if name in sources]
    weights = {n for n in sources if is_weight(n) or isinstance(flow.values[n], dict) or is_layer(flow.values[n])}
    tokens = {name for name in sources - weights if role_of(name) in ("X", "context")}
    products = [pair & sources for pair in _products(flow, statements) if len(pair & sources) == 2]
    if not weights and not tokens and products:
        tokens = {max(sorted(sources), key=lambda name: sum(name in pair for pair in products))}
    for _ in sources:
        for pair in products:
            if len(pair & weights) == 1:
                tokens |= pair - weights
            elif len(pair & tokens) == 1:
                weights |= pair - tokens
    queries = {
        name for pair in products for name in pair - weights if any((role_of(n) or "")[:2] == "Wq" for n in pair)
    }
    return sorted((name for name in flow.outside if name in tokens), key=lambda name: name not in queries)


def _unused_contexts(flow: Flow) -> list[str]:
    """The tokens to attend to, by their names, from which nothing is computed."""
    used = frozenset[str]().union(*flow.ancestors.values())
    return [name for name in flow.outside if name in flow.sources and role_of(name) == "context" and name not in used]


def _products(flow: Flow, statements: list[ast.stmt]) -> list[frozenset[str]]:
    """The pairs of variables that are multiplied with each other, or of which one is called with the other."""
    pairs = []
    for node in (node for statement in statements for node in nodes_in(statement)):
        factors = [node.func, *node.args] if isinstance(node, ast.Call) else factors_of(node)
        names = {flow.loops.get(name, name) for name in map(base_name, factors)}
        pairs += [frozenset((a, b)) for a in names for b in names if a < b]
    return pairs


def _renamed(flow: Flow, weights: set[str]) -> dict[str, str]:
    """Names for the matrices whose own say nothing, by the queries, keys and values that are computed from each."""
    renamed = {}
    for name, role in flow.parts.items():
        own = {owner(source) for source in flow.sources_of(name)} & weights
        if len(own) == 1 and not is_weight(weight := own.pop()) and not isinstance(flow.values[weight], dict):
            renamed[weight] = f"W_{role}"
    new = [*renamed.values()]
    return renamed if len({*new}) == len(new) and not {*new} & {*flow.values} else {}


def _computing(flow: Flow, name: str, statements: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that compute an array from its sources."""
    needed, kept = {name}, []
    for statement in reversed(statements):
        if not changed(statement) & needed:
            continue
        kept.append(statement)
        replaced = isinstance(statement, ast.Assign) and all(
            isinstance(n, ast.Name) for target in statement.targets for n in getattr(target, "elts", [target])
        )
        if replaced:
            needed -= changed(statement)
        needed |= {n for n in loaded(statement) if n not in flow.sources and _is_computed(flow, n)}
    return kept[::-1]


def has_softmax(text: str, function: str = "") -> bool:
    """Whether a function of a file, or its statements outside functions, or what these call, takes a softmax.

    True if there is no such function.
    """
    body = parse(text).body
    definitions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    if not function:
        return _has_softmax([node for node in body if not isinstance(node, DEFINITIONS)], definitions)
    return function not in definitions or _has_softmax([definitions[function]], definitions)


def _has_softmax(statements: list[ast.stmt], definitions: Mapping[str, ast.stmt]) -> bool:
    """Whether some statements, or functions that they call, take exponentials or a softmax."""
    waiting, visited = [*statements], set[str]()
    while waiting:
        names = {last_name(node) for node in nodes_in(waiting.pop()) if isinstance(node, ast.expr)}
        if names & {"exp", "softmax"}:
            return True
        waiting += [definitions[name] for name in names & definitions.keys() - visited]
        visited |= names
    return False


def _as_listed(tokens: str, value: Any, of_lists: bool) -> str:
    """The statement that makes a list of the rows of an array: lists, vectors or columns, as in the script's list."""
    if of_lists:
        return f" {tokens} = {tokens}.tolist()"
    if not isinstance(value, list):
        return ""
    columns = ".reshape(-1, 1)" if np.ndim(bare(value[0])) == 2 else ""
    return f" {tokens} = [x{columns} for x in {tokens}]"


def _as_rows(output: str, value: Any) -> str:
    """The expression of an output, of whose vectors or columns in a list one array is made."""
    is_list = isinstance(value, list) and sum(side > 1 for side in np.shape(bare(value[0]))) <= 1
    return f'__import__("numpy").stack([x.reshape(-1) for x in {output}])' if is_list else output


def _with_own_width(text: str, queries: str, values: Mapping[str, Any]) -> str:
    """The text with the width of queries in place of a variable that is it, and of the number whose root is taken."""
    *others, width = np.shape(bare(values[queries]))
    roots = rf"(?<=sqrt\(){width}(\.0?)?(?=\))|(?<![\w.]){width}(\.0?)?(?=\s*\*\*)"
    names = [n for n, v in values.items() if isinstance(v, int) and v == width and width not in others]
    variables = [rf"(?<![\w.]){name}\b(?!\s*=[^=])" for name in names]
    return re.sub("|".join([roots, *variables]), f"{queries}.shape[-1]", text)


def _is_computed(flow: Flow, name: str) -> bool:
    """Whether a variable is computed from tokens or matrices or their sizes, or shows that a function is causal."""
    is_array = hasattr(flow.values.get(name), "shape")
    return bool(flow.sources_of(name) or name in flow.sizes | flow.triangles or (flow.ancestors.get(name) and is_array))


def _text(text: str, tree: ast.Module, head: list[str], kept: list[ast.stmt], result: str) -> str:
    """The script with these statements in a function, on the lines on which they are; empty if no lines are free.

    `head`: the lines with which the function begins.
    `result`: what it returns.
    """
    lines = text.splitlines()
    definitions = [node for node in tree.body if isinstance(node, DEFINITIONS)]
    taken = {line for node in definitions for line in range(node.lineno, _end(node) + 1)}
    taken |= {i for i, line in enumerate(lines, 1) if line.startswith("# %% cell")}
    first, last = kept[0].lineno, max(map(_end, kept))
    free = [i for i in range(1, first) if i not in taken][-len(head) :]
    if len(free) < len(head):
        return ""
    replaced = [node for node in tree.body if node.lineno < first and _end(node) >= free[0] and node not in definitions]
    begin = min([free[0], *(node.lineno for node in replaced)])
    written = {i: lines[i - 1] for i in range(1, first) if i < begin or i in taken}
    written |= dict(zip(free, head, strict=True))
    for node in tree.body:
        inside = node in definitions and free[0] < node.lineno < last
        if node in kept or inside:
            code = ast.get_source_segment(text, node) or ""
            for i, line in enumerate(code.splitlines(), node.lineno):
                separate = i == node.lineno and i in written and not inside  # from another statement in its line
                written[i] = f"{written[i]}; {line}" if separate else f" {line}"
    written[max(written) + 1] = f" return {result}"
    return "\n".join(written.get(i, "") for i in range(1, max(written) + 1)) + "\n"


def _is_python(text: str) -> bool:
    """Whether the statements fit into one function: those in the line of another may not."""
    try:
        parse(text)
    except SyntaxError:
        return False
    return True


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
