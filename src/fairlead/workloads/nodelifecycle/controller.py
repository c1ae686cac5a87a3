"""The node lifecycle controller: which nodes are silent, what their conditions and taints then say.

A node is heard of by its Lease and by its status. Nothing is polled: each node has one timer, for the moment at which
its silence would be too long. Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from http import HTTPStatus

from fairlead.client.informer import Change
from fairlead.client.queue import WorkQueue
from fairlead.objects.coordination_v1 import Lease
from fairlead.objects.core_v1 import Node, Pod
from fairlead.objects.resources import LEASES, NODES, PODS
from fairlead.objects.status import StatusError
from fairlead.workloads.context import Context
from fairlead.workloads.nodelifecycle import taints
from fairlead.workloads.nodelifecycle.health import heartbeat, ready_status, silenced, unready
from fairlead.workloads.nodelifecycle.pods import on_node, write_condition
from fairlead.workloads.nodelifecycle.zones import Pace, Zone, is_cut_off, rates, survey, zone_of

log = logging.getLogger("fairlead.workloads")

LEASE_NAMESPACE = "kube-node-lease"
WORKERS = 8


@dataclass
class _Heard:
    """The last sign of life of a node: what it said in its status and in its Lease, and when we saw it, in s."""

    status: str
    lease: str
    at: float


class NodeLifecycleController:
    """Nodes by name; work is in proportion to nodes that change, not to those that there are."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("node_lifecycle")
        self.workers = WORKERS
        self._nodes = cluster.informer(NODES)
        self._leases = cluster.informer(LEASES, LEASE_NAMESPACE)
        self._pods = cluster.informer(PODS)
        self._writer, self._recorder = context.writer, context.recorder
        self._grace = context.config.node_monitor_grace_period
        self._startup_grace = context.config.node_startup_grace_period
        self._rates = context.config.rates
        self._heard: dict[str, _Heard] = {}
        self._zones: dict[str, Zone] | None = None
        self._cut_off = False
        self._pace = Pace()
        self._last = 0.0  # when any node was heard of
        self._unwell: dict[str, float] = {}  # since when a node is known not to be ready
        self._doubtful: set[str] = set()
        self._nodes.subscribe(self._on_node)
        self._leases.subscribe(self._on_lease)
        self._nodes.on_return(self.forgive)
        self._leases.on_return(self.forgive)

    def forgive(self) -> None:
        """Counts the silence of every node anew: while the server was away, nobody could be heard."""
        now = time.monotonic()
        for heard in self._heard.values():
            heard.at = now

    async def sync(self, name: str) -> None:
        """Makes the conditions and taints of one node right, and says of its pods that they are not ready."""
        node = self._nodes.items.get(name)
        if node is None:
            return
        try:
            if self._silence_left(node) <= 0:
                await self._ask(name)
                if name not in self._heard:
                    return
                if self._nodes.is_away or self._leases.is_away:
                    self.forgive()  # the server is back this moment, and the nodes have not had the time to speak
                elif self._silence_left(node) <= 0:
                    node = await self._silence(node)
            if (left := self._silence_left(node)) > 0:
                self.queue.add_after(name, left)
            await self._taint(node)
        except OSError:
            self.forgive()
            raise

    def _silence_left(self, node: Node) -> float:
        """Seconds until the node has been silent for too long; 0 or less if it has been."""
        never = all(condition.type != "Ready" for condition in node.status.conditions)
        grace = self._startup_grace if never else self._grace
        return self._heard[node.metadata.name].at + grace - time.monotonic()

    async def _ask(self, name: str) -> None:
        """Asks the server when the node renewed its Lease: what we were told may be behind."""
        try:
            lease = await self._writer.api.get(LEASES, name, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return
            raise
        if name in self._heard:
            self._hear(name, lease=lease.spec.renewTime or "")

    async def _silence(self, node: Node) -> Node:
        """Writes into the status that nobody knows how the node is; gives the node as it is then."""
        name = node.metadata.name
        if changed := silenced(node, time.time()):
            was = ready_status(node)
            patch = {
                "metadata": {"resourceVersion": node.metadata.resourceVersion},
                "status": {"conditions": changed},
            }
            node = await self._writer.patch(NODES, node, patch, kind="strategic", subresource="status")
            log.info("node %s: no sign of life for %.0f s", name, self._grace)
            if was == "True":
                self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        for pod in on_node(self._pods, name):
            await self._unready(pod)
        return node

    async def _unready(self, pod: Pod) -> None:
        condition = unready(pod, time.time())
        if condition is None:
            return
        if await write_condition(self._writer, pod, condition):
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: Node) -> None:
        """Gives the node the taints that its conditions ask for, those that expel pods not faster than allowed."""
        wanted = taints.tainted(node, evict=self._may_evict(node), now=time.time())
        if self._cut_off:
            wanted = taints.released(wanted)
        if wanted == node.spec.taints:
            return
        patch = {
            "metadata": {"resourceVersion": node.metadata.resourceVersion},
            "spec": {"taints": wanted or None},
        }
        await self._writer.patch(NODES, node, patch)

    def _may_evict(self, node: Node) -> bool:
        """Whether the pods of a node that is not ready may be expelled now; if not, the node is looked at again then.

        Not before some node has been heard of since: else it is rather we who hear nothing.
        """
        name, zones = node.metadata.name, self._survey()
        if not taints.evicting(node):
            self._unwell.pop(name, None)
            return False
        if taints.is_evicting(node):
            return False
        if self._last <= self._unwell.setdefault(name, time.monotonic()):
            self._doubtful.add(name)
            return False
        zone = zone_of(node)
        wait = self._pace.wait(zone, rates(zones, self._rates).get(zone, 0.0), time.monotonic())
        if wait:
            self.queue.add_after(name, wait)
        return wait == 0

    def _survey(self) -> dict[str, Zone]:
        """The zones as they are; whoever waits for their state looks again if it changed. Cost: the nodes."""
        if self._zones is None:
            self._zones = survey(self._nodes.items.values())
            cut_off = is_cut_off(self._zones)
            if self._cut_off and not cut_off:
                self.forgive()
            self._cut_off = cut_off
            for name, node in self._nodes.items.items():
                if ready_status(node) != "True":
                    self.queue.add(name)
        return self._zones

    def _hear(self, name: str, *, status: str = "", lease: str = "") -> None:
        """The node said this; if it is new, the node is alive."""
        now = time.monotonic()
        heard = self._heard.get(name)
        if heard is None:
            self._heard[name] = _Heard(status, lease, now)
            return
        said = status or heard.status, lease or heard.lease
        if said == (heard.status, heard.lease):
            return
        self._heard[name] = _Heard(*said, now)
        self._last = now
        for each in self._doubtful:
            self.queue.add(each)
        self._doubtful.clear()

    def _on_lease(self, change: Change[Lease]) -> None:
        name = change.key.partition("/")[2]
        if change.new is not None and name in self._nodes.items:
            self._hear(name, lease=change.new.spec.renewTime or "")

    def _on_node(self, change: Change[Node]) -> None:
        name, old, new = change.key, change.old, change.new
        if new is None:
            self._heard.pop(name, None)
            self._unwell.pop(name, None)
            self._doubtful.discard(name)
            if old is not None:
                self._tell(old, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
        else:
            lease = self._leases.items.get(f"{LEASE_NAMESPACE}/{name}")
            renewed = lease.spec.renewTime if lease is not None else None
            self._hear(name, status=heartbeat(new), lease=renewed or "")
            if old is None:
                self._tell(new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        if old is None or new is None or _place(old) != _place(new):
            self._zones = None
        if new is not None:
            self.queue.add(name)
        elif self._nodes.items:
            self.queue.add(next(iter(self._nodes.items)))  # the zones are others now

    def _tell(self, node: Node, reason: str, message: str) -> None:
        self._recorder.event(node, "Normal", reason, message)


def _place(node: Node) -> tuple[str, str]:
    return zone_of(node), ready_status(node)
