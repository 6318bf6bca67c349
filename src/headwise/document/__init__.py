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
    Widget,
)
from headwise.document.html import render_template
from headwise.document.latex import as_latex_document
from headwise.document.markdown import as_markdown_page, as_markdown_table
from headwise.document.notebook import NotebookCell, markdown_cells, notebook_json
from headwise.document.pdf import browser, print_page

__all__ = [
    "BACKLINK_LABEL",
    "Block",
    "Code",
    "Derivation",
    "Document",
    "FigureBlock",
    "NotebookCell",
    "Paragraph",
    "Section",
    "Step",
    "Table",
    "Widget",
    "as_latex_document",
    "as_markdown_page",
    "as_markdown_table",
    "browser",
    "markdown_cells",
    "notebook_json",
    "print_page",
    "render_template",
]
