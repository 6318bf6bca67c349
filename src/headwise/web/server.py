"""Listening: the socket first, so that a port in use is told before anything is loaded."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from headwise.errors import DataError
from headwise.web.middleware import HEADER_TIMEOUT

__all__ = ["address", "is_loopback", "listen", "run", "server"]


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
    with suppress(KeyboardInterrupt):
        server(app).run(sockets=[listening])


def server(app: ASGIApp) -> uvicorn.Server:
    """What serves the application, silently and without the name of what it is made of."""
    config = uvicorn.Config(
        app,
        http=_Impatient,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


class _Impatient(H11Protocol):
    """Uvicorn's protocol, which waits for ever for the end of a request's head, with an end to that."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._time_the_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_the_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timing()
        super().connection_lost(exc)

    def _time_the_head(self) -> None:
        """From its first byte, or from the connection; no longer than until the application has the request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timing()
        elif self._late is None:
            self._late = self.loop.call_later(HEADER_TIMEOUT, self.transport.close)

    def _stop_timing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
