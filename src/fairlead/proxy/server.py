"""The proxy as a component: informers in, one kernel out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import REGISTRY

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Informer
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.objects.core_v1 import Service
from fairlead.process import Health
from fairlead.proxy import healthserver, modes, sysctls, traffic
from fairlead.proxy.dataplane import Refused, Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.healthchecks import HealthChecks
from fairlead.proxy.healthserver import ProxyHealth
from fairlead.proxy.ledger import Ledger, Report, log_only
from fairlead.proxy.options import IpvsOptions, ProxyOptions
from fairlead.proxy.ownnode import OwnNode
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.resources import ENDPOINTSLICES, NODES, PROXY_NAME, SERVICES
from fairlead.proxy.rulesets import KernelWithout
from fairlead.proxy.selection import Node
from fairlead.proxy.sysctls import ConntrackOptions
from fairlead.proxy.traffic import Counted, Traffic
from fairlead.proxy.trafficmetrics import TrafficCollector

log = logging.getLogger("fairlead.proxy")

NOT_OURS = f"!{PROXY_NAME}"
"""Label selector for what is not meant for another proxy."""
NOT_HEADLESS = f"{NOT_OURS},!service.kubernetes.io/headless"

AGAIN = 10.0
"""Seconds until what another mode left, and what could not be removed, is tried again."""

LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")


@dataclass(frozen=True)
class ProxyConfig:
    """What a node's proxy needs to know; named as kube-proxy's flags are."""

    node_name: str
    mode: str = "nftables"
    families: tuple[Family, ...] = (IPV4,)
    cluster_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    """Where pods live: what comes to a ClusterIP from elsewhere is masqueraded."""
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    """Where virtual addresses are taken from: packets to those of no Service are dropped."""
    detect_local_mode: str = "ClusterCIDR"
    """How the node's own pods are told: one of LOCAL_MODES."""
    pod_bridge_interface: str = ""
    pod_interface_name_prefix: str = ""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    nodeport_addresses: tuple[str, ...] = ()
    own_table: bool = True
    """Whether nobody else may change the table of the mode nftables while we run (Linux 6.9)."""
    ipvs: IpvsOptions = field(default_factory=IpvsOptions)
    conntrack: ConntrackOptions = field(default_factory=ConntrackOptions)
    traffic: Counted = Counted.NONE
    """What of each Service's traffic is counted, for /metrics."""
    healthz: socket.socket | None = None
    """Where /healthz and /livez are served: listening."""
    metrics: socket.socket | None = None
    """Where /metrics and /proxyMode are served: listening."""

    def local_pods(self, node: ApiNode | None) -> LocalPods | None:
        """How the node's pods are told; None while its object does not say it yet."""
        if self.detect_local_mode == "BridgeInterface":
            return LocalPods(interface=self.pod_bridge_interface)
        if self.detect_local_mode == "InterfaceNamePrefix":
            return LocalPods(interface=f"{self.pod_interface_name_prefix}*")
        if self.detect_local_mode == "ClusterCIDR":
            return LocalPods(self.cluster_cidrs)
        spec = node.spec if node is not None else None
        cidrs = (spec.podCIDRs or tuple(filter(None, (spec.podCIDR,)))) if spec is not None else ()
        return LocalPods(cidrs) if cidrs else None

    def options(self, node: ApiNode | None = None) -> ProxyOptions:
        """What the dataplane has to know of it; `node` is the node's object, where it is known."""
        return ProxyOptions(
            self.local_pods(node) or LocalPods(),
            self.service_cidrs,
            self.masquerade_all,
            self.masquerade_bit,
            self.nodeport_addresses,
            own_table=self.own_table,
            ipvs=self.ipvs,
        )


async def run(api: Api, config: ProxyConfig, health: Health) -> None:
    """Keeps the kernel of this network namespace in step with the API until cancelled.

    Everything stays in the kernel at the end: Services go on while the proxy is away, and the next one takes
    over without a connection lost. What another mode left is removed when ours is in place. Raises ValueError for
    a mode that there is not, `dataplane.Unusable` where it cannot work, or has to be started again.
    """
    modes.load(config.mode)
    health.waits_for(config.mode, "no rules in the kernel yet")
    state = ProxyHealth(health)
    recorder = Recorder(api, "kube-proxy", config.node_name)
    async with contextlib.AsyncExitStack() as stack:
        if config.healthz is not None:
            runner = await healthserver.serve_health(state, config.healthz)
            stack.push_async_callback(runner.cleanup)
        if config.metrics is not None:
            runner = await healthserver.serve_metrics(state, config.mode, config.metrics)
            stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(recorder.close)
        sysctls.apply(config.conntrack)
        async with asyncio.TaskGroup() as tasks:
            await _follow(api, config, state, _reporter(recorder), tasks, stack)


async def _follow(
    api: Api,
    config: ProxyConfig,
    state: ProxyHealth,
    report: Report,
    tasks: asyncio.TaskGroup,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Starts everything. `stack` outlives the tasks."""
    mode = modes.load(config.mode)
    nodes = Informer(api, NODES, fields=f"metadata.name={config.node_name}")
    services = Informer(api, SERVICES, labels=NOT_OURS, fields="spec.clusterIP!=None")
    slices = Informer(api, ENDPOINTSLICES, labels=NOT_HEADLESS)
    for informer in (nodes, services, slices):
        tasks.create_task(informer.run())
    own = OwnNode()
    nodes.subscribe(own.changed)
    nodes.subscribe(state.node_changed)
    state.health.waits_for("node", f"the Node {config.node_name} has no podCIDRs yet")
    options = config.options(await own.until(lambda node: config.local_pods(node) is not None))
    state.health.has("node")
    tasks.create_task(_while_the_pods_stay(own, config, options.local_pods))
    checks = HealthChecks(state.healthy, report)
    tasks.create_task(checks.run())
    proxiers: list[Proxier] = []
    for family in config.families:
        try:
            dataplane = mode.dataplane(options, family)
        except Unusable as error:
            if not proxiers:
                raise
            log.warning("no Services over %s: %s", family.address_type, error)
            continue
        proxier = Proxier(
            # What both families say of a Service is said once.
            Ledger(Node(config.node_name), family, _quiet if proxiers else report),
            dataplane,
            state.health,
            mode=config.mode,
            interval=mode.interval(options),
            apart=mode.apart,
            healthchecks=checks,
        )
        stack.callback(proxier.close)
        proxiers.append(proxier)
        services.subscribe(proxier.service_changed)
        slices.subscribe(proxier.slice_changed)
        nodes.subscribe(proxier.node_changed)
    for informer in (nodes, services, slices):
        await informer.synced()
    for proxier in proxiers:
        await proxier.begin()
        tasks.create_task(proxier.watch())
    for proxier in proxiers:
        await proxier.in_place.wait()
    _count(config.traffic, proxiers, stack)
    if left := clean_others(config.mode):
        tasks.create_task(_clean_again(config.mode, left))
    state.health.has(config.mode)


async def _while_the_pods_stay(own: OwnNode, config: ProxyConfig, told: LocalPods) -> None:
    """Ends the proxy when its node's pods are told otherwise, for the next start to take that up.

    A Node that is made anew may have other podCIDRs. kube-proxy ends as well (pkg/proxy/node.go, OnNodeChange).
    """
    await own.until(lambda node: config.local_pods(node) not in (None, told))
    raise Unusable(
        f"the Node {config.node_name} has other podCIDRs than {', '.join(told.cidrs)} now: start the proxy again"
    )


def _count(counted: Counted, proxiers: Sequence[Proxier], stack: contextlib.AsyncExitStack) -> None:
    """Has the kernel count, and tells Prometheus, until `stack` is left; or has it stop."""
    sources = []
    for proxier in proxiers:
        family = proxier.dataplane.family
        try:
            if counted is Counted.NONE:
                traffic.cleanup(family)
                continue
            counters = Traffic(counted, family)
            stack.callback(counters.close)
            counters.start()
            sources.append((counters, proxier.ledger))
        except (Unusable, Refused, OSError) as error:
            level = logging.DEBUG if counted is Counted.NONE else logging.ERROR
            log.log(level, "traffic over %s is not counted: %s", family.address_type, error)
    if sources:
        collector = TrafficCollector(counted, sources)
        REGISTRY.register(collector)
        stack.callback(REGISTRY.unregister, collector)


def _reporter(recorder: Recorder) -> Report:
    def report(service: Service, reason: str, sentence: str) -> None:
        log_only(service, reason, sentence)
        recorder.event(service, "Warning", reason, sentence)

    return report


def _quiet(service: Service, reason: str, sentence: str) -> None:
    log.debug("Service %s/%s: %s", service.metadata.namespace, service.metadata.name, sentence)


def clean_others(mode: str) -> list[str]:
    """Removes what the modes other than this one have left; gives what could not be removed, a sentence each."""
    left = []
    for name in modes.MODES:
        if name != mode:
            for family in families():
                try:
                    modes.load(name).cleanup(family, beside=mode)
                except (Unusable, Refused, OSError) as error:
                    left.append(f"what the mode {name} may have left is not removed: {error}")
    return left


async def _clean_again(mode: str, left: list[str]) -> None:
    """Until it is removed: a proxy of another mode, which has its table to itself, may be on its way out."""
    told: list[str] = []
    while left:
        for sentence in left:
            if sentence not in told:
                log.warning("%s; trying again", sentence)
        told = left
        await asyncio.sleep(AGAIN)
        left = clean_others(mode)


def families() -> tuple[Family, ...]:
    """Those that this kernel has."""
    return (IPV4, IPV6) if Path("/proc/net/if_inet6").exists() else (IPV4,)


def cleanup() -> None:
    """Removes everything that the proxy put into the kernel of this network namespace, in any mode.

    Raises `dataplane.Unusable` or `dataplane.Refused` where it may not.
    """
    for family in families():
        for name in modes.MODES:
            modes.load(name).cleanup(family)
        with contextlib.suppress(KernelWithout):
            traffic.cleanup(family)
