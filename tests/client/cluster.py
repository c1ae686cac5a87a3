"""A real API server on the loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from fairlead.apiserver.certificates import make_authority
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.process import Health, listener
from tests.loopback import own_address
from tests.waiting import LIMIT

TOKEN = "secret"


@asynccontextmanager
async def api_server(directory: Path, port: int = 0, others: str = "") -> AsyncIterator[Config]:
    """Serves what is stored in `directory`; gives what a client needs. `others` are more lines of users' tokens.

    A port that it had stays free when it is away.
    """
    authority = make_authority(directory)
    certificate, key = authority.issue(directory, "apiserver", [host := own_address()], ["kubernetes"])
    tokens = directory / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n{others}')
    sock = listener(host, port)
    health = Health()
    health.waits_for("apiserver")
    task = asyncio.create_task(
        serve(
            ServerConfig(
                store=f"sqlite:{directory / 'objects.db'}",
                certificate=certificate,
                key=key,
                authority=authority.path,
                tokens=tokens,
                service_cidrs=("10.96.0.0/16", "fd00:10:96::/112"),
                advertise_address="192.0.2.1",
            ),
            [sock],
            health,
        )
    )
    ready = asyncio.create_task(health.ready())
    await asyncio.wait([task, ready], timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        number = sock.getsockname()[1]
        yield Config(server=f"https://{host}:{number}", authority=authority.pem, token=TOKEN)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sock.close()


@asynccontextmanager
async def running(component: Coroutine[Any, Any, None], health: Health) -> AsyncIterator[None]:
    """The component, ready, until the end of the block; its failure is the test's."""
    task = asyncio.create_task(component)
    ready = asyncio.create_task(health.ready())
    await asyncio.wait([task, ready], timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), task.exception()
    assert ready.done(), health.report(readiness=True)[1]
    try:
        yield
    finally:
        failed = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not failed, "the component ended by itself"


def with_server(
    scenario: Callable[[Api], Awaitable[None]],
    start: Callable[[Api, Health], Coroutine[Any, Any, None]] | None = None,
    before: Callable[[Api], Awaitable[None]] | None = None,
) -> None:
    """Runs the scenario with a client of an empty cluster, and with the component that `start` gives.

    What `before` does is in the first lists that the component reads: of what comes later, its informers may show it
    one thing before or after another.
    """

    async def run() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config = await stack.enter_async_context(api_server(Path(directory)))
            if before is not None:
                async with Api(config) as api:
                    await before(api)
            if start is not None:
                component = await stack.enter_async_context(Api(config))
                health = Health()
                await stack.enter_async_context(running(start(component, health), health))
            await scenario(await stack.enter_async_context(Api(config)))

    uvloop.run(run())


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = LIMIT) -> None:
    """Returns as soon as the condition, which asks the server, holds; fails the test after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s in vain until {what}"
        await asyncio.sleep(0.005)
