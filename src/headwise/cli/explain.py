"""``headwise explain``: the captioned picture of what a model attends to in one digit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages, output
from headwise.data.image_files import load_digit
from headwise.errors import DataError
from headwise.explain.explanation import FaithfulnessTest, record_attention
from headwise.figures.gallery import FIGURES, CaptionedFigure, select_figures
from headwise.text.statement import as_text
from headwise.train.checkpoint import load_vit, pretrained_vit

__all__ = ["explain", "folder_for", "save_all"]

FIGURE = f"Which figure: {', '.join(FIGURES)}, or all."
TOKEN = "One token's view instead: 1 for the first in reading order, 0 for the class token."


def explain(
    digit: Annotated[Path, typer.Argument(help="An image of a handwritten digit, of any size.", show_default=False)],
    model: Annotated[
        Path | None, typer.Option(help="Weights from `headwise train`; by default those that ship.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures, arrays and captions; by default DIGIT-attention beside the image."),
    ] = None,
    label: Annotated[int, typer.Option(help="The true digit, if it is known.", show_default=False)] = -1,
    figure: Annotated[str, typer.Option(help=FIGURE)] = "maps",
    token: Annotated[int | None, typer.Option(help=TOKEN, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print probabilities, statements and files as JSON.")] = False,
) -> None:
    """Draw and caption what a vision transformer attends to in one digit, and test how far that can be believed.

    Example: `headwise explain digit.png --out explained --figure all`
    """
    saved = load_vit(model) if model else pretrained_vit()
    picture = load_digit(digit)
    if not -1 <= label < saved.config.n_classes:
        raise DataError(f"--label: expected 0 to {saved.config.n_classes - 1}; got {label}.")
    folder = folder_for(digit, out)
    figures = select_figures(
        record_attention(picture.image, saved.params, saved.config, label=label), figure, token, testable=True
    )
    trial = FaithfulnessTest(picture.image, saved.params, saved.config)
    if as_json:
        figures = [trial.tested(captioned) for captioned in figures]
        told: dict[str, object] = {
            "probabilities": [round(float(p), 6) for p in figures[0].drawn.probabilities],
            "prepared": picture.preparation,
        }
        print_json(told, figures, folder)
        return
    # the answer first: the test and the files take longer than all that went before
    for i, captioned in enumerate(figures):
        figures[i] = _told(captioned, trial)
    output.print(f"The image: {picture.preparation}.")
    save_all(figures, folder)


def folder_for(source: Path, out: Path | None) -> Path:
    """Where the files go: `out`, or a folder beside the source."""
    folder = out or source.with_name(f"{source.stem}-attention")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out: {folder} is a file; name a folder.")
    return folder


def save_all(figures: Sequence[CaptionedFigure], folder: Path) -> None:
    """Write every figure with its arrays and caption, and say where."""
    for captioned in figures:
        captioned.save(folder / captioned.name)
    output.print(f"Pictures, arrays and captions are in {folder}.", soft_wrap=True, markup=False)


def print_json(told: dict[str, object], figures: Sequence[CaptionedFigure], folder: Path) -> None:
    """Save everything, and print it as JSON."""
    captions = [part for captioned in figures for part in captioned.caption.parts.values()]
    told["caption"] = [as_text(statement) for part in captions for statement in part]
    told["alternative"] = [captioned.caption.alt() for captioned in figures]
    told["files"] = [str(path) for captioned in figures for path in captioned.save(folder / captioned.name)]
    print(json.dumps(told, ensure_ascii=False))


def _told(captioned: CaptionedFigure, trial: FaithfulnessTest) -> CaptionedFigure:
    """Print the caption, the last part of it when the test is done; all of it then, if the curves are what is drawn."""
    said = 0
    if captioned.figure != "deletion":
        first = captioned.caption.paragraphs()[:-1]
        output.print("\n\n".join(first) + "\n", markup=False)
        said = len(first)
    began = time.perf_counter()
    with messages.status("taking tokens away …"):
        tested = trial.tested(captioned)
    took = "" if captioned.ranks is None else f" (Tested in {time.perf_counter() - began:.1f} s.)"
    output.print("\n\n".join(tested.caption.paragraphs()[said:]) + f"{took}\n", markup=False)
    return tested
