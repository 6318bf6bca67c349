"""The server as it is run: a hundred at once, Ctrl-C, a port in use, and bodies that never come."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from headwise.errors import DataError
from headwise.models.vit import ViTConfig, vit_params
from headwise.train.checkpoint import save_vit
from headwise.web import address, is_loopback, listen, load_models, make_server
from headwise.web.middleware import RequestRejected
from headwise.web.tasks import TaskRunner
from helpers.commands import headwise
from helpers.processes import PATIENCE
from helpers.serving import run_server

DIGIT = (Path(__file__).parents[2] / "examples/digit.png").read_bytes()


SMALL = ViTConfig(tokenizer="14x14", d_model=8, n_layers=1, n_heads=2, d_ff=8)


@pytest.fixture(scope="module")
def small_models(tmp_path_factory):
    """Three models of which a request takes little time; two files have the same name."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / name for name in ("one/model.safetensors", "two/model.safetensors", "third.safetensors")]
    for i, path in enumerate(paths):
        save_vit(path, SMALL, vit_params(SMALL, np.random.default_rng(i)), {})
    return paths


@pytest.fixture(scope="module")
def running(small_models):
    with run_server(*(word for path in small_models for word in ("--model", str(path)))) as (_, where):
        yield where


def reached(where):
    """A bare connection."""
    host, port = where.removeprefix("http://").strip("/").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


@pytest.mark.exhaustive  # another test sends twenty
def test_a_hundred_at_once_are_answered(running):
    async def all_at_once():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=running, timeout=PATIENCE, limits=limits) as client:
            asked = (client.post("/api/read", content=DIGIT) for _ in range(100))
            return await asyncio.gather(*asked)

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {200}
    first = answers[0].json()["models"]
    assert list(first) == ["one", "two", "third"]  # by their folders, where file names are the same
    assert first["one"] != first["two"]
    assert all(answer.json()["models"] == first for answer in answers[::20])


def test_a_body_that_is_announced_too_large_is_refused_unsent(running):
    with reached(running) as line:
        line.sendall(b"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999999\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_does_no_harm(running):
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        with reached(running) as line:
            line.sendall(nonsense)
            line.shutdown(socket.SHUT_WR)
            assert b" 200 " not in line.recv(4096)
    assert httpx.get(running, timeout=PATIENCE).status_code == 200


def test_a_head_that_never_ends_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("headwise.web.server.HEADER_TIMEOUT", 0.3)

    async def answer(scope, receive, send):
        await asyncio.sleep(0.6)  # an answer may take longer
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with listen("127.0.0.1", 0) as listening:
        ours = make_server(answer)
        thread = threading.Thread(target=ours.run, kwargs={"sockets": [listening]})
        thread.start()
        where = address("127.0.0.1", listening)
        head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        with reached(where) as silent, reached(where) as half, reached(where) as whole:
            half.sendall(head + b"X: ")
            whole.sendall(head + b"\r\n")
            assert half.recv(100) == silent.recv(100) == b""
            assert whole.recv(4096).startswith(b"HTTP/1.1 200 ")
            whole.sendall(head)  # the next request on the same connection
            while whole.recv(4096):
                pass
        ours.should_exit = True
        thread.join(PATIENCE)


@pytest.mark.exhaustive  # the next test interrupts a server, too
def test_open_to_others_it_warns_and_ctrl_c_ends_it_well():
    with run_server("--host", "0.0.0.0") as (process, where):
        here = where.replace("0.0.0.0", "127.0.0.1")
        with reached(here) as line:  # somebody who leaves in the middle of a request is no reason to complain
            line.sendall(b"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf")
        assert httpx.get(here, timeout=PATIENCE).status_code == 200
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=PATIENCE) == 130
    assert said == "headwise: stopped.\n"


def test_under_load_ctrl_c_stops_it_with_one_line():
    with run_server() as (process, where), ExitStack() as stack:
        head = f"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(DIGIT)}\r\n\r\n".encode()
        for _ in range(20):
            stack.enter_context(reached(where)).sendall(head + DIGIT)
        assert httpx.get(where, timeout=PATIENCE).status_code == 200  # it has begun with the requests
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "headwise: stopped.\n"
        assert process.wait(timeout=PATIENCE) == 130


def test_a_port_in_use_is_told():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DataError, match=f"--port: {port} is in use on 127.0.0.1"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("nowhere.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 99999)])
def test_where_it_cannot_listen_is_told(host, port):
    with pytest.raises(DataError, match=r"--host|--port"):
        listen(host, port)


def test_only_this_machine_unless_told():
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.0.2.1")
    with listen("127.0.0.1", 0) as listening:
        assert address("127.0.0.1", listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/"


class Connection:
    """What a task needs of a request: whether its client has gone."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_work_for_a_client_that_has_gone_is_dropped(monkeypatch):
    monkeypatch.setattr("headwise.web.tasks.num_threads", lambda: 1)

    async def leave():
        runner, gate, done = TaskRunner(), threading.Event(), []
        patient, impatient = Connection(), Connection()
        first = asyncio.create_task(runner.run(gate.wait, patient))
        others = [asyncio.create_task(runner.run(lambda c=c: done.append(c), c)) for c in (impatient, patient)]
        await asyncio.sleep(0)
        impatient.gone.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        await first
        results = await asyncio.gather(*others, return_exceptions=True)
        return done == [patient], [type(result) for result in results]

    assert asyncio.run(leave()) == (True, [RequestRejected, type(None)])


def test_the_queue_has_an_end():
    async def fill():
        runner, gate = TaskRunner(max_tasks=2), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow():
            return asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(PATIENCE)

        first = [asyncio.create_task(runner.run(slow, Connection())) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(RequestRejected, match="try again") as refused:
            await runner.run(lambda: None, Connection())
        gate.set()
        await asyncio.gather(*first)
        assert await runner.run(lambda: 7, Connection()) == 7  # there is room again
        return refused.value.status

    assert asyncio.run(fill()) == 503


def test_one_model_twice_is_an_error(small_models):
    done = headwise("serve", "--port", "0", *["--model", small_models[0]] * 2)
    assert done.returncode == 2
    assert "--model: expected files or folders with different names" in done.stderr


def test_only_models_of_other_frameworks_are_preprocessed_for(monkeypatch):
    monkeypatch.setattr("headwise.web.served_models.serve_model", lambda model, preprocess: (model, preprocess))
    served = load_models(["a.onnx", "b.py:net", "folder"], preprocess="clip").values()
    assert list(served) == [("a.onnx", "clip"), ("b.py:net", "clip"), ("folder", None)]


@pytest.mark.exhaustive  # tests/test_installation.py tries the other extras
def test_without_the_extra_it_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run([sys.executable, "-m", "headwise", "serve"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "needs uvicorn, which is not installed: pip install 'headwise[web]'" in done.stderr
