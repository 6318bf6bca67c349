"""``headwise serve``: the live pages, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, MissingExtraError
from headwise.explain.explorer_data import explore
from headwise.train.checkpoint import PRETRAINED, Checkpoint, load_vit, pretrained_vit

__all__ = ["serve"]


def serve(
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Weights from `headwise train`, instead of those that ship; may be given more than once."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default only this machine is answered.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8421,
) -> None:
    """Serve live pages: draw a digit and see what models attend to in it; change arrays and see attention follow.

    Example: `headwise serve --port 8421`
    """
    try:
        from headwise.web import app, server
    except ModuleNotFoundError as error:
        raise MissingExtraError("headwise serve", str(error.name), "web") from None
    with server.listen(host, port) as listening:
        models = _loaded(model) if model else {name: pretrained_vit(name) for name in PRETRAINED}
        for saved in models.values():  # so that the first drawing is answered as quickly as any
            explore(load_bundled_mnist().test.images[:1], saved.params, saved.config).content()
        if not server.is_loopback(host):
            messages.print(f"headwise: warning: {host} is open to others on the network, and there is no password.")
        messages.print(f"Headwise is at {server.address(host, listening)} (Ctrl-C stops it).", soft_wrap=True)
        server.run(app.application(models, host), listening)
    messages.print("headwise: stopped.")


def _loaded(paths: Sequence[Path]) -> dict[str, Checkpoint]:
    """Models by the names of their files, or of their folders where files are called alike, as `train` calls all."""
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else path.resolve().parent.name for path in paths]
    if len(set(names)) < len(names):
        given = ", ".join(map(str, paths))
        raise DataError(f"--model: expected files or folders of different names, to tell them apart; got {given}.")
    return {name: load_vit(path) for name, path in zip(names, paths, strict=True)}
