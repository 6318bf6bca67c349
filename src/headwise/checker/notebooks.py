"""The code of a notebook as plain Python text."""

from __future__ import annotations

import ast
import json
import re

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
