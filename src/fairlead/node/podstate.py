"""A pod as its node holds it: the object, the sandbox, the addresses. What the parts of its worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.events import Recorder, reference
from fairlead.node import probes, records, runtime
from fairlead.node.config import NodeConfig
from fairlead.node.containers import field_path
from fairlead.node.hostports.tables import HostPorts
from fairlead.node.inputs import Inputs
from fairlead.node.network import AddressPool
from fairlead.node.records import Address, ContainerRecord, History
from fairlead.node.references import References
from fairlead.node.wholerestart import WholeRestart
from fairlead.objects.core_v1 import Container, ObjectReference, Pod


@dataclass(frozen=True)
class Node:
    """What the pods of a node share."""

    api: Api
    config: NodeConfig
    recorder: Recorder
    addresses: AddressPool
    references: References
    inputs: Inputs
    host_ports: HostPorts


class PodState:
    """One pod. `changed` is set whenever its worker has to look at it again."""

    def __init__(self, node: Node, uid: str, pod: Pod | None) -> None:
        self.node = node
        self.uid = uid
        self.pod = pod
        """As the API has it; None when it has it no longer, or not been heard yet."""
        self.directory = directory_of(node.config, uid)
        self.changed = asyncio.Event()
        self.sandbox: runtime.Sandbox | None = None
        self.settled: Mapping[str, History] | None = None
        """How the containers of the last sandbox ended, once that is gone."""
        self.addresses: tuple[Address, ...] = ()
        """Those that the pod has taken from the node's pool."""
        self.restart = WholeRestart(self.directory)
        self.hooking: set[str] = set()
        """Runs of containers whose postStart hook has not succeeded yet: to the world they have not started."""

    @property
    def name(self) -> str:
        """For the log: `namespace/name`, or the uid where that is all that is known."""
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}" if self.pod else self.uid

    async def adopt(self) -> None:
        """Takes hold of the sandbox that an earlier agent left running, if there is one.

        Where it has died since, what ran in it is recorded as killed, and will be planned for anew.
        """
        self.sandbox = await runtime.adopt(self.directory, self.changed.set)
        if self.sandbox is None:
            self.settled = records.settle(self.directory)
            return
        self.addresses = self.sandbox.record.spec.addresses
        self.node.addresses.claim(self.addresses)
        self.node.host_ports.adopt(self.uid, self.directory)

    def is_forgotten(self) -> bool:
        """Whether somebody has removed the folder of a pod that runs: nobody could find it again. One stat(2)."""
        return self.sandbox is not None and not (self.directory / "sandbox.json").exists()

    def histories(self) -> Mapping[str, History]:
        """What the containers have done, by name; from the disk where no sandbox runs."""
        if self.sandbox is not None:
            return self.sandbox.histories
        if self.settled is not None:
            return self.settled
        return records.read_histories(self.directory)

    def running(self) -> list[ContainerRecord]:
        """The runs of containers that have not ended."""
        return [h.current for h in self.histories().values() if h.current.running]

    def ips(self, pod: Pod) -> tuple[str, ...]:
        """The pod's addresses; none before it has a sandbox."""
        if pod.spec.hostNetwork:
            return tuple(self.node.config.addresses)
        return tuple(address.ip for address in self.addresses)

    def target(self, container: Container, run: str) -> probes.Target:
        """A run of a container, as what probes and hooks are sent to. The API may have the pod no longer."""
        assert self.sandbox is not None
        record = self.sandbox.histories[container.name].current
        spec = self.sandbox.record.spec
        ips = self.node.config.addresses if spec.host_network else tuple(one.ip for one in self.addresses)
        return probes.Target(container, run, next(iter(ips), "127.0.0.1"), self.sandbox, record.started_at)

    def free_addresses(self) -> None:
        """Gives the addresses back to the pool. Only for a pod of which nothing runs."""
        self.node.addresses.give_back(self.addresses)
        self.addresses = ()

    def event(self, kind: str, reason: str, message: str, container: Container | None = None) -> None:
        """Tells of the pod, or of one of its containers; nothing where the pod is gone."""
        if self.pod is not None:
            self.node.recorder.event(_about(self.pod, container), kind, reason, message)


def directory_of(config: NodeConfig, uid: str) -> Path:
    """Where a pod's state is kept."""
    return config.state_directory / "pods" / uid


def _about(pod: Pod, container: Container | None) -> ObjectReference:
    if container is None:
        return reference(pod)
    return replace(reference(pod), fieldPath=field_path(pod, container))
