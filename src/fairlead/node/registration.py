"""The node's own objects in the API: its Node, whose Lease `heartbeat` renews.

Upstream: pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from http import HTTPStatus
from pathlib import Path

import msgspec
from msgspec.structs import replace

import fairlead
from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.retry import Backoff
from fairlead.node.config import NodeConfig
from fairlead.node.heartbeat import RENEWALS, Heartbeat
from fairlead.objects.core_v1 import (
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import NODES
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health

log = logging.getLogger("fairlead.node")

REPORT_SECONDS = 300
"""The kubelet's nodeStatusReportFrequency: an unchanged status is written this often."""

KUBERNETES = "v1.36.2"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le"}


def node(config: NodeConfig, now: float) -> Node:
    """The Node with everything this machine says of itself. Reads a few small files."""
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }
    resources = config.allocatable
    addresses = tuple(NodeAddress(type="InternalIP", address=address) for address in config.addresses)
    return Node(
        metadata=ObjectMeta(name=config.name, labels=labels),
        spec=NodeSpec(podCIDR=next(iter(config.pod_cidrs), ""), podCIDRs=tuple(config.pod_cidrs)),
        status=NodeStatus(
            capacity=dict(resources),
            allocatable=dict(resources),
            conditions=_conditions(now),
            addresses=(*addresses, NodeAddress(type="Hostname", address=config.name)),
            nodeInfo=_system(architecture),
            daemonEndpoints=NodeDaemonEndpoints(
                kubeletEndpoint=DaemonEndpoint(Port=config.kubelet.port)
                if config.kubelet
                else DaemonEndpoint()
            ),
        ),
    )


async def keep(api: Api, config: NodeConfig, health: Health, recorder: Recorder | None = None) -> None:
    """Registers the node, then renews its Lease and reports its status, until cancelled."""
    backoff = Backoff(limit=5.0)
    while True:
        try:
            registered = await _register(api, config)
            heartbeat = Heartbeat(api, config.name, config.lease_seconds)
            await heartbeat.renew(registered)
            health.has("node")
            backoff.reset()
            await _beat(api, config, registered, heartbeat, recorder)
        except (StatusError, OSError) as error:
            log.warning("node %s cannot be registered: %s", config.name, error)
        await backoff.wait()


async def _beat(
    api: Api, config: NodeConfig, registered: Node, heartbeat: Heartbeat, recorder: Recorder | None
) -> None:
    """Renews and reports until the Node is gone. Failures are logged once each and survived."""
    reported = time.monotonic()
    while True:
        await asyncio.sleep(config.lease_seconds / RENEWALS)
        try:
            if await heartbeat.renew(registered):
                _deny(config, registered, recorder)
            if time.monotonic() - reported >= REPORT_SECONDS or await _is_doubted(api, config):
                await _report(api, config)
                reported = time.monotonic()
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return
            log.warning("node %s: the heartbeat was refused: %s", config.name, error)
        except OSError as error:
            log.warning("node %s: no heartbeat: %s", config.name, error)


async def _register(api: Api, config: NodeConfig) -> Node:
    """Creates the Node, or brings the labels and status of the one that is there up to date."""
    wanted = node(config, time.time())
    try:
        return await api.create(NODES, wanted)
    except StatusError as error:
        if error.code != HTTPStatus.CONFLICT:
            raise
    metadata = {"labels": wanted.metadata.labels}
    await api.patch(NODES, config.name, "", {"metadata": metadata}, kind="strategic")
    return await _report(api, config)


async def _report(api: Api, config: NodeConfig) -> Node:
    """Writes the status; a condition that was as it is keeps the time of its last change."""
    found = await api.get(NODES, config.name)
    wanted = node(config, time.time())
    before = {condition.type: condition for condition in found.status.conditions}
    conditions = []
    for condition in wanted.status.conditions:
        old = before.get(condition.type)
        if old is not None and old.status == condition.status:
            condition = replace(condition, lastTransitionTime=old.lastTransitionTime)
        conditions.append(condition)
    status = msgspec.to_builtins(replace(wanted.status, conditions=tuple(conditions)))
    # Merged by their types, which two families share: so they are replaced as a whole, as upstream has it
    # (component-helpers/node/util, PatchNodeStatus).
    status["addresses"] = [*status["addresses"], {"$patch": "replace"}]
    return await api.patch(NODES, config.name, "", {"status": status}, kind="strategic", subresource="status")


async def _is_doubted(api: Api, config: NodeConfig) -> bool:
    """Whether the Node is said to be in another state than we said: it is once we have been silent for too long."""
    found = {c.type: c.status for c in (await api.get(NODES, config.name)).status.conditions}
    return any(found.get(own.type) != own.status for own in _conditions(time.time()))


def _deny(config: NodeConfig, registered: Node, recorder: Recorder | None) -> None:
    """Another agent speaks for this node: their pods and their words get into each other's way."""
    message = f"another agent says that it is the node {config.name}: stop one of them, or give it a name of its own"
    log.error("%s", message)
    if recorder is not None:
        recorder.event(registered, "Warning", "NodeNameConflict", message)


def _conditions(now: float) -> tuple[NodeCondition, ...]:
    moment = timestamp(now)
    said = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    return tuple(
        NodeCondition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            lastHeartbeatTime=moment,
            lastTransitionTime=moment,
        )
        for kind, status, reason, message in said
    )


def _system(architecture: str) -> NodeSystemInfo:
    return NodeSystemInfo(
        machineID=_line("/etc/machine-id"),
        systemUUID=_line("/sys/class/dmi/id/product_uuid"),
        bootID=_line("/proc/sys/kernel/random/boot_id"),
        kernelVersion=platform.release(),
        osImage=_distribution(),
        containerRuntimeVersion=f"fairlead://{fairlead.__version__}",
        kubeletVersion=f"{KUBERNETES}-fairlead",
        kubeProxyVersion="",
        operatingSystem="linux",
        architecture=architecture,
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
