"""The pages and what they ask of the library."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from headwise.coursework.results import HeadRun, coursework
from headwise.data.array_files import coursework_arrays
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, HeadwiseError
from headwise.explain.explorer.content import to_fixed_point
from headwise.explain.explorer_data import cycle_classes, explore
from headwise.train.checkpoint import Checkpoint
from headwise.web.middleware import HEADER_TIMEOUT, Guard, RequestRejected
from headwise.web.parsing import parse_image, parse_json, parse_matrix
from headwise.web.work_queue import WorkQueue

__all__ = ["application", "attended", "read"]

DECIMALS = 4  # of the coursework's numbers
_LARGEST = 2**53 / 10**DECIMALS  # above it, whole multiples of the last decimal are not exact in a browser
_HERE, _EXPLORER = files("headwise.web") / "static", files("headwise.explain") / "explorer"
_SENT = {  # no other file is ever sent
    "/": _HERE / "draw.html",
    "/coursework": _HERE / "coursework.html",
    "/static/pages.css": _HERE / "pages.css",
    "/static/draw.js": _HERE / "draw.js",
    "/static/coursework.js": _HERE / "coursework.js",
    "/static/explorer.css": _EXPLORER / "explorer.css",
    "/static/explorer.js": _EXPLORER / "explorer.js",
    "/static/drawing.js": _EXPLORER / "drawing.js",
}
_TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html"}


def application(models: Mapping[str, Checkpoint], host: str = "127.0.0.1") -> ASGIApp:
    """The pages, as an ASGI application.

    Parameters
    ----------
    models : mapping
        By the name that the page shows them under.
    host : str
        The name or address that the server listens on, beside which it answers to localhost and to addresses.

    Returns
    -------
    ASGI application
    """
    desk = WorkQueue()

    async def read_digit(request: Request) -> Response:
        body = await _body(request)
        return await desk.do(lambda: JSONResponse(read(body, models)))

    async def attend(request: Request) -> Response:
        body = await _body(request)
        return await desk.do(lambda: JSONResponse(attended(parse_json(body))))

    async def example(request: Request) -> Response:
        content = await desk.do(lambda: _example(request.path_params["digit"]))
        return Response(content, media_type="image/png")

    routes = [
        *(Route(path, _sends(file)) for path, file in _SENT.items()),
        Route("/api/read", read_digit, methods=["POST"]),
        Route("/api/attend", attend, methods=["POST"]),
        Route("/api/coursework", _given),
        Route("/api/example/{digit:int}.png", example),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestRejected: _refused,
        HeadwiseError: _unusable,
        HTTPException: _plain,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host)


def read(body: bytes, models: Mapping[str, Checkpoint]) -> dict[str, Any]:
    """What the models make of an image file, with how long that took in milliseconds."""
    began = time.perf_counter()
    image, prepared = parse_image(body)
    seen = {name: explore(image[None], saved.params, saved.config).content() for name, saved in models.items()}
    return {"models": seen, "prepared": prepared, "took": round(1000 * (time.perf_counter() - began))}


def attended(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Multi-head self-attention of pasted arrays, as given and with two inputs swapped."""
    texts = asked.get("arrays")
    if not isinstance(texts, dict):
        raise RequestRejected(400, "Expected arrays.")
    names = ("X", "Wq", "Wk", "Wv", "Wo")
    arrays = {name: parse_matrix(name, texts.get(name, "")) for name in names if texts.get(name) or name != "Wo"}
    heads, swap = asked.get("heads"), asked.get("swap")
    if type(heads) is not int or heads < 1:
        raise DataError("heads: expected a whole number, 1 or more.")
    if not (isinstance(swap, list) and len(swap) == 2 and all(type(n) is int for n in swap)):
        raise DataError("swap: expected two inputs.")
    with np.errstate(all="ignore"):
        study = coursework(arrays, heads=(heads,), swap=(swap[0], swap[1]))
    (run,) = study.runs
    largest = max(float(np.abs(array).max()) for made in (run.given, run.swapped) for array in made)
    if not largest < _LARGEST:  # nor NaN
        raise DataError(
            f"X: the output is not finite, or beyond {_LARGEST:.0e}, above which {DECIMALS} decimals cannot be shown; "
            "numbers this large overflow."
        )
    return {
        "decimals": DECIMALS,
        "permutations": study.permutations,
        "deviation": f"{run.moved.output:.1e}",
        "swap": swap,
        **_shown(run),
    }


def _shown(run: HeadRun) -> dict[str, Any]:
    return {
        name: {part: to_fixed_point(array, DECIMALS) for part, array in made._asdict().items()}
        for name, made in (("given", run.given), ("swapped", run.swapped))
    }


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(HEADER_TIMEOUT):
            return await request.body()
    except TimeoutError:
        raise RequestRejected(408, f"The request did not arrive within {HEADER_TIMEOUT:.0f} seconds.") from None
    except ClientDisconnect:
        raise RequestRejected(400, "The request broke off.") from None  # nobody is there to read it


async def _given(request: Request) -> Response:
    arrays = coursework_arrays()
    lines = {name: [" ".join(f"{value:g}" for value in row) for row in array] for name, array in arrays.items()}
    return JSONResponse({name: "\n".join(rows) for name, rows in lines.items()})


@lru_cache(maxsize=10)
def _example(digit: int) -> bytes:
    from PIL import Image

    if digit > 9:
        raise RequestRejected(404, "There are ten digits, 0 to 9.")
    test = load_bundled_mnist().test
    image = test.images[cycle_classes(test, 10)[digit]]
    content = io.BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def _sends(file: Traversable) -> Callable[[Request], Awaitable[Response]]:
    content, kind = file.read_text(encoding="utf-8"), _TYPES[file.name.rpartition(".")[2]]

    async def send(request: Request) -> Response:
        return Response(content, media_type=kind)

    return send


async def _refused(request: Request, error: RequestRejected) -> Response:
    return error.response()


async def _unusable(request: Request, error: HeadwiseError) -> Response:
    return PlainTextResponse(str(error), 422)


async def _plain(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse(f"{error.detail}: {request.method} {request.url.path}", error.status_code)
