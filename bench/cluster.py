"""Processes that benchmarks share: an API server with an empty store, and what it takes to run and measure them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.apiserver.certificates import make_authority
from fairlead.apiserver.server import ServerConfig
from fairlead.apiserver.server import serve as serve_api
from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.objects.resources import SERVICES
from fairlead.process import Health, listener
from fairlead.process import run as run_process

DEADLINE = 60.0
"""Seconds after which a benchmark that waits gives up."""


@contextmanager
def child(work: Callable[[], int]) -> Iterator[int]:
    """A process that does this work until the end of the block; gives its ID."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(work())
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


@contextmanager
def api_server(directory: Path) -> Iterator[Config]:
    """An API server with an empty store."""
    authority = make_authority(directory)
    certificate, key = authority.issue(directory, "apiserver", ["127.0.0.1"], ["kubernetes"])
    tokens = directory / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    sock = listener("127.0.0.1", 0)
    config = ServerConfig(
        store=f"sqlite:{directory / 'objects.db'}", tokens=tokens, certificate=certificate, key=key
    )
    with child(lambda: run_process(lambda: serve_api(config, [sock], Health()))):
        server = f"https://127.0.0.1:{sock.getsockname()[1]}"
        yield Config(server=server, authority=authority.pem, token="secret")
    sock.close()


async def until_up(api: Api) -> None:
    """Returns when the API server answers."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            await api.list(SERVICES)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


def pss(pid: int) -> int:
    """The proportional share of memory of a process in bytes."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
