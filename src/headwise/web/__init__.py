"""The interactive pages: a local server whose responses are computed by the library."""

from headwise.web.app import application
from headwise.web.served_models import ServedModel, load_models, pretrained_models, serve_model
from headwise.web.server import address, is_loopback, listen, make_server, run

__all__ = [
    "ServedModel",
    "address",
    "application",
    "is_loopback",
    "listen",
    "load_models",
    "make_server",
    "pretrained_models",
    "run",
    "serve_model",
]
