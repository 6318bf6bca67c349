"""The server as tests reach it: the application in this process, or a real one as a person starts it."""

import asyncio
import re
import subprocess
import sys
from contextlib import contextmanager

import httpx

from helpers.processes import PATIENCE, restore_sigint


@contextmanager
def run_server(*arguments):
    """(process, address) of ``headwise serve`` on a free port; stopped at the end, if the test has not."""
    command = [sys.executable, "-m", "headwise", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=restore_sigint)
    try:
        said = ""
        while "Headwise is at" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        assert ("warning" in said) == ("0.0.0.0" in said), said
        yield process, re.search(r"http://\S+/", said)[0]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


class Client:
    """Asks an ASGI application, without a socket."""

    def __init__(self, app, base_url):
        self.app, self.base_url = app, base_url

    def get(self, path, **more):
        return self._ask("GET", path, more)

    def post(self, path, **more):
        return self._ask("POST", path, more)

    def _ask(self, method, path, more):
        async def ask():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=self.base_url) as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())
