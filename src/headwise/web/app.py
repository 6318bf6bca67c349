"""The pages, and the requests that they send to the library."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from headwise.coursework.results import HeadRun, coursework
from headwise.data.array_files import coursework_arrays
from headwise.data.mnist import load_bundled_mnist
from headwise.document import render_template
from headwise.errors import DataError, HeadwiseError
from headwise.explanation import cycle_classes, explore
from headwise.explanation.explorer import SCRIPTS, to_fixed_point
from headwise.train.checkpoint import Checkpoint
from headwise.web.middleware import HEADER_TIMEOUT, Guard, RequestRejected
from headwise.web.parsing import parse_image, parse_json, parse_matrix
from headwise.web.tasks import TaskRunner

__all__ = ["application", "attend_arrays", "classify"]

DECIMALS = 4  # of the coursework's numbers
_MAX_VALUE = 2**53 / 10**DECIMALS  # above it, whole multiples of the last decimal are not exact in a browser
_PAGES = {"/": "draw.html", "/coursework": "coursework.html"}
_STATIC: list[str | tuple[str, str]] = [("headwise.web", "static"), ("headwise.explanation.explorer", "static")]


def application(models: Mapping[str, Checkpoint], host: str = "127.0.0.1") -> ASGIApp:
    """The pages as an ASGI application.

    Parameters
    ----------
    models : mapping
        Models by the names that the page shows.
    host : str
        The name or address that the server listens on; requests to localhost and to any address are served too.

    Returns
    -------
    ASGI application
    """
    runner = TaskRunner()

    async def post_digit(request: Request) -> Response:
        body = await _body(request)
        return await runner.run(lambda: JSONResponse(classify(body, models)), request)

    async def post_arrays(request: Request) -> Response:
        body = await _body(request)
        return await runner.run(lambda: JSONResponse(attend_arrays(parse_json(body))), request)

    async def example(request: Request) -> Response:
        content = await runner.run(lambda: _example(request.path_params["digit"]), request)
        return Response(content, media_type="image/png")

    routes = [
        *(Route(path, _page(path, template)) for path, template in _PAGES.items()),
        Mount("/static", StaticFiles(packages=_STATIC)),
        Route("/api/read", post_digit, methods=["POST"]),
        Route("/api/attend", post_arrays, methods=["POST"]),
        Route("/api/coursework", _coursework_arrays),
        Route("/api/example/{digit}.png", example),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestRejected: _on_rejected,
        HeadwiseError: _on_headwise_error,
        HTTPException: _on_http_exception,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host)


def classify(body: bytes, models: Mapping[str, Checkpoint]) -> dict[str, Any]:
    """The models' predictions and attention for an image file, and how long they took in milliseconds."""
    start = time.perf_counter()
    image, preparation = parse_image(body)
    content = {name: explore(saved, image).content() for name, saved in models.items()}
    return {"models": content, "prepared": preparation, "took": round(1000 * (time.perf_counter() - start))}


def attend_arrays(request: Mapping[str, Any]) -> dict[str, Any]:
    """Multi-head self-attention of pasted arrays, as they are and with two inputs swapped."""
    texts = request.get("arrays")
    if not isinstance(texts, dict):
        raise RequestRejected(400, "Expected arrays.")
    names = ("X", "Wq", "Wk", "Wv", "Wo")
    arrays = {name: parse_matrix(name, texts.get(name, "")) for name in names if texts.get(name) or name != "Wo"}
    heads, swap = request.get("heads"), request.get("swap")
    if type(heads) is not int or heads < 1:
        raise DataError("heads: expected a whole number, 1 or more.")
    if not (isinstance(swap, list) and len(swap) == 2 and all(type(n) is int for n in swap)):
        raise DataError("swap: expected two inputs.")
    with np.errstate(all="ignore"):
        results = coursework(arrays, heads=(heads,), swap=(swap[0], swap[1]))
    (run,) = results.runs
    largest = max(float(np.abs(array).max()) for result in (run.result, run.swapped) for array in result)
    if not largest < _MAX_VALUE:  # or NaN
        raise DataError(
            f"X: the output is not finite, or exceeds {_MAX_VALUE:.0e}, above which {DECIMALS} decimals cannot be "
            "shown; numbers this large overflow."
        )
    return {
        "decimals": DECIMALS,
        "permutations": results.permutations,
        "deviation": f"{run.equivariance.output:.1e}",
        "swap": swap,
        **_to_fixed_points(run),
    }


def _to_fixed_points(run: HeadRun) -> dict[str, Any]:
    return {
        name: {part: to_fixed_point(array, DECIMALS) for part, array in result._asdict().items()}
        for name, result in (("given", run.result), ("swapped", run.swapped))
    }


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(HEADER_TIMEOUT):
            return await request.body()
    except TimeoutError:
        raise RequestRejected(408, f"The request did not arrive within {HEADER_TIMEOUT:.0f} seconds.") from None
    except ClientDisconnect:
        raise RequestRejected(400, "The client disconnected.") from None


async def _coursework_arrays(request: Request) -> Response:
    arrays = coursework_arrays()
    lines = {name: [" ".join(f"{value:g}" for value in row) for row in array] for name, array in arrays.items()}
    return JSONResponse({name: "\n".join(rows) for name, rows in lines.items()})


@lru_cache(maxsize=10)
def _example(digit: str) -> bytes:
    from PIL import Image

    if digit not in tuple("0123456789"):
        raise RequestRejected(404, "There are ten digits, 0 to 9.")
    test = load_bundled_mnist().test
    image = test.images[cycle_classes(test, 10)[int(digit)]]
    content = io.BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def _page(path: str, template: str) -> Callable[[Request], Awaitable[Response]]:
    content = render_template("headwise.web", template, path=path, scripts=SCRIPTS)

    async def send(request: Request) -> Response:
        return HTMLResponse(content)

    return send


async def _on_rejected(request: Request, error: RequestRejected) -> Response:
    return error.response()


async def _on_headwise_error(request: Request, error: HeadwiseError) -> Response:
    return PlainTextResponse(str(error), 422)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse(f"{error.detail}: {request.method} {request.url.path}", error.status_code)
