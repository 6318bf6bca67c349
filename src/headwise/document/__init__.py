"""Documents of sections, tables, figures and derivations, written as HTML, Markdown and PDF."""
