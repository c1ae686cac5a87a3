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
from typing import Any

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer
from fairlead.dns.config import DnsConfig, from_environment
from fairlead.dns.exposition import exposed
from fairlead.dns.listeners import Listeners
from fairlead.dns.responder import Responder
from fairlead.dns.source import ENDPOINTSLICES, NAMESPACES, SERVICES
from fairlead.dns.workers import prefork
from fairlead.dns.zone import Zone
from fairlead.process import Health, configure_logging
from fairlead.process import run as run_process

__all__ = ["DnsConfig", "run", "run_in_pod", "serve"]

log = logging.getLogger("fairlead.dns")

SWITCH = 0.0002
"""Seconds for which the event loop may keep the UDP thread from the interpreter; Python's 5 ms would be an outage."""


async def run(api: Api, config: DnsConfig, health: Health, listeners: Listeners | None = None) -> None:
    """Serves until cancelled. Goes on answering from what it knows while the API is away.

    Always one process, whatever `workers` says: see `serve`. Raises OSError when an address cannot be bound.
    """
    listeners = listeners or Listeners(config)
    responder = listeners.responder
    watches: list[tuple[Informer[Any], Callable[[Zone, str, Any], set[str]]]] = [
        (Informer(api, NAMESPACES), lambda zone, key, new: zone.put_namespace(key, new is not None)),
        (Informer(api, SERVICES), Zone.put_service),
        (Informer(api, ENDPOINTSLICES), Zone.put_slice),
    ]
    for informer, put in watches:
        health.waits_for(informer.resource.plural)
        informer.subscribe(partial(_apply, responder, put))
    await listeners.start()
    log.info("answering %s on %s", config.domain, ", ".join(f"{a} port {p}" for a, p in listeners.addresses))
    try:
        async with asyncio.TaskGroup() as group:
            for informer, _ in watches:
                group.create_task(informer.run())
            for informer, _ in watches:
                await informer.synced()
                health.has(informer.resource.plural)
            responder.synced()
            log.info("the zone is complete")
    finally:
        await listeners.stop()


def _apply(responder: Responder, put: Callable[[Zone, str, Any], set[str]], change: Change[Any]) -> None:
    responder.change(lambda zone: put(zone, change.key, change.new))


def run_in_pod() -> int:
    """The entry of a container's process: settings from the environment (see `from_environment`); the exit status.

    The API is the one of $KUBECONFIG, else of the pod's ServiceAccount. Health as CoreDNS has it: `/health` on port
    8080, `/ready` on 8181, `/metrics` on 9153.
    """
    configure_logging("dns", os.environ.get("FAIRLEAD_DNS_LOG", "info"))
    try:
        config = from_environment(os.environ)
        credentials = kubeconfig.load()
    except ValueError as error:
        log.error("%s", error)
        return 2
    return serve(config, credentials)


def serve(config: DnsConfig, credentials: kubeconfig.Config, *, expose: str = "0.0.0.0") -> int:  # noqa: S104
    """Runs `config.workers` processes that share the port, until SIGTERM; the exit status.

    `expose` is the address of health and metrics, none if empty. To be called without a running loop.
    """
    if not config.cookie_secret:
        config = replace(config, cookie_secret=secrets.token_bytes(32))

    def work(index: int) -> int:
        sys.setswitchinterval(SWITCH)

        async def main() -> None:
            health = Health()
            async with AsyncExitStack() as stack:
                api = await stack.enter_async_context(Api(credentials, "fairlead-dns"))
                listeners = Listeners(config)
                if expose and index == 0:
                    await stack.enter_async_context(exposed(expose, health, listeners))
                await run(api, config, health, listeners)

        try:
            return run_process(main)
        except OSError as error:
            log.error("%s", error)
            return 1

    return work(0) if config.workers == 1 else prefork(config.workers, work)
