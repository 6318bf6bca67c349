"""The interactive pages: a local server whose responses are computed by the library."""

from headwise.web.app import application
from headwise.web.server import address, is_loopback, listen, make_server, run

__all__ = ["address", "application", "is_loopback", "listen", "make_server", "run"]
