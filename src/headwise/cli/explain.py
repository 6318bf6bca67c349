"""``headwise explain``: captioned figures of what any model attends to in one input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages, output
from headwise.cli.explanations import AllHeads, Figure, Full, Scale, Token, output_folder, print_json, save
from headwise.cli.inputs import Layers, Model, Preprocess, Size, Text, Tokenizer, image_preprocessor, read_input
from headwise.errors import DataError
from headwise.explanation import explain as explain_input
from headwise.train.checkpoint import pretrained_vit


def explain(
    input: Annotated[
        str | None, typer.Argument(help="An image, an .npz or .npy file of arrays, a text file, or a text.")
    ] = None,
    model: Model = None,
    text: Text = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures, arrays and captions; by default INPUT-attention.")
    ] = None,
    label: Annotated[int | None, typer.Option(min=0, help="The true class, if it is known.")] = None,
    figure: Figure = "auto",
    token: Token = None,
    scale: Scale = "auto",
    all_heads: AllHeads = False,
    layers: Layers = "self",
    merge_words: Annotated[bool, typer.Option("--merge-words", help="Merge the pieces of words.")] = False,
    preprocess: Preprocess = None,
    size: Size = 224,
    tokenizer: Tokenizer = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            help="Result of `headwise study faithfulness` for this model (its folder or result.json), whose map is "
            "shown next to attention."
        ),
    ] = None,
    full: Full = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print probabilities, captions and files as JSON.")] = False,
) -> None:
    """Draw and caption what a model attends to in one input, and test how faithful the figures are.

    Example: `headwise explain digit.png --out explained --figure all`
    """
    if text and model is None:
        raise DataError("--text: expected --model as well; the default model takes images of handwritten digits.")
    value, source = read_input(input, text)
    with output_folder(source, out) as folder:
        with messages.status("running the model and testing the figures …"):
            explanation = explain_input(
                model or pretrained_vit(),
                value,
                figure=figure,
                token=token,
                label=-1 if label is None else label,
                scale=scale,
                all_heads=all_heads,
                layers=layers,
                merge_words=merge_words,
                tokenizer=tokenizer,
                preprocess=image_preprocessor(preprocess, size),
                audit=audit,
            )
        if explanation.untested:
            messages.print(f"headwise: faithfulness is not tested: {explanation.untested}", soft_wrap=True)
        if as_json:
            probabilities = [round(float(p), 6) for p in explanation.record.probabilities]
            print_json(explanation, folder, {"probabilities": probabilities, "prepared": explanation.preparation})
            return
        output.print(explanation.text(full=full) + "\n")
        for kind, reason in explanation.missing.items():
            messages.print(f"headwise: no figure {kind}: {reason}", soft_wrap=True)
        if explanation.preparation:
            output.print(f"The image: {explanation.preparation}.")
        save(explanation, folder)
