"""``headwise explain``: captioned figures of what a model attends to in one digit."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages, output
from headwise.cli.explanations import FIGURE, TOKEN, output_folder, print_json, save
from headwise.explanation import FaithfulnessTest
from headwise.explanation import explain as explain_image
from headwise.figures import FIGURES, CaptionedFigure
from headwise.train.checkpoint import load_vit, pretrained_vit

__all__ = ["explain"]


def explain(
    digit: Annotated[Path, typer.Argument(help="An image of a handwritten digit, of any size.", show_default=False)],
    model: Annotated[
        Path | None, typer.Option(help="Parameters from `headwise train`; by default a pretrained model.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for figures, arrays and captions; by default DIGIT-attention next to the image."),
    ] = None,
    label: Annotated[
        int | None, typer.Option(min=0, help="The true digit, if it is known.", show_default=False)
    ] = None,
    figure: Annotated[str, typer.Option(help=FIGURE)] = "maps",
    token: Annotated[int | None, typer.Option(help=TOKEN, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print probabilities, captions and files as JSON.")] = False,
) -> None:
    """Draw and caption what a vision transformer attends to in one digit, and test how faithful the figures are.

    Example: `headwise explain digit.png --out explained --figure all`
    """
    checkpoint = load_vit(model) if model else pretrained_vit()
    folder = output_folder(digit, out)
    explanation = explain_image(
        checkpoint, digit, figure=figure, token=token, label=-1 if label is None else label, test=as_json
    )
    if as_json:
        probabilities = [round(float(p), 6) for p in explanation.record.probabilities]
        print_json(explanation, folder, {"probabilities": probabilities, "prepared": explanation.preparation})
        return
    # captions first: the test and the files take longer than everything before
    test = explanation.test
    figures = [_print_and_test(f, test) for f in explanation.figures] if test else explanation.figures
    output.print(f"The image: {explanation.preparation}.")
    save(replace(explanation, figures=tuple(figures)), folder)


def _print_and_test(figure: CaptionedFigure, test: FaithfulnessTest) -> CaptionedFigure:
    """Print the caption, its last part when the test is done; all of it then, if the figure shows the test."""
    printed = 0
    if not FIGURES[figure.kind].needs_test:
        paragraphs = figure.caption.paragraphs()[:-1]
        output.print("\n\n".join(paragraphs) + "\n", markup=False)
        printed = len(paragraphs)
    start = time.perf_counter()
    with messages.status("testing faithfulness …"):
        tested = test.apply(figure)
    duration = "" if figure.ranking is None else f" (Tested in {time.perf_counter() - start:.1f} s.)"
    output.print("\n\n".join(tested.caption.paragraphs()[printed:]) + f"{duration}\n", markup=False)
    return tested
