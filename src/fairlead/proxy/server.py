"""The proxy as a component: informers in, one kernel out."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.process import Health
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Refused, Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.resources import ENDPOINTSLICES, NODES, PROXY_NAME, SERVICES
from fairlead.proxy.selection import Node

log = logging.getLogger("fairlead.proxy")

NOT_OURS = f"!{PROXY_NAME}"
"""Label selector for what is not meant for another proxy."""
NOT_HEADLESS = f"{NOT_OURS},!service.kubernetes.io/headless"


@dataclass(frozen=True)
class ProxyConfig:
    """What a node's proxy needs to know."""

    node_name: str
    mode: str = "nftables"
    cluster_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    """Where pods live: what comes to a ClusterIP from elsewhere is masqueraded."""
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    """Where virtual addresses are taken from: packets to those of no Service are dropped."""

    def options(self) -> ProxyOptions:
        """What the dataplane has to know of it."""
        return ProxyOptions(LocalPods(self.cluster_cidrs), self.service_cidrs)


async def run(api: Api, config: ProxyConfig, health: Health) -> None:
    """Keeps the kernel of this network namespace in step with the API until cancelled.

    Everything stays in the kernel at the end: Services go on while the proxy is away, and the next one takes
    over without a connection lost. What another mode left is removed when ours is in place. Raises ValueError for
    a mode that there is not, and `dataplane.Unusable` where it cannot work.
    """
    mode = modes.load(config.mode)
    health.waits_for(config.mode, "no rules in the kernel yet")
    dataplane = mode.dataplane(config.options(), IPV4)
    try:
        ledger = Ledger(Node(config.node_name), IPV4)
        proxier = Proxier(ledger, dataplane, health, mode=config.mode, interval=mode.interval)
        services = Informer(api, SERVICES, labels=NOT_OURS, fields="spec.clusterIP!=None")
        slices = Informer(api, ENDPOINTSLICES, labels=NOT_HEADLESS)
        nodes = Informer(api, NODES, fields=f"metadata.name={config.node_name}")
        services.subscribe(proxier.service_changed)
        slices.subscribe(proxier.slice_changed)
        nodes.subscribe(proxier.node_changed)
        async with asyncio.TaskGroup() as tasks:
            for informer in (services, slices, nodes):
                tasks.create_task(informer.run())
            for informer in (services, slices, nodes):
                await informer.synced()
            proxier.start()
            _clean_others(config.mode)
            await proxier.watch()
    finally:
        dataplane.close()


def _clean_others(mode: str) -> None:
    for name in modes.MODES:
        if name != mode:
            try:
                modes.load(name).cleanup(IPV4, beside=mode)
            except (Unusable, Refused, OSError) as error:
                log.warning("what the mode %s may have left is not removed: %s", name, error)


def cleanup() -> None:
    """Removes everything that the proxy put into the kernel of this network namespace, in any mode.

    Raises `dataplane.Unusable` or `dataplane.Refused` where it may not.
    """
    for name in modes.MODES:
        modes.load(name).cleanup(IPV4)
