"""Statements (a template and its values), formulae, and their rendering as text, Markdown, LaTeX and HTML."""
