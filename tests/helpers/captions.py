"""Captions as tests read them: all statements, all values, and one sentence per line for snapshots."""

from headwise.text import as_text


def all_statements(caption):
    return [caption.title, *(s for part in caption.parts.values() for s in part), *caption.alternative]


def all_values(caption):
    return {name: value for s in all_statements(caption) for name, value in s.values.items()}


def caption_lines(caption):
    """The caption with one sentence per line, so that a change of one sentence is a change of one line."""
    lines = [f"# {as_text(caption.title)}"]
    for heading, part in {**caption.parts, "Alternative text": caption.alternative}.items():
        lines += ["", f"## {heading}", *map(as_text, part)]
    return "\n".join(lines) + "\n"
