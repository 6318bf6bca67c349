"""The reference of the API: one page for each package, from the names that it exports."""

import inspect
import pkgutil
from functools import cache
from importlib import import_module

import headwise

MODULES = ("errors", "testing", "installation")  # documented like packages
INTERFACES = ("cli", "web")  # they are used, not called


@cache
def api_pages():
    """Markdown by path of the page."""
    packages = [module.name for module in pkgutil.iter_modules(headwise.__path__) if module.ispkg]
    names = [f"headwise.{name}" for name in (*packages, *MODULES) if name not in INTERFACES]
    exporting = [name for name in names if hasattr(import_module(name), "__all__")]
    return {f"reference/api/{name}.md": _page(name) for name in ("headwise", *exporting)}


def _page(name):
    module = import_module(name)
    members = {member: getattr(module, member) for member in module.__all__ if not member.startswith("__")}
    defined = inspect.isclass, inspect.isfunction
    constants = [member for member, value in members.items() if not any(is_a(value) for is_a in defined)]
    lines = [f"# {name}", "", (module.__doc__ or "").strip(), ""]
    for member in members:
        if member not in constants:
            # by the place of its definition: a function can have the name of its module
            lines += [f"::: {members[member].__module__}.{members[member].__qualname__}", ""]
    if constants:
        lines += ["## Constants and types", "", ", ".join(f"`{member}`" for member in constants)]
    return "\n".join(lines)
