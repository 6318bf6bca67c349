"""Documents of sections, tables, figures and derivations, written as HTML, Markdown and PDF."""

from headwise.document.blocks import (
    BACKLINK_LABEL,
    Block,
    Code,
    Derivation,
    Document,
    FigureBlock,
    Paragraph,
    Section,
    Step,
    Table,
)
from headwise.document.html import render_template
from headwise.document.markdown import as_markdown_page, as_markdown_table
from headwise.document.pdf import browser, print_page

__all__ = [
    "BACKLINK_LABEL",
    "Block",
    "Code",
    "Derivation",
    "Document",
    "FigureBlock",
    "Paragraph",
    "Section",
    "Step",
    "Table",
    "as_markdown_page",
    "as_markdown_table",
    "browser",
    "print_page",
    "render_template",
]
