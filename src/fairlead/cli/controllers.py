"""The commands that run controllers, with kube-controller-manager's flags for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.component import run_component
from fairlead.cli.election import with_election
from fairlead.cli.options import Context, Kubeconfig, Level, duration_option, health_option
from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.client.election import ElectionConfig


def _count(help: str, most: int) -> Any:
    return typer.Option(help=help, min=1, max=most)


_BATCH = "{}: how long to wait for more changes of pods before writing."


@with_election("endpoints", "fairlead-endpoints")
def endpoints(
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    controllers: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Which to run: '*' all, 'NAME' this one, '-NAME' not this one, of endpointslice-controller,"
            " endpoints-controller, endpointslice-mirroring-controller.",
        ),
    ] = "*",
    max_endpoints_per_slice: Annotated[int, _count("Endpoints in an EndpointSlice.", 1000)] = 100,
    concurrent_service_endpoint_syncs: Annotated[
        int, _count("Services whose slices are worked on at a time.", 50)
    ] = 5,
    endpointslice_updates_batch_period: Annotated[
        float, duration_option(_BATCH.format("EndpointSlices"))
    ] = "0s",  # type: ignore[assignment]
    concurrent_endpoint_syncs: Annotated[
        int, _count("Services whose Endpoints are worked on at a time.", 50)
    ] = 5,
    endpoint_updates_batch_period: Annotated[float, duration_option(_BATCH.format("Endpoints"))] = "0s",  # type: ignore[assignment]
    mirroring_max_endpoints_per_subset: Annotated[
        int, _count("Addresses mirrored of a subset of hand-made Endpoints.", 1000)
    ] = 1000,
    mirroring_concurrent_service_endpoint_syncs: Annotated[
        int, _count("Hand-made Endpoints that are mirrored at a time.", 50)
    ] = 5,
    mirroring_endpointslice_updates_batch_period: Annotated[
        float, duration_option("How long to wait before mending mirrors that others changed.")
    ] = "0s",  # type: ignore[assignment]
    election: ElectionConfig | None = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10257",
    log_level: Level = "info",
) -> None:
    """Run the endpoint controllers: EndpointSlices and Endpoints follow Services and pods."""
    from fairlead.endpoints import controller
    from fairlead.endpoints.config import EndpointsConfig, chosen

    try:
        config = EndpointsConfig(
            controllers=chosen(controllers.split(",")),
            max_endpoints_per_slice=max_endpoints_per_slice,
            concurrent_service_endpoint_syncs=concurrent_service_endpoint_syncs,
            endpointslice_updates_batch_period=endpointslice_updates_batch_period,
            concurrent_endpoint_syncs=concurrent_endpoint_syncs,
            endpoint_updates_batch_period=endpoint_updates_batch_period,
            mirroring_max_endpoints_per_subset=mirroring_max_endpoints_per_subset,
            mirroring_concurrent_service_endpoint_syncs=mirroring_concurrent_service_endpoint_syncs,
            mirroring_endpointslice_updates_batch_period=mirroring_endpointslice_updates_batch_period,
        )
    except ValueError as error:
        raise UserError(f"fairlead endpoints: {error}") from error
    run_component(
        "endpoints",
        log_level,
        kubeconfig,
        health,
        lambda api, state: controller.run_elected(api, config, election, state),
        context,
    )


def _syncs(what: str) -> Any:
    return typer.Option(help=f"{what} that are worked on at a time.", min=1)


@with_election("workloads", "fairlead-workloads")
def workloads(
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    controllers: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Which to run: '*' all, 'NAME' this one, '-NAME' not this one, by kube-controller-manager's names"
            " (replicaset-controller, statefulset-controller and so on).",
        ),
    ] = "*",
    concurrent_rc_syncs: Annotated[int, _syncs("ReplicationControllers")] = 5,
    concurrent_deployment_syncs: Annotated[int, _syncs("Deployments")] = 5,
    concurrent_replicaset_syncs: Annotated[int, _syncs("ReplicaSets")] = 5,
    concurrent_statefulset_syncs: Annotated[int, _syncs("StatefulSets")] = 5,
    concurrent_daemonset_syncs: Annotated[int, _syncs("DaemonSets")] = 2,
    concurrent_job_syncs: Annotated[int, _syncs("Jobs")] = 5,
    concurrent_cron_job_syncs: Annotated[int, _syncs("CronJobs")] = 5,
    concurrent_ttl_after_finished_syncs: Annotated[int, _syncs("finished Jobs")] = 5,
    node_monitor_grace_period: Annotated[
        float, duration_option("How long a node may be silent before it is not ready.")
    ] = "50s",  # type: ignore[assignment]
    node_startup_grace_period: Annotated[
        float, duration_option("The same for a node that has never said how it is.")
    ] = "60s",  # type: ignore[assignment]
    node_eviction_rate: Annotated[
        float, typer.Option(help="Nodes a second that a zone loses at most.", min=0)
    ] = 0.1,
    secondary_node_eviction_rate: Annotated[
        float, typer.Option(help="The same of a large zone most of which is not ready.", min=0)
    ] = 0.01,
    unhealthy_zone_threshold: Annotated[
        float, typer.Option(help="The share of nodes that makes 'most' of a zone.", min=0, max=1)
    ] = 0.55,
    large_cluster_size_threshold: Annotated[
        int, typer.Option(help="A zone with more nodes is large.", min=0)
    ] = 50,
    terminated_pod_gc_threshold: Annotated[
        int, typer.Option(help="Ended pods that are kept; 0 keeps all.")
    ] = 12500,
    election: ElectionConfig | None = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10260",
    log_level: Level = "info",
) -> None:
    """Run the controllers of workloads and nodes: StatefulSets, ReplicaSets and the like become pods."""
    from fairlead.workloads import controller
    from fairlead.workloads.config import WorkloadsConfig, chosen
    from fairlead.workloads.nodelifecycle.zones import Rates

    try:
        config = WorkloadsConfig(
            controllers=chosen(controllers.split(",")),
            concurrent_rc_syncs=concurrent_rc_syncs,
            concurrent_deployment_syncs=concurrent_deployment_syncs,
            concurrent_replicaset_syncs=concurrent_replicaset_syncs,
            concurrent_statefulset_syncs=concurrent_statefulset_syncs,
            concurrent_daemonset_syncs=concurrent_daemonset_syncs,
            concurrent_job_syncs=concurrent_job_syncs,
            concurrent_cron_job_syncs=concurrent_cron_job_syncs,
            concurrent_ttl_after_finished_syncs=concurrent_ttl_after_finished_syncs,
            node_monitor_grace_period=node_monitor_grace_period,
            node_startup_grace_period=node_startup_grace_period,
            rates=Rates(
                node_eviction_rate=node_eviction_rate,
                secondary_node_eviction_rate=secondary_node_eviction_rate,
                unhealthy_zone_threshold=unhealthy_zone_threshold,
                large_cluster_size_threshold=large_cluster_size_threshold,
            ),
            terminated_pod_gc_threshold=terminated_pod_gc_threshold,
        )
    except ValueError as error:
        raise UserError(f"fairlead workloads: {error}") from error
    run_component(
        "workloads",
        log_level,
        kubeconfig,
        health,
        lambda api, state: controller.run_elected(api, config, election, state),
        context,
    )


COMMANDS: tuple[Callable[..., None], ...] = (endpoints, workloads)
"""In the order of the help."""
