"""The node's agent: registers the node, follows the pods bound to it, and gives each a worker."""

from __future__ import annotations

import asyncio
import logging

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer
from fairlead.node import registration, strays
from fairlead.node.config import NodeConfig
from fairlead.node.hostports.tables import HostPorts
from fairlead.node.inputs import Inputs
from fairlead.node.kubelet import server
from fairlead.node.network import AddressPool
from fairlead.node.occupancy import OccupiedError, occupied
from fairlead.node.podstate import Node, PodState
from fairlead.node.references import References
from fairlead.node.simulated import Simulation, is_simulated
from fairlead.node.worker import PodWorker
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS
from fairlead.process import Health

__all__ = ["NodeConfig", "OccupiedError", "run"]

log = logging.getLogger("fairlead.node")


async def run(api: Api, config: NodeConfig, health: Health) -> None:
    """Runs the node's pods until cancelled; they go on running then, and the next agent adopts them.

    Has to run in the node's network namespace, as (real or apparent) root. `runtime.remove_all` ends the pods of an
    agent that does not run. Raises `OccupiedError` where another agent has the state directory.
    """
    with occupied(config.state_directory, config.name):
        await _run(api, config, health)


def node_of(api: Api, config: NodeConfig, recorder: Recorder) -> Node:
    """What the pods of a node share, of which nothing is used yet."""
    return Node(
        api,
        config,
        recorder,
        AddressPool(config.pod_cidrs),
        References(api),
        Inputs(api),
        HostPorts(config.addresses),
    )


async def _run(api: Api, config: NodeConfig, health: Health) -> None:
    health.waits_for("node", "not registered yet")
    health.waits_for("pods", "not listed yet")
    recorder = Recorder(api, "kubelet", config.name)
    node = node_of(api, config, recorder)
    pods = Informer(api, PODS, fields=f"spec.nodeName={config.name}")
    try:
        async with asyncio.TaskGroup() as tasks:
            workers = _Workers(node, tasks)
            await workers.adopt()
            simulation = Simulation(node, pods)
            pods.subscribe(simulation.follow)
            pods.subscribe(workers.follow)
            tasks.create_task(simulation.run())
            tasks.create_task(registration.keep(api, config, health, recorder))
            if config.kubelet is not None:
                directory = config.state_directory / "kubelet"
                tasks.create_task(
                    server.serve(
                        api, config.name, config.addresses, config.kubelet, directory, workers.states
                    )
                )
            tasks.create_task(pods.run())
            await pods.synced()
            workers.disown(set(_uids(pods)))
            health.has("pods")
            await node.inputs.learn(workers.running())
    finally:
        await recorder.close()


def _uids(pods: Informer[Pod]) -> list[str]:
    return [pod.metadata.uid for pod in pods.items.values()]


class _Workers:
    """The workers by their pods' uids. A name that is used again belongs to another pod, and to another worker."""

    def __init__(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        self._node = node
        self._tasks = tasks
        self._workers: dict[str, PodWorker] = {}
        self._begun: set[str] = set()

    def states(self) -> list[PodState]:
        """All pods, as they are held here."""
        return [worker.state for worker in self._workers.values()]

    def running(self) -> list[Pod]:
        """The pods that have processes."""
        return [state.pod for state in self.states() if state.pod is not None and state.sandbox is not None]

    async def adopt(self) -> None:
        """A worker for every pod that an earlier agent has left in the state directory; they wait for its object."""
        for uid in strays.end(self._node.config.state_directory):
            log.warning("ended what ran of the pod %s: its folder is gone", uid)
        directory = self._node.config.state_directory / "pods"
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            worker = self._workers[path.name] = PodWorker(self._node, path.name, None)
            await worker.adopt()
        if self._workers:
            await self._node.host_ports.settle()
            log.info("adopted %d pods", len(self._workers))

    def follow(self, change: Change[Pod]) -> None:
        """Tells the worker of the pod, or makes one."""
        old, new = change.old, change.new
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._update(old.metadata.uid, None)
        if new is not None and not is_simulated(new):
            self._update(new.metadata.uid, new)

    def disown(self, known: set[str]) -> None:
        """The pods have been listed: adopted ones that are not among them are removed."""
        for uid, worker in self._workers.items():
            if uid not in known:
                log.info("removing what is left of the pod %s, which the API has no longer", uid)
                self._run(uid, worker)

    def _update(self, uid: str, pod: Pod | None) -> None:
        worker = self._workers.get(uid)
        if worker is None:
            if pod is None:
                return
            worker = self._workers[uid] = PodWorker(self._node, uid, pod)
        worker.update(pod)
        if pod is None and worker.finished.is_set():
            del self._workers[uid]
        else:
            self._run(uid, worker)

    def _run(self, uid: str, worker: PodWorker) -> None:
        if uid in self._begun or worker.finished.is_set():
            return
        self._begun.add(uid)
        task = self._tasks.create_task(worker.run(), name=f"pod {uid}")
        task.add_done_callback(lambda _: self._ended(uid))

    def _ended(self, uid: str) -> None:
        self._begun.discard(uid)
        worker = self._workers.get(uid)
        # An object that a finalizer holds may still change; its worker stays known, so that none is made again.
        if worker is not None and worker.absent:
            del self._workers[uid]
