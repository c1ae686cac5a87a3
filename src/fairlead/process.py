"""What every process of Fairlead does alike: one log, one way to stop, one server for health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = logging.getLogger("fairlead")


def configure_logging(component: str, level: str = "info") -> None:
    """Sends the log to standard error, one line a record, with the component's name in front."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s %(levelname).1s {component} %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger("fairlead")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())


class Health:
    """What a component still waits for, by name; it is ready when it waits for nothing.

    A component calls `waits_for("services")` before it starts and `has("services")` when that is there.
    `fails` marks a running component as unhealthy, which `/healthz` shows too.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._failing: dict[str, str] = {}
        self._ready = asyncio.Event()
        self._ready.set()

    def waits_for(self, name: str, why: str = "not synced yet") -> None:
        """The component is not ready until `has(name)`."""
        self._waiting[name] = why
        self._ready.clear()

    def has(self, name: str) -> None:
        """What `waits_for` or `fails` said of `name` holds no longer."""
        self._waiting.pop(name, None)
        self._failing.pop(name, None)
        if not self._waiting and not self._failing:
            self._ready.set()

    def fails(self, name: str, why: str) -> None:
        """The component runs, but does not do its work; `has(name)` takes it back."""
        self._failing[name] = why
        self._ready.clear()

    async def ready(self) -> None:
        """Returns once nothing is waited for."""
        await self._ready.wait()

    def report(self, *, readiness: bool) -> tuple[bool, str]:
        """Whether all is well, and the text that says what is not, a line each."""
        bad = {**self._failing, **(self._waiting if readiness else {})}
        return not bad, "".join(f"{name}: {why}\n" for name, why in bad.items()) or "ok"


def listener(address: str, port: int) -> socket.socket:
    """A listening TCP socket; `port` 0 takes any free one. Raises OSError with the address in it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address} port {port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


async def serve_health(health: Health, sock: socket.socket) -> web.AppRunner:
    """Answers `/healthz`, `/livez`, `/readyz` and `/metrics` on `sock` until the runner is cleaned up."""

    async def check(request: web.Request) -> web.Response:
        good, text = health.report(readiness=request.path == "/readyz")
        return web.Response(status=200 if good else 503, text=text)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get(path, check) for path in ("/healthz", "/livez", "/readyz")])
    app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner


def give_back_memory() -> None:
    """Returns to the system what is free and the C library keeps, as after large lists were read; glibc alone can."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Runs a component until it returns, or until SIGTERM or SIGINT cancels it; gives the exit status.

    Only the first signal counts: a second one would cancel the orderly end, and requests under way with it. At no
    moment from the start of the loop to the end of the process would one end it with another status: the loop's own
    handlers would be taken back before anything else could be put in their place.

    What components make either stays, such as the objects of informers, or is freed as its request ends: looking for
    cycles in all of it after every 700 objects would cost a start a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    signals = (signal.SIGTERM, signal.SIGINT)

    async def supervised() -> None:
        task = asyncio.ensure_future(main())
        loop = asyncio.get_running_loop()
        told = False

        def stop(*_: object) -> None:
            nonlocal told
            if not told:
                told = True
                loop.call_soon_threadsafe(task.cancel)

        for number in signals:
            signal.signal(number, stop)
        try:
            await task
        except asyncio.CancelledError:
            log.info("stopped")
        finally:
            told = True

    uvloop.run(supervised())
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
    return 0
