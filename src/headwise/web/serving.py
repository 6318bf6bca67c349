"""Listening: the socket first, so that a port in use is told before anything is loaded."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from headwise.errors import DataError

__all__ = ["address", "is_loopback", "listen", "run"]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises
    ------
    DataError
        If the host is not this machine's, or the port is in use or not to be had.
    """
    if not 0 <= port <= 65535:
        raise DataError(f"--port: expected 0 to 65535; got {port}.")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(where)
            listening.listen(512)
        except OSError:
            listening.close()
            raise
    except socket.gaierror:
        raise DataError(f"--host: {host!r} is not known here; 127.0.0.1 is this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise DataError(f"--port: {port} is in use on {host}; name another, or 0 for any that is free.") from None
        raise DataError(f"--host, --port: cannot listen on {host}, port {port} ({error.strerror}).") from None
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, listening: socket.socket) -> str:
    """What to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until Ctrl-C."""
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=3,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
