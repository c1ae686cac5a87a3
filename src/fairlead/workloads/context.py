"""What every controller of this room is given, and what it has to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fairlead.client.events import Recorder
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import Writer
from fairlead.workloads.cluster import Cluster
from fairlead.workloads.config import WorkloadsConfig


@dataclass(frozen=True)
class Context:
    """The world of one controller. `recorder` names it in Events; all controllers share the cluster and the writer."""

    cluster: Cluster
    writer: Writer
    recorder: Recorder
    config: WorkloadsConfig


class Controller(Protocol):
    """A queue of keys, and the work for one of them."""

    @property
    def queue(self) -> WorkQueue[str]:
        """The keys to look at."""

    @property
    def workers(self) -> int:
        """Keys that are worked on at a time."""

    async def sync(self, key: str) -> None:
        """Looks at one key and does what is missing; called again after what it raises."""


@dataclass(frozen=True)
class Kind:
    """A controller by kube-controller-manager's name, and the component that its Events name."""

    name: str
    component: str
    make: Callable[[Context], Controller]
