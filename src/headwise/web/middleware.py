"""What every request passes: whom it is addressed to, where it comes from, how large it is, what the answer allows."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADER_TIMEOUT", "MAX_BODY_BYTES", "Guard", "RequestRejected"]

MAX_BODY_BYTES = 2_000_000  # bytes of a request's body
HEADER_TIMEOUT = 10.0  # seconds to wait for a request's head, and as many for its body

_HEADERS = {
    # nothing inline, nothing from elsewhere, no frame around the page
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class RequestRejected(Exception):
    """A request that is not served: the status and a plain message, for the person who made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def response(self) -> PlainTextResponse:
        """The answer."""
        return PlainTextResponse(str(self), self.status)


class Guard:
    """The application behind it sees only requests that this machine's own pages may make.

    Parameters
    ----------
    app : ASGI application
        Turns a `RequestRejected` that is raised while it reads a body into its response.
    host : str
        The name or address that the server was told to listen on.
    largest : int
        Bytes of a body; more is refused before it is read, or as soon as it turns out to be more.
    """

    def __init__(self, app: ASGIApp, host: str, largest: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.host = host.lower()
        self.largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except RequestRejected as refused:
            await refused.response()(scope, receive, with_headers)
            return
        await self.app(scope, self._counted(receive), with_headers)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._ours(host):
            raise RequestRejected(421, f"Host: this server is not {host!r}; use its address, or name it by --host.")
        origin = headers.get("origin")
        if method != "GET" and origin is not None and origin.partition("://")[2] != host:
            raise RequestRejected(403, f"Origin: {origin!r} is another site; only this server's own pages may ask.")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise RequestRejected(400, f"Content-Length: expected a number; got {length!r}.")
        if int(length) > self.largest:
            raise self._too_large()

    def _ours(self, host: str) -> bool:
        """A site whose name was pointed at this machine (DNS rebinding) comes under that name, never an address."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name.lower() in ("localhost", self.host):
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _counted(self, receive: Receive) -> Receive:
        """Bodies that do not say how long they are, or lie."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.largest:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> RequestRejected:
        return RequestRejected(413, f"The request is too large: at most {self.largest:,} bytes.")
