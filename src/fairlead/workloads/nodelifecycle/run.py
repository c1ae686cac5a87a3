"""The controllers of nodes together: one set of informers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Informer, all_synced
from fairlead.objects.resources import LEASES, NODES, PODS
from fairlead.process import Health
from fairlead.workloads.nodelifecycle import controller as lifecycle
from fairlead.workloads.nodelifecycle import evictor
from fairlead.workloads.nodelifecycle.collector import PodGarbageCollector
from fairlead.workloads.nodelifecycle.config import NodeLifecycleConfig
from fairlead.workloads.nodelifecycle.controller import NodeLifecycleController
from fairlead.workloads.nodelifecycle.evictor import TaintEvictionController
from fairlead.workloads.nodelifecycle.pods import by_node


async def run(
    api: Api, config: NodeLifecycleConfig, health: Health, check: Callable[[], None] = lambda: None
) -> None:
    """Looks after nodes and the pods on them until cancelled. `check` raises OSError where another replica may lead."""
    nodes, pods = Informer(api, NODES), Informer(api, PODS)
    leases = Informer(api, LEASES, namespace=lifecycle.LEASE_NAMESPACE)
    by_node(pods)
    recorders = Recorder(api, lifecycle.COMPONENT), Recorder(api, evictor.COMPONENT)
    controllers = (
        NodeLifecycleController(api, nodes, leases, pods, recorders[0], config, check),
        TaintEvictionController(api, nodes, pods, recorders[1], check),
        PodGarbageCollector(api, nodes, pods, config, check),
    )
    informers = (nodes, leases, pods)
    try:
        async with all_synced(informers, health, "node-lifecycle"), asyncio.TaskGroup() as group:
            for each in controllers:
                for informer in informers:
                    informer.on_return(each.queue.hurry)
                group.create_task(each.queue.serve(each.sync, workers=each.workers))
    finally:
        for recorder in recorders:
            await recorder.close()
