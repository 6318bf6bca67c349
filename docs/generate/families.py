"""The page of the model families that `headwise.load` knows, from their modules."""

from importlib import import_module

from headwise.models import FAMILIES


def families_page():
    """Markdown with a row for each family."""
    lines = [
        "# Model families",
        "",
        "What [`headwise.load`](../models.md) recognises, by the `model_type` of a folder's config.json. This page "
        "is generated from the modules in `headwise.models.families`.",
        "",
        "| family | `model_type` | what it is |",
        "|---|---|---|",
    ]
    for name in FAMILIES:
        module = import_module(f"headwise.models.families.{name}")
        types = ", ".join(f"`{kind}`" for kind in module.MODEL_TYPES) or "–"
        title, *paragraphs = (" ".join(part.split()) for part in (module.__doc__ or "").split("\n\n"))
        source = next((part for part in paragraphs if part.startswith("Source")), "")
        lines.append(f"| `{name}` | {types} | {title} {source} |")
    return "\n".join(lines)
