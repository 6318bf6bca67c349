"""The explorer: one page on which a model's attention can be walked through, with nothing beside it."""

from headwise.explain.explorer.page import explorer_page, inline

__all__ = ["explorer_page", "inline"]
