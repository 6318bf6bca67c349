"""``headwise serve``: interactive pages, served on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, MissingExtraError
from headwise.explanation import explore
from headwise.train.checkpoint import PRETRAINED, Checkpoint, load_vit, pretrained_vit

__all__ = ["serve"]


def serve(
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Parameters from `headwise train` in place of the pretrained models; may be repeated."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default one that only this machine can reach.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8421,
) -> None:
    """Serve interactive pages: draw a digit and see what models attend to; edit arrays and see their attention.

    Example: `headwise serve --port 8421`
    """
    try:
        from headwise import web
    except ModuleNotFoundError as error:
        raise MissingExtraError("headwise serve", str(error.name), "web") from None
    with web.listen(host, port) as listening:
        models = _load_models(model) if model else {name: pretrained_vit(name) for name in PRETRAINED}
        for checkpoint in models.values():  # so that the first request is as fast as the others
            explore(checkpoint, load_bundled_mnist().test.images[0]).content()
        if not web.is_loopback(host):
            messages.print(f"headwise: warning: others on the network can reach {host}, and there is no password.")
        messages.print(f"Headwise is at {web.address(host, listening)} (press Ctrl-C to stop).", soft_wrap=True)
        web.run(web.application(models, host), listening)
    messages.print("headwise: stopped.")
    os._exit(0)  # threads that still compute for dropped requests are not waited for


def _load_models(paths: Sequence[Path]) -> dict[str, Checkpoint]:
    """Load models by the names of their files, or of their folders if several files have the same name."""
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else path.resolve().parent.name for path in paths]
    if len(set(names)) < len(names):
        received = ", ".join(map(str, paths))
        raise DataError(f"--model: expected files or folders with different names; got {received}.")
    return {name: load_vit(path) for name, path in zip(names, paths, strict=True)}
