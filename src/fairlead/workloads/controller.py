"""The controllers of workloads together: one set of informers, and the controllers that are asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fairlead.client.api import Api
from fairlead.client.controllers import serve
from fairlead.client.election import ElectionConfig, elected
from fairlead.client.events import Recorder
from fairlead.client.informer import all_synced
from fairlead.client.writer import Writer
from fairlead.process import Health
from fairlead.workloads import config as names
from fairlead.workloads.cluster import Cluster
from fairlead.workloads.config import WorkloadsConfig
from fairlead.workloads.context import Context, Kind
from fairlead.workloads.cronjob.controller import CronJobController
from fairlead.workloads.daemonset.controller import DaemonSetController
from fairlead.workloads.deployment.controller import DeploymentController
from fairlead.workloads.disruption.controller import DisruptionController
from fairlead.workloads.job.controller import JobController
from fairlead.workloads.job.ttl import TtlController
from fairlead.workloads.nodelifecycle.collector import PodGarbageCollector
from fairlead.workloads.nodelifecycle.controller import NodeLifecycleController
from fairlead.workloads.nodelifecycle.evictor import TaintEvictionController
from fairlead.workloads.replicacontroller import ReplicaSetController, ReplicationControllerController
from fairlead.workloads.statefulset.controller import StatefulSetController

KINDS = (
    Kind(names.REPLICATION, "replication-controller", ReplicationControllerController),
    Kind(names.STATEFULSET, "statefulset-controller", StatefulSetController),
    Kind(names.DAEMONSET, "daemonset-controller", DaemonSetController),
    Kind(names.JOB, "job-controller", JobController),
    Kind(names.CRONJOB, "cronjob-controller", CronJobController),
    Kind(names.TTL_AFTER_FINISHED, "ttl-after-finished-controller", TtlController),
    Kind(names.DISRUPTION, "controllermanager", DisruptionController),
    Kind(names.NODE_LIFECYCLE, "node-controller", NodeLifecycleController),
    Kind(names.TAINT_EVICTION, "taint-eviction-controller", TaintEvictionController),
    Kind(names.POD_GC, "pod-garbage-collector", PodGarbageCollector),
    Kind(names.DEPLOYMENT, "deployment-controller", DeploymentController),
    Kind(names.REPLICASET, "replicaset-controller", ReplicaSetController),
)


async def run(
    api: Api,
    config: WorkloadsConfig,
    health: Health,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Keeps workloads as they are wanted until cancelled.

    `check` is asked before each write and raises OSError when another replica may have taken over. `clock` says what
    time of day it is, in s since 1970.
    """
    cluster = Cluster(api)
    writer = Writer(api, check)
    recorders = [Recorder(api, kind.component) for kind in KINDS]
    controllers = [
        kind.make(Context(cluster, writer, recorder, config, clock))
        for kind, recorder in zip(KINDS, recorders, strict=True)
        if kind.name in config.controllers
    ]
    try:
        async with all_synced(cluster.informers, health, "workloads") as group:
            serve(group, controllers, cluster.informers)
            await asyncio.Event().wait()
    finally:
        await asyncio.gather(*(recorder.close() for recorder in recorders))


async def run_elected(
    api: Api, config: WorkloadsConfig, election: ElectionConfig | None, health: Health
) -> None:
    """The same, whenever this replica leads; without an election it always does."""
    await elected(api, election, health, "workloads", lambda check: run(api, config, health, check))
