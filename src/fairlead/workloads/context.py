"""What every controller of this room is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fairlead.client.controllers import Controller
from fairlead.client.events import Recorder
from fairlead.client.writer import Writer
from fairlead.workloads.cluster import Cluster
from fairlead.workloads.config import WorkloadsConfig


@dataclass(frozen=True)
class Context:
    """The world of one controller. `recorder` names it in Events; all controllers share the cluster and the writer.

    `clock` says what time it is, in s since 1970, to those that do something at a time of day.
    """

    cluster: Cluster
    writer: Writer
    recorder: Recorder
    config: WorkloadsConfig
    clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class Kind:
    """A controller by kube-controller-manager's name, and the component that its Events name."""

    name: str
    component: str
    make: Callable[[Context], Controller]
