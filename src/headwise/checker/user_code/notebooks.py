"""The code of a notebook as plain Python text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

_CELL = re.compile(r"# %% cell (\d+)$")
# The magics whose cells are in another language. Those of profilers, formatters and others have Python in them.
_OTHER_LANGUAGES = re.compile(
    "(?:!|R|bash|bigquery|cmd|cython|file|html|javascript|js|julia|latex|markdown|perl|pypy|python2|ruby|script|sh|shell"
    "|sql|svg|sx|system|writefile)",
    re.IGNORECASE,
)
# What a shell understands without a sign before it
_COMMAND = re.compile(r"(?:pip3?|conda|mamba|cd|ls|cat|mkdir|matplotlib|load_ext)\s+[\w./~-]")


def notebook_code(text: str) -> tuple[str, list[str]]:
    """Return the code cells of a notebook as one text, each under a line with its number, and what was left out.

    An empty file is a notebook without cells. Raises ValueError, KeyError or TypeError if the text is not a notebook.
    """
    if not text.strip():
        return "", []
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None
    parts: list[str] = []
    notes: list[str] = []
    for number, cell in enumerate(_cells(content), 1):
        if cell["cell_type"] != "code":
            continue
        source = cell["source"] if "source" in cell else cell["input"]
        code = without_magics(source if isinstance(source, str) else "".join(source))
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else type(error).__name__
            notes.append(f"cell {number} is not Python ({why}) and was left out")
            continue
        parts += [f"# %% cell {number}", code]
    return "\n".join(parts) + "\n", notes


def _cells(content: Any) -> list[Any]:
    """The cells of a notebook of format 4; of format 3 they are in worksheets, and code is their input."""
    if isinstance(content, dict) and "cells" in content:
        return list(content["cells"])
    if isinstance(content, dict) and "worksheets" in content:
        return [cell for sheet in content["worksheets"] for cell in sheet["cells"]]
    raise ValueError("it has no cells, which a notebook has")


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


def without_magics(code: str) -> str:
    """A cell as plain Python, with as many lines: what only a notebook understands becomes ``pass``."""
    body = code.lstrip()
    if body.startswith("%%"):
        first, _, rest = body.partition("\n")
        magic, *arguments = first[2:].split() or [""]
        if _OTHER_LANGUAGES.fullmatch(magic) and not any(name.endswith(".py") for name in arguments):
            return ""
        return f"{code[: len(code) - len(body)]}# {first}\n{without_magics(rest)}"
    try:
        ast.parse(code)
    except SyntaxError:
        return "\n".join(_plain_lines(code))
    except (ValueError, RecursionError, MemoryError):
        pass
    return code


def _plain_lines(code: str) -> Iterator[str]:
    continued = False  # a command goes on after a backslash
    for line in code.split("\n"):
        plain = "" if continued else _plain_line(line)
        yield plain
        continued = line.rstrip().endswith("\\") and not plain.rstrip().endswith("\\")


def _plain_line(line: str) -> str:
    bare = line.strip()
    if match := re.match(r"(\s*)%(?:time|prun)\s+(\S.*)", line):
        return match[1] + match[2]
    if match := re.match(r"(\s*[A-Za-z_][\w, ]*=\s*)[%!]", line):
        return match[1] + "None"
    if bare.startswith(("%", "!", "?")) or (bare.endswith("?") and "#" not in bare) or _is_command(bare):
        return line[: len(line) - len(line.lstrip())] + "pass"
    return line


def _is_command(line: str) -> bool:
    """Whether a line is a command without a sign before it, as notebooks take it, and no Python."""
    if not _COMMAND.match(line):
        return False
    try:
        ast.parse(line)
    except SyntaxError:
        return True
    return False
