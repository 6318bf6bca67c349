"""The code of a notebook as plain Python text."""

from __future__ import annotations

import ast
import json
import re

_CELL = re.compile(r"# %% cell (\d+)$")
_CELLS_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%python", "%%python3", "%%prun")


def notebook_code(text: str) -> tuple[str, list[str]]:
    """Return the code cells of a notebook as one text, each under a line with its number, and what was left out.

    Raises ValueError, KeyError or TypeError if the text is not a notebook.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None
    parts: list[str] = []
    notes: list[str] = []
    if not isinstance(content, dict) or "cells" not in content:
        raise ValueError("it has no cells, which a notebook of format 4 has")
    for number, cell in enumerate(content["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        source = cell["source"]
        code = _without_magics(source if isinstance(source, str) else "".join(source))
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else type(error).__name__
            notes.append(f"cell {number} is not Python ({why}) and was left out")
            continue
        parts += [f"# %% cell {number}", code]
    return "\n".join(parts) + "\n", notes


def name_cells(source: str, text: str) -> str:
    r"""A text about the code of a notebook, with lines of its cells instead of lines of all of them in one.

    Examples
    --------
    >>> name_cells("# %% cell 2\na = 1\n# %% cell 4\nb = 2\nc = 3", "probably line 5: c = 3")
    'probably cell 4, line 2: c = 3'
    """
    if not _CELL.match(source.partition("\n")[0]):
        return text

    def in_cell(match: re.Match[str]) -> str:
        cell, line = place_in_cells(source, int(match[1]))
        return f"cell {cell}, line {line}"

    return re.sub(r"\bline (\d+)\b", in_cell, text)


def place_in_cells(source: str, line: int) -> tuple[int, int]:
    """The cell of a line of the source, and the line in the cell."""
    starts = [(i, int(match[1])) for i, text in enumerate(source.splitlines(), 1) if (match := _CELL.match(text))]
    return next(((cell, line - start) for start, cell in reversed(starts) if start <= line), (1, line))


def _without_magics(code: str) -> str:
    """A cell as plain Python, with as many lines: what only a notebook understands becomes ``pass``."""
    if code.lstrip().startswith("%%"):
        first, _, rest = code.lstrip().partition("\n")
        return f"# {first}\n{rest}" if first.split()[0] in _CELLS_OF_PYTHON else ""
    try:
        ast.parse(code)
    except SyntaxError:
        return "\n".join(map(_plain_line, code.split("\n")))
    except (ValueError, RecursionError, MemoryError):
        pass
    return code


def _plain_line(line: str) -> str:
    bare = line.strip()
    if match := re.match(r"(\s*)%(?:time|prun)\s+(\S.*)", line):
        return match[1] + match[2]
    if match := re.match(r"(\s*[A-Za-z_][\w, ]*=\s*)[%!]", line):
        return match[1] + "None"
    if bare.startswith(("%", "!", "?")) or (bare.endswith("?") and "#" not in bare):
        return line[: len(line) - len(line.lstrip())] + "pass"
    return line
