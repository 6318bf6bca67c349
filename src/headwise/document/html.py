"""HTML pages from Jinja templates; all of them extend ``base.html``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from headwise.figures import colors
from headwise.text import Statement, as_html

_BEFORE_PUNCTUATION = re.compile(r"<math\b(?:(?!</math>).)*</math>[.,;:)]+", re.DOTALL)


def render_template(package: str, name: str, **context: Any) -> str:
    """Render a template of a package's folder ``templates``, with autoescaping.

    Templates have the filters ``statement`` (a `Statement`, or plain text) and ``mathml`` (LaTeX), and the palette of
    the figures as ``colors``.

    Parameters
    ----------
    package : str
        Such as ``"headwise.document"``.
    name : str
        The template's file name.
    **context
        The template's variables.
    """
    return _environment(package).get_template(name).render(colors=colors, **context) + "\n"


@lru_cache
def _environment(package: str) -> Environment:
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("headwise.document")])
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader
    )
    environment.filters["statement"] = _statement
    environment.filters["mathml"] = lambda tex: Markup(convert(tex, display="block"))
    return environment


def _statement(text: Statement | str) -> Markup:
    """A statement in which no line breaks between a formula and the punctuation after it."""
    if not isinstance(text, Statement):
        return escape(text)
    return Markup(_BEFORE_PUNCTUATION.sub(r'<span class="together">\g<0></span>', as_html(text)))
