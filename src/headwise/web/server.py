"""The HTTP server; it opens its socket first, so that a port in use is reported before models are loaded."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from headwise.errors import DataError
from headwise.web.middleware import HEADER_TIMEOUT


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises DataError if the host is not an address of this machine, or the port is in use or not permitted.
    """
    if not 0 <= port <= 65535:
        raise DataError(f"--port: expected 0 to 65535; got {port}.")
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(socket_address)
            listening.listen(512)
        except OSError:
            listening.close()
            raise
    except (socket.gaierror, UnicodeError):  # the latter for a name that is too long
        raise DataError(f"--host: the name {host!r} is unknown; 127.0.0.1 is this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise DataError(f"--port: {port} is in use on {host}; choose another, or 0 for any free port.") from None
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
    """The address to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[listening])


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server for the application that logs only errors and does not reveal its software."""
    config = uvicorn.Config(
        app,
        http=_HeaderTimeoutProtocol,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=0,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Uvicorn's server, which stops at once and drops what it is serving without a traceback for each request."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        await super().shutdown(sockets)


class _HeaderTimeoutProtocol(H11Protocol):
    """Uvicorn's HTTP protocol with a timeout for the head of a request, which has none by default."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._update_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _update_timer(self) -> None:
        """Time the head from the connection or from its first byte until the application has the request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
