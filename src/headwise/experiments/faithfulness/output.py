"""What an audit leaves in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from headwise.document import as_markdown_page
from headwise.experiments.faithfulness.findings import findings
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, KINDS
from headwise.experiments.faithfulness.plots import draw_curves, draw_gains, draw_sanity
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.result import MEASURES, Audit
from headwise.experiments.faithfulness.result_tables import records, tables
from headwise.figures import save_figure
from headwise.files import write_text
from headwise.models.token_ablation import ABLATIONS

__all__ = ["figures", "save"]


def save(audit: Audit, folder: Path) -> list[Path]:
    """Write ``audit.json``, ``findings.md``, the tables as CSV, and the figures as PNG, SVG and PDF."""
    made = tables(audit)
    written = [folder / "audit.json", folder / "findings.md"]
    write_text(written[0], json.dumps(audit.to_json()) + "\n")
    write_text(written[1], as_markdown_page("Attention maps audited", findings(audit), made))
    for table in (*made, *records(audit)):
        written.append(folder / "tables" / f"{table.name}.csv")
        write_text(written[-1], table.csv())
    for name, figure in figures(audit).items():
        written += save_figure(figure, folder / "figures" / name)
    return written


def figures(audit: Audit) -> dict[str, Figure]:
    """Every figure by its name."""
    games, ranks = audit.gains[..., :-1], audit.gains[..., -1]
    by_measure = games.reshape(*games.shape[:-1], len(ABLATIONS), len(MEASURES))  # (3, kinds, missing, measures)
    gains = {measure: by_measure[..., j] for j, measure in enumerate(MEASURES)}
    return {
        "gains": draw_gains(KINDS, tuple(ABLATIONS), gains, ranks),
        "curves": draw_curves((*KINDS, CHANCE), tuple(ABLATIONS), audit.curves.mean(axis=0)),
        "sanity": draw_sanity(tuple(MAPS), ("trained", *randomization_stages(audit.model)), audit.survivals),
    }
