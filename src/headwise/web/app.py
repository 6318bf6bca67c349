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

from headwise.data import coursework_arrays, load_bundled_mnist
from headwise.document import render_template
from headwise.errors import HeadwiseError
from headwise.explanation import cycle_classes, explore
from headwise.explanation.explorer import SCRIPTS
from headwise.web.arrays import attend_arrays
from headwise.web.middleware import HEADER_TIMEOUT, Guard, RequestRejected
from headwise.web.parsing import parse_digit, parse_image, parse_json, parse_text
from headwise.web.results import InputResult, ResultStore, compare_results, compute_result
from headwise.web.served_models import ServedModel, serve_model
from headwise.web.tasks import TaskRunner

_STATIC: list[str | tuple[str, str]] = [("headwise.web", "static"), ("headwise.explanation.explorer", "static")]
_Handler = Callable[[Request], Awaitable[Response]]


def application(models: Mapping[str, Any], host: str = "127.0.0.1") -> ASGIApp:
    """The pages as an ASGI application.

    `models`: by the names that the pages show: served models, or what `serve_model` takes. Those of drawings have one
    page, those of texts and images another.
    `host`: the name or address that the server listens on; requests to localhost and to any address are served too.
    """
    runner = TaskRunner()
    opened = {name: model if isinstance(model, ServedModel) else serve_model(model) for name, model in models.items()}
    routes = [
        *_page_routes(opened),
        Mount("/static", StaticFiles(packages=_STATIC)),
        *_drawing_routes({name: served for name, served in opened.items() if served.kind == "drawing"}, runner),
        *_result_routes({name: served for name, served in opened.items() if served.kind != "drawing"}, runner),
        *_array_routes(runner),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestRejected: _on_rejected,
        HeadwiseError: _on_headwise_error,
        HTTPException: _on_http_exception,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host)


def classify(body: bytes, models: Mapping[str, ServedModel]) -> dict[str, Any]:
    """The predictions and attention of models of digits for an image file, and their time in milliseconds."""
    start = time.perf_counter()
    image, preparation = parse_digit(body)
    content = {name: explore(served.model, image, model_name=name).content() for name, served in models.items()}
    return {"models": content, "prepared": preparation, "took": round(1000 * (time.perf_counter() - start))}


# ---- pages


def _page_routes(models: Mapping[str, ServedModel]) -> list[Route]:
    """The page that suits the models is the first; one for drawings and one for other inputs if there are both."""
    kinds = {served.kind for served in models.values()}
    others = [(name, served.kind) for name, served in models.items() if served.kind != "drawing"]
    pages = [("draw.html", "Draw a digit")] if "drawing" in kinds else []
    if others:
        what = " or ".join({"text": "a text", "image": "an image"}[kind] for kind in ("text", "image") if kind in kinds)
        pages.append(("input.html", f"Explain {what}"))
    paths = ["/", "/input"][: len(pages)]
    by_path = {**dict(zip(paths, pages, strict=True)), "/coursework": ("coursework.html", "Change the arrays")}
    values = {"links": [(path, label) for path, (_, label) in by_path.items()], "models": others, "kinds": kinds}
    return [Route(path, _page(template, path=path, **values)) for path, (template, _) in by_path.items()]


def _page(template: str, **values: Any) -> _Handler:
    content = render_template("headwise.web", template, scripts=SCRIPTS, **values)

    async def send(request: Request) -> Response:
        return HTMLResponse(content)

    return send


# ---- requests


def _drawing_routes(models: Mapping[str, ServedModel], runner: TaskRunner) -> list[Route]:
    async def post_digit(request: Request) -> Response:
        body = await _body(request)
        return await runner.run(lambda: JSONResponse(classify(body, models)), request)

    async def example(request: Request) -> Response:
        content = await runner.run(lambda: _example(request.path_params["digit"]), request)
        return Response(content, media_type="image/png")

    return [Route("/api/read", post_digit, methods=["POST"]), Route("/api/example/{digit}.png", example)]


def _result_routes(models: Mapping[str, ServedModel], runner: TaskRunner) -> list[Route]:
    """One input for one model; then, by the key of the result, more of it."""
    store = ResultStore()

    async def post_input(request: Request) -> Response:
        body = await _body(request)
        name = request.query_params.get("model", "")
        if name not in models:
            raise RequestRejected(404, f"model: expected one of {', '.join(models)}; got {name!r}.")
        served, key, start = models[name], ResultStore.key(name, body), time.perf_counter()
        parse = (lambda: parse_text(parse_json(body))) if served.kind == "text" else lambda: parse_image(body)
        input = await runner.run(parse, request)
        result = store.find(key) or store.add(
            await runner.run(lambda: compute_result(key, name, served.model, input), request)
        )
        content = await runner.run(result.content, request)
        return JSONResponse({**content, "took": round(1000 * (time.perf_counter() - start))})

    async def explorer(request: Request) -> Response:
        results = [_find(store, key) for key in request.query_params.getlist("key")]
        if not 1 <= len(results) <= len(models):
            raise RequestRejected(
                422, f"key: expected between 1 and {len(models)} keys of results; got {len(results)}."
            )
        return JSONResponse(await runner.run(lambda: compare_results(results), request))

    async def dependence(request: Request) -> Response:
        return JSONResponse(await runner.run(_find(store, request.query_params.get("key", "")).dependence, request))

    return [
        Route("/api/explain", post_input, methods=["POST"]),
        Route("/api/explorer", explorer),
        Route("/api/dependence", dependence),
    ]


def _array_routes(runner: TaskRunner) -> list[Route]:
    async def post_arrays(request: Request) -> Response:
        body = await _body(request)
        return await runner.run(lambda: JSONResponse(attend_arrays(parse_json(body))), request)

    return [Route("/api/attend", post_arrays, methods=["POST"]), Route("/api/coursework", _coursework_arrays)]


def _find(store: ResultStore, key: str) -> InputResult:
    result = store.find(key)
    if result is None:
        raise RequestRejected(410, "This result is no longer kept; send the input again.")
    return result


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


async def _on_rejected(request: Request, error: RequestRejected) -> Response:
    return error.response()


async def _on_headwise_error(request: Request, error: HeadwiseError) -> Response:
    return PlainTextResponse(str(error), 422)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse(f"{error.detail}: {request.method} {request.url.path}", error.status_code)
