"""The server of the cluster's DNS: one zone, kept true by three watches, answered over UDP and TCP."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer
from fairlead.dns import configfile
from fairlead.dns.config import DnsConfig, from_environment
from fairlead.dns.exposition import exposed
from fairlead.dns.listeners import Listeners
from fairlead.dns.responder import Responder
from fairlead.dns.source import ENDPOINTSLICES, NAMESPACES, PODS, SERVICES, compact
from fairlead.dns.tally import Board, keep_showing
from fairlead.dns.workers import prefork
from fairlead.dns.zone import Zone
from fairlead.process import Health, configure_logging, give_back_memory
from fairlead.process import run as run_process

__all__ = ["DnsConfig", "run", "run_in_pod", "serve"]

log = logging.getLogger("fairlead.dns")

LOOK = 1.0
"""Seconds between looks at the configuration's file."""

GRACE = 2.0
"""Seconds that questions wait in the kernel for the zone, at the start and when a worker is started again, before
those about the cluster get SERVFAIL. CoreDNS: 5."""

START = "start"
"""What a process that has not begun to follow the cluster waits for, in words of `Health`."""

SWITCH = 0.0002
"""Seconds for which the event loop may keep the UDP thread from the interpreter; Python's 5 ms would be an outage."""


async def run(
    api: Api,
    config: DnsConfig,
    health: Health,
    listeners: Listeners | None = None,
    path: Path | None = None,
) -> None:
    """Serves until cancelled. Goes on answering from what it knows while the API is away.

    What is asked in the first `GRACE` seconds is answered when the zone is there. Always one process, whatever
    `workers` says: see `serve`. `path` is the configuration's file, which is followed.
    Raises OSError when an address cannot be bound.
    """
    listeners = listeners or Listeners(config)
    responder = listeners.responder
    watches: list[tuple[Informer[Any], Callable[[Zone, str, Any], set[str]]]] = [
        (Informer(api, NAMESPACES), lambda zone, key, new: zone.put_namespace(key, new is not None)),
        (Informer(api, SERVICES, keep=compact), Zone.put_service),
        (Informer(api, ENDPOINTSLICES, keep=compact), Zone.put_slice),
    ]
    if config.pods == "verified":
        watches.append((Informer(api, PODS, keep=compact), Zone.put_pod))
    for informer, put in watches:
        health.waits_for(informer.resource.plural)
        informer.subscribe(partial(_apply, responder, put))
    health.has(START)

    async def complete() -> None:
        for informer, _ in watches:
            await informer.synced()
            health.has(informer.resource.plural)
        responder.synced()
        give_back_memory()  # what the lists took: 4 MB of 5,000 Services
        log.info("the zone is complete")

    try:
        async with asyncio.TaskGroup() as group:
            if path is not None:
                group.create_task(follow(path, listeners))
            for informer, _ in watches:
                group.create_task(informer.run())
            await asyncio.wait({group.create_task(complete())}, timeout=GRACE)
            await listeners.start()
            at = ", ".join(f"{address} port {port}" for address, port in listeners.addresses)
            log.info("answering %s on %s", config.domain, at)
    finally:
        await listeners.stop()


async def follow(path: Path, listeners: Listeners) -> None:
    """Takes over what changes in the configuration's file, until cancelled. A broken one changes nothing.

    The file is read again when it is another or has changed: a ConfigMap's is a link that is turned; and once at the
    start, since it may have changed after it was read for that.
    """
    seen: tuple[int, int, int] | None = None
    while True:
        first, mark = seen is None, _mark(path)
        if mark == seen:
            await asyncio.sleep(LOOK)
            continue
        seen = mark
        try:
            config = replace(configfile.read(path), cookie_secret=listeners.config.cookie_secret)
            if first and listeners.follows(config):
                continue
            kept = listeners.reconfigure(config)
        except (OSError, ValueError) as error:
            log.error("%s; the configuration stays as it was", error)
            continue
        log.info("the configuration is %s's new one", path)
        if kept:
            log.warning("%s changed: restart the server for that", ", ".join(kept))


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What is another after a change of the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _apply(responder: Responder, put: Callable[[Zone, str, Any], set[str]], change: Change[Any]) -> None:
    responder.change(lambda zone: put(zone, change.key, change.new))


def run_in_pod() -> int:
    """The entry of a container's process; the exit status.

    Settings come from the file that FAIRLEAD_DNS_CONFIG names, else from the environment (see `from_environment`).
    The API is the one of $KUBECONFIG, else of the pod's ServiceAccount. Health as CoreDNS has it: `/health` on port
    8080, `/ready` on 8181, `/metrics` on 9153.
    """
    configure_logging("dns", os.environ.get("FAIRLEAD_DNS_LOG", "info"))
    file = os.environ.get("FAIRLEAD_DNS_CONFIG", "")
    path = Path(file) if file else None
    try:
        config = configfile.read(path) if path else from_environment(os.environ)
        credentials = kubeconfig.load()
    except ValueError as error:
        log.error("%s", error)
        return 2
    # Where IPv6 is answered, one socket of both families shows health to whichever of them the pod is asked by.
    expose = "::" if any(":" in address for address, _ in config.listen) else "0.0.0.0"  # noqa: S104
    return serve(config, credentials, expose=expose, path=path)


def serve(
    config: DnsConfig,
    credentials: kubeconfig.Config,
    *,
    expose: str = "0.0.0.0",  # noqa: S104
    path: Path | None = None,
) -> int:
    """Runs `config.workers` processes that share the port, until SIGTERM; the exit status.

    `expose` is the address of health and metrics, none if empty; `path` the configuration's file, which is followed.
    To be called without a running loop.
    """
    if not config.cookie_secret:
        config = replace(config, cookie_secret=secrets.token_bytes(32))

    board = Board(config.workers)

    def work(index: int) -> int:
        sys.setswitchinterval(SWITCH)

        async def main() -> None:
            health = Health()
            health.waits_for(START, "not started yet")  # health is shown before `run` says what it waits for
            async with AsyncExitStack() as stack:
                api = await stack.enter_async_context(Api(credentials, "fairlead-dns"))
                listeners = Listeners(config)
                if expose and index == 0:
                    await stack.enter_async_context(exposed(expose, health, listeners, board))
                showing = asyncio.ensure_future(keep_showing(board, index, listeners))
                stack.callback(showing.cancel)
                await run(api, config, health, listeners, path)

        try:
            return run_process(main)
        except OSError as error:
            log.error("%s", error)
            return 1

    return work(0) if config.workers == 1 else prefork(config.workers, work)
