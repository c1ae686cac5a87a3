"""The components of a lab: what each of its processes runs, in which namespace, as which user of the API.

Importing this module imports every room: it is what the supervisor has in memory and its forks share.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from fairlead.apiserver.access.gate import AccessConfig
from fairlead.apiserver.connect.backends import Dial, KubeletClient
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.dns import server as dns
from fairlead.endpoints import controller as endpoints
from fairlead.endpoints.config import EndpointsConfig
from fairlead.lab import claims, cloud, links, members, router, topology
from fairlead.lab.credentials import (
    CONTROLLERS,
    LOADBALANCER,
    PROXY,
    SCHEDULER,
    SPEAKER,
    WORKLOADS,
    Credentials,
)
from fairlead.lab.network import Network, Refused
from fairlead.lab.state import Record, StateDirectory
from fairlead.lab.supervisor import Component
from fairlead.loadbalancer import controller as loadbalancer
from fairlead.loadbalancer import speaker
from fairlead.loadbalancer.config import LoadBalancerConfig
from fairlead.node import agent
from fairlead.node.builtinimages import builtin
from fairlead.node.heartbeat import LEASE_SECONDS
from fairlead.node.images import Image, merge
from fairlead.node.kubelet.config import KubeletConfig
from fairlead.process import Health, configure_logging, listener, run, serve_health
from fairlead.proxy import family as proxyfamily
from fairlead.proxy import server as proxy
from fairlead.proxy.options import IpvsOptions
from fairlead.workloads import controller as workloads
from fairlead.workloads import scheduler
from fairlead.workloads.config import WorkloadsConfig

log = logging.getLogger("fairlead.lab")

NODE_HEALTH_PORT = 10248
"""As the kubelet's --healthz-port; on the node's loopback."""

PROXY_HEALTH_PORT = 10256
"""As kube-proxy's --healthz-bind-address; on all of the node's addresses."""

PROXY_METRICS_PORT = 10249
"""As kube-proxy's --metrics-bind-address; on the node's loopback."""

CLAIMS = "claims"
"""The folder of a lab that has those of persistent volume claims."""

CONTROLLERS_HEALTH_PORT = 10257
"""As kube-controller-manager's --secure-port, without TLS; on the router's address."""

Sockets = Mapping[str, socket.socket]


def images(own: Mapping[str, Image]) -> dict[str, Image]:
    """The image map of a lab's nodes: `own` entries of the user's first, then the built-in ones."""
    return merge(own, builtin(), {"fairlead/dns": Image(entrypoint=("dns",), run=dns.run_in_pod)})


def components(
    directory: StateDirectory, record: Record, own_images: Mapping[str, Image], sockets: list[socket.socket]
) -> tuple[Component, ...]:
    """All components of a lab of the nodes that it has now, in the order in which they are started."""
    credentials = Credentials(directory.path)
    running = [member for member in members.read(directory) if not member.stopped]
    nodes = members.planned(running, record.families)
    known = images(own_images)

    def as_process(
        name: str, main: Callable[[], Coroutine[Any, Any, None]], namespace: str = ""
    ) -> Callable[[], int]:
        def start() -> int:
            configure_logging(name, record.log_level)
            if namespace:
                _enter(directory.network, namespace)
            return run(main)

        return start

    def node_main(node: topology.Node) -> Callable[[], Coroutine[Any, Any, None]]:
        return lambda: _node(directory, credentials, node, record, known)

    def as_router() -> int:
        configure_logging("router", record.log_level)
        _enter(directory.network, topology.UNDERLAY)
        return router.run(directory.path / "router", record.families)

    return (
        Component(
            "apiserver",
            as_process("apiserver", lambda: _apiserver(record, credentials, sockets, directory.network)),
            keeps=tuple(sock.fileno() for sock in sockets),
        ),
        Component(
            "controllers",
            as_process(
                "controllers", lambda: _controllers(directory, credentials, record), topology.UNDERLAY
            ),
        ),
        *((Component("router", as_router),) if record.loadbalancer == "bgp" else ()),
        *(Component(node.name, as_process(node.name, node_main(node), node.name)) for node in nodes),
    )


def _enter(network: Network, namespace: str) -> None:
    """Moves the process into a namespace of the lab for good."""
    from fairlead.node import namespaces

    fd = namespaces.open_network(network.path(namespace))
    namespaces.setns(fd, namespaces.CLONE_NEWNET)


def dialing(network: Network) -> Dial:
    """Sockets for the API server, whose process stays in the host's network: of the underlay, or of a pod's node.

    The underlay has no way to pods, as in clusters whose control plane is no part of the pods' network.
    """

    def dial(family: int, node: str) -> socket.socket:
        from fairlead.node import namespaces

        fd = namespaces.open_network(network.path(node or topology.UNDERLAY))
        try:
            return namespaces.socket_in(fd, family)
        finally:
            os.close(fd)

    return dial


async def _apiserver(
    record: Record, credentials: Credentials, sockets: list[socket.socket], network: Network
) -> None:
    config = ServerConfig(
        store=record.store,
        service_cidrs=tuple(family.services for family in record.families),
        certificate=credentials.certificate,
        key=credentials.key,
        authority=credentials.authority,
        tokens=credentials.tokens,
        access=AccessConfig(
            client_ca_file=credentials.authority,
            service_account_signing_key_file=credentials.account_key,
            service_account_issuer=f"https://kubernetes.default.svc.{topology.CLUSTER_DOMAIN}",
        ),
        kubelets=KubeletClient(
            kubelet_client_certificate=credentials.kubelet_client_certificate,
            kubelet_client_key=credentials.kubelet_client_key,
            dial=dialing(network),
        ),
        advertise_address=record.families[0].router,
        advertise_port=topology.API_PORT,
    )
    await serve(config, sockets, Health())


async def _controllers(directory: StateDirectory, credentials: Credentials, record: Record) -> None:
    health = Health()
    runner = await serve_health(health, listener(record.families[0].router, CONTROLLERS_HEALTH_PORT))
    try:
        async with (
            Api(kubeconfig.load(credentials.kubeconfig(CONTROLLERS)), "fairlead-endpoints") as endpoints_api,
            Api(kubeconfig.load(credentials.kubeconfig(SCHEDULER)), "fairlead-scheduler") as scheduler_api,
            Api(kubeconfig.load(credentials.kubeconfig(WORKLOADS)), "fairlead-workloads") as workloads_api,
            Api(kubeconfig.load(credentials.kubeconfig(LOADBALANCER)), loadbalancer.NAME) as loadbalancer_api,
            asyncio.TaskGroup() as tasks,
        ):
            if record.loadbalancer != "none":
                tasks.create_task(loadbalancer.run(loadbalancer_api, LoadBalancerConfig(), health))
            if record.loadbalancer == "cloud":
                tasks.create_task(cloud.run(loadbalancer_api, record.loadbalancer_via, record.families))
            tasks.create_task(endpoints.run(endpoints_api, EndpointsConfig(), health))
            tasks.create_task(scheduler.run(scheduler_api, health))
            of_workloads = WorkloadsConfig(node_monitor_grace_period=record.node_monitor_grace_period)
            tasks.create_task(workloads.run(workloads_api, of_workloads, health))
            tasks.create_task(claims.Binder(workloads_api, directory.path / CLAIMS).run())
    finally:
        await runner.cleanup()


async def _node(
    directory: StateDirectory,
    credentials: Credentials,
    node: topology.Node,
    record: Record,
    known: Mapping[str, Image],
) -> None:
    first = record.families[0]
    labels = {
        f"topology.kubernetes.io/{kind}": value
        for kind, value in (("zone", node.zone), ("region", record.region))
        if value
    }

    async def linked(uid: str, pid: int) -> None:
        if not members.links(directory):
            return
        try:
            await asyncio.to_thread(links.restore, directory, node.name, uid, pid)
        except (Refused, OSError) as error:
            log.warning("the link of the pod %s is well again, which it was not: %s", uid, error)

    agent_config = agent.NodeConfig(
        name=node.name,
        addresses=node.addresses,
        pod_cidrs=node.pod_cidrs,
        labels=labels,
        state_directory=directory.path / "nodes" / node.name,
        shared_claims=directory.path / CLAIMS,
        images=known,
        cluster_dns=(first.dns,),
        cluster_domain=topology.CLUSTER_DOMAIN,
        api_service=(first.kubernetes, 443),
        kubelet=KubeletConfig(),
        linked=linked,
        # A node that may be silent for a shorter time speaks more often.
        lease_seconds=max(1, min(LEASE_SECONDS, int(record.node_monitor_grace_period))),
    )
    proxy_config = proxy.ProxyConfig(
        node_name=node.name,
        mode=record.proxy_mode,
        families=tuple(proxyfamily.IPV4 if f.version == 4 else proxyfamily.IPV6 for f in record.families),
        service_cidrs=tuple(family.services for family in record.families),
        ipvs=IpvsOptions(strict_arp=record.loadbalancer == "l2"),
        # As --detect-local-mode NodeCIDR has it, without waiting for the Node.
        cluster_cidrs=node.pod_cidrs,
        # A socket of IPv6 on every address takes IPv4 as well.
        healthz=listener(max(record.families, key=lambda f: f.version).any_address, PROXY_HEALTH_PORT),
        metrics=listener("127.0.0.1", PROXY_METRICS_PORT),
    )
    agent_health, proxy_health = Health(), Health()
    runner = await serve_health(agent_health, listener("127.0.0.1", NODE_HEALTH_PORT))
    try:
        async with (
            Api(kubeconfig.load(credentials.kubeconfig(node.name)), "fairlead-node") as agent_api,
            Api(kubeconfig.load(credentials.kubeconfig(PROXY)), "fairlead-proxy") as proxy_api,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(agent.run(agent_api, agent_config, agent_health))
            tasks.create_task(proxy.run(proxy_api, proxy_config, proxy_health))
            if record.loadbalancer in ("l2", "bgp"):
                tasks.create_task(_speaker(directory, credentials, node, record, agent_health))
    finally:
        await runner.cleanup()


async def _speaker(
    directory: StateDirectory, credentials: Credentials, node: topology.Node, record: Record, health: Health
) -> None:
    config = speaker.SpeakerConfig(node.name)
    if record.loadbalancer == "bgp":
        files = directory.path / "bgp" / node.name
        files.mkdir(parents=True, exist_ok=True)
        config = replace(config, bgp=router.node_config(record.families), directory=files)
    async with Api(kubeconfig.load(credentials.kubeconfig(SPEAKER)), speaker.NAME) as api:
        await speaker.run(api, config, health)
