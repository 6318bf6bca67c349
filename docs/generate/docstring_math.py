"""Formulae of docstrings, which numpydoc writes in reStructuredText, as those of Markdown."""

import re
from textwrap import dedent

import griffe

_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<first>.*)\n(?P<rest>(?:(?P=indent) +\S.*\n?|\n(?=(?P=indent) +\S))*)", re.M
)
_INLINE = re.compile(r":math:`([^`]*)`")


class DocstringMath(griffe.Extension):
    """Turns ``.. math::`` and ``:math:`` into formulae between dollar signs."""

    def on_instance(self, *, obj, **kwargs):
        """Convert the docstring of every object that is read."""
        if obj.docstring is not None:
            text = _BLOCK.sub(_block, obj.docstring.value + "\n")
            obj.docstring.value = _INLINE.sub(r"$\1$", text).rstrip("\n")


def _block(match):
    formula = " ".join(f"{match['first']} {dedent(match['rest'])}".split())
    return f"{match['indent']}$${formula}$$\n\n"
