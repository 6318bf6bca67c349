"""Middleware: checks the Host and Origin headers and the body size of each request, and sets security headers."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2_000_000  # larger bodies are rejected before they are read, or as soon as they exceed it
_MAX_DIGITS = 20  # of a length
HEADER_TIMEOUT = 10.0  # seconds to wait for the head of a request, and again for its body

_HEADERS = {
    # no inline scripts or styles, nothing from other sites, and no framing of the page
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class RequestRejected(Exception):
    """A request that is not served: an HTTP status and a plain message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def response(self) -> PlainTextResponse:
        """The response with this status and message."""
        return PlainTextResponse(str(self), self.status)


class Guard:
    """Passes on only requests that come from this server's own pages.

    `app`: responds to a `RequestRejected` that is raised while it reads a body.
    `host`: the name or address that the server listens on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or reject one request."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except RequestRejected as rejected:
            await rejected.response()(scope, receive, with_headers)
            return
        await self.app(scope, self._limit_body(receive), with_headers)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_server_host(host):
            raise RequestRejected(
                421, f"Host: this server is not {host!r}; use its address, or allow the name by --host."
            )
        origin = headers.get("origin")
        if method != "GET" and origin is not None and origin.partition("://")[2] != host:
            raise RequestRejected(
                403, f"Origin: {origin!r} is another site; only this server's pages may send requests."
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise RequestRejected(400, f"Content-Length: expected a number; got {length!r}.")
        if len(length) > _MAX_DIGITS or int(length) > MAX_BODY_BYTES:  # Python refuses to convert thousands of digits
            raise self._too_large()

    def _is_server_host(self, host: str) -> bool:
        """Accept addresses, since DNS rebinding, which points a name at this machine, sends that name."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name.lower() in ("localhost", self.host):
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _limit_body(self, receive: Receive) -> Receive:
        """Count the bytes of a body whose length is not announced, or announced too small."""
        num_bytes = 0

        async def receive_counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > MAX_BODY_BYTES:
                raise self._too_large()
            return message

        return receive_counted

    def _too_large(self) -> RequestRejected:
        return RequestRejected(413, f"The request is too large: at most {MAX_BODY_BYTES:,} bytes.")
