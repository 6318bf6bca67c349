"""``headwise serve``: interactive pages, served on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from headwise.cli.console import messages
from headwise.cli.inputs import Preprocess, Size, image_preprocessor
from headwise.errors import require_extra


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder with config.json, a .gguf, an .onnx file, FILE.py:OBJECT, or parameters from `headwise "
            "train`, in place of the pretrained models of digits; several are shown side by side."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default one that only this machine can reach.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8421,
    preprocess: Preprocess = None,
    size: Size = 224,
) -> None:
    """Serve interactive pages: draw a digit, write a sentence or drop an image, and see what models attend to.

    The pages depend on the models. Another page shows attention of arrays step by step.

    Example: `headwise serve --port 8421`
    """
    with require_extra("headwise serve", None, "web"):
        from headwise import web
    normalize = image_preprocessor(preprocess, size)
    with web.listen(host, port) as listening:
        models = web.load_models(model, preprocess=normalize) if model else web.pretrained_models()
        if not web.is_loopback(host):
            messages.print(f"headwise: warning: others on the network can reach {host}, and there is no password.")
        messages.print(f"Headwise is at {web.address(host, listening)} (press Ctrl-C to stop).", soft_wrap=True)
        web.run(web.application(models, host), listening)
    messages.print("headwise: stopped.")
    os._exit(130)  # as after Ctrl-C elsewhere; threads that still compute for dropped requests are not waited for
