"""The report's first part: multi-head self-attention on arrays small enough to print.

The sections, in order: the functions, the arrays, the runs, swapped inputs, why head counts differ, expressiveness.
"""

from __future__ import annotations

import numpy as np

from headwise.coursework.expressiveness.study import Expressiveness, expressiveness
from headwise.coursework.report.attention.definitions import arrays_section, functions_section
from headwise.coursework.report.attention.expressive import expressiveness_section, setting_of
from headwise.coursework.report.attention.head_count import head_count_section
from headwise.coursework.report.attention.outputs import outputs_section
from headwise.coursework.report.attention.permutation import permutation_section
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.results import Coursework, coursework, max_relative_difference
from headwise.document import Section
from headwise.experiments.results_cache import cached_result
from headwise.files import atomic_write
from headwise.hashing import fingerprint
from headwise.text import Statement, scientific

__all__ = ["attention_chapter"]

_FITS = 4  # each family to itself and to the other


def attention_chapter(desk: ReportContext) -> Chapter:
    """Run the coursework and the fits, and write them up."""
    desk.progress.stage("attention on the coursework's arrays", 1)
    study = coursework(desk.arrays, seed=desk.effort.seed)  # refuses arrays that do not fit, before anything is written
    with atomic_write(desk.folder / "arrays" / "coursework.npz") as beside:
        np.savez(beside, allow_pickle=False, **study.arrays)
    sections = [
        functions_section(study),
        arrays_section(study, desk),
        outputs_section(study, desk),
        permutation_section(study),
        head_count_section(study),
    ]
    desk.progress.advance()
    families = _families(study, desk)
    sections.append(expressiveness_section(families, study, desk))
    return Chapter(
        Section("attention", "Computer assignment: multi-head self-attention", sections=tuple(sections), number="1"),
        (_headline(study),),
        (
            ("coursework arrays", desk.arrays_name),
            ("coursework arrays, SHA-256", fingerprint(*study.arrays.values())),
            ("fits of one family to the other", f"seed {families.seed}, {families.starts} starts each"),
        ),
    )


def _families(study: Coursework, desk: ReportContext) -> Expressiveness:
    effort, setting = desk.effort, setting_of(study)
    asked = {"targets": effort.targets, "starts": effort.starts, "steps": effort.steps, "seed": effort.seed}
    desk.progress.stage("one head or several, fitted to each other", _FITS)
    return Expressiveness.from_json(
        cached_result(
            desk.folder / "studies" / "expressiveness.json",
            {**asked, "setting": setting},
            lambda: expressiveness(setting, **asked, on_fit=desk.progress.advance).to_json(),
        )
    )


def _headline(study: Coursework) -> Statement:
    few, many = study.runs[0], study.runs[-1]
    furthest = float(np.abs(few.given.output - many.given.output).max())
    outcome = (
        "differ by up to {furthest:.4g} though the matrices are the same"
        if max_relative_difference(few.given.output, many.given.output) > study.rounding
        else "agree"
    )
    return Statement(
        "On the coursework's arrays, the outputs for H = {few} and H = {many} " + outcome + "; permuted inputs give "
        "permuted outputs to within {moved} of the largest, over {permutations} permutations.",
        {
            "few": few.heads,
            "many": many.heads,
            "furthest": furthest,
            "moved": scientific(max(run.moved.output for run in study.runs)),
            "permutations": study.permutations,
        },
    )
