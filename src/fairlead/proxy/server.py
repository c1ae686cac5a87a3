"""The proxy as a component: informers in, one kernel out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.process import Health
from fairlead.proxy import nftables
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.nftables import Nftables
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.resources import ENDPOINTSLICES, NODES, PROXY_NAME, SERVICES
from fairlead.proxy.selection import Node

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


async def run(api: Api, config: ProxyConfig, health: Health) -> None:
    """Keeps the kernel of this network namespace in step with the API until cancelled.

    Everything stays in the kernel at the end: Services go on while the proxy is away, and the next one takes
    over without a connection lost. Raises ValueError for a mode that there is not, and
    `libnftables.NftablesMissing` where nftables cannot be used.
    """
    if config.mode != "nftables":
        raise ValueError(f"proxy mode {config.mode!r} is not supported: use nftables")
    health.waits_for("nftables", "no rules in the kernel yet")
    options = ProxyOptions(LocalPods(config.cluster_cidrs), config.service_cidrs)
    dataplane = Nftables(options, IPV4)
    try:
        proxier = Proxier(Ledger(Node(config.node_name), IPV4), dataplane, health)
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
            await proxier.watch()
    finally:
        dataplane.close()


def cleanup() -> None:
    """Removes everything that the proxy put into the kernel of this network namespace.

    Raises `libnftables.NftablesMissing` where it may not.
    """
    nftables.cleanup(IPV4)
