"""Tables: the answers that kubectl prints.

`TABLES` says for each kind which columns it has, and `rows.py` what stands in them; a kind without an entry gets its
name and when it was made. Upstream: pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from fairlead.apiserver import rows, volumerows, workloadrows
from fairlead.apiserver.answers import META, Partial
from fairlead.apiserver.kinds import Kind
from fairlead.objects import (
    apps_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    coordination_v1,
    core_v1,
    discovery_v1,
    events_v1,
    horizontalpodautoscalers,
    networking_v1,
    policy_v1,
    rbac_v1,
    reports,
    scheduling_v1,
    storage_v1,
)
from fairlead.objects.meta_v1 import ListMeta
from fairlead.objects.scalars import Object, text, zero


class Column(Object, frozen=True, kw_only=True):
    """A column. Those with a priority above 0 are for `-o wide`."""

    name: str
    type: str = msgspec.field(default_factory=lambda: "string")
    format: str = msgspec.field(default_factory=text)
    description: str = msgspec.field(default_factory=text)
    priority: int = msgspec.field(default_factory=zero)


class Row(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one object has to say: a cell for every column, and as much of the object as was asked for."""

    cells: list[Any]
    conditions: tuple[rows.Condition, ...] = ()
    object: Any = msgspec.field(default_factory=lambda: None)


class Table(msgspec.Struct, frozen=True, gc=False):
    """The answer."""

    kind: str
    apiVersion: str
    metadata: ListMeta
    columnDefinitions: tuple[Column, ...] | None
    rows: list[Row]


def column(name: str, kind: str = "string", *, wide: bool = False, about: str = "") -> Column:
    """A column of a table below."""
    return Column(name=name, type=kind, priority=int(wide), description=about)


NAME = Column(
    name="Name",
    format="name",
    description="Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. Cannot be updated.",
)
AGE = column(
    "Age",
    about="CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is represented in RFC3339 form and is in UTC.",
)
ROLE = column("Role", about="The role that is granted.")
SUBJECTS = (
    column("Users", wide=True, about="The users it is granted to."),
    column("Groups", wide=True, about="The groups it is granted to."),
    column("ServiceAccounts", wide=True, about="The ServiceAccounts it is granted to."),
)

Cells = Callable[[Any, float], rows.Cells]

TABLES: dict[type[Any], tuple[tuple[Column, ...], Cells]] = {
    core_v1.Pod: (
        (
            NAME,
            column("Ready", about="The aggregate readiness state of this pod for accepting traffic."),
            column("Status", about="The aggregate status of the containers in this pod."),
            column("Restarts", about="The number of times the containers in this pod have been restarted."),
            AGE,
            column("IP", wide=True, about="The address of the pod, empty if it has none yet."),
            column("Node", wide=True, about="The node that the pod runs on."),
            column("Nominated Node", wide=True, about="The node that others make room on for it."),
            column("Readiness Gates", wide=True, about="How many of its readiness gates are open."),
        ),
        rows.pod,
    ),
    core_v1.Service: (
        (
            NAME,
            column("Type", about="How the Service is exposed."),
            column("Cluster-IP", about="The virtual address in the cluster."),
            column("External-IP", about="The addresses that clients outside the cluster use."),
            column("Port(s)", about="The ports, each with its node port."),
            AGE,
            column("Selector", wide=True, about="The labels of the pods that stand behind it."),
        ),
        rows.service,
    ),
    core_v1.Endpoints: ((NAME, column("Endpoints", about="The ready addresses."), AGE), rows.endpoints),
    discovery_v1.EndpointSlice: (
        (
            NAME,
            column("AddressType", about="The type of address carried by this EndpointSlice."),
            column("Ports", about="The network ports exposed by each endpoint."),
            column("Endpoints", about="The unique endpoints in this slice."),
            AGE,
        ),
        rows.endpointslice,
    ),
    core_v1.Node: (
        (
            NAME,
            column("Status", about="The status of the node"),
            column("Roles", about="The roles of the node"),
            AGE,
            column("Version", about="The version of its agent."),
            column("Internal-IP", wide=True, about="Its address in the cluster."),
            column("External-IP", wide=True, about="Its address for others."),
            column("OS-Image", wide=True, about="Its operating system."),
            column("Kernel-Version", wide=True, about="Its kernel."),
            column("Container-Runtime", wide=True, about="What runs its containers."),
        ),
        rows.node,
    ),
    core_v1.Event: (
        (
            column("Last Seen", about="When it happened last."),
            column("Type", about="Normal or Warning."),
            column("Reason", about="Why, in one word."),
            column("Object", about="The object this event is about."),
            column("Subobject", wide=True, about="Which part of it."),
            column("Source", wide=True, about="Who reported it."),
            column("Message", about="What happened."),
            column("First Seen", wide=True, about="When it happened first."),
            column("Count", "integer", wide=True, about="How often it happened."),
            msgspec.structs.replace(NAME, priority=1),
        ),
        rows.event,
    ),
    core_v1.Namespace: ((NAME, column("Status", about="The status of the namespace"), AGE), rows.namespace),
    core_v1.ConfigMap: ((NAME, column("Data", "string", about="How many keys it has."), AGE), rows.configmap),
    core_v1.Secret: (
        (NAME, column("Type", about="What it is for."), column("Data", about="How many keys it has."), AGE),
        rows.secret,
    ),
    core_v1.ServiceAccount: (
        (NAME, column("Secrets", about="How many Secrets it may use."), AGE),
        rows.serviceaccount,
    ),
    coordination_v1.Lease: ((NAME, column("Holder", about="Who holds it."), AGE), rows.lease),
    networking_v1.ServiceCIDR: (
        (
            NAME,
            column("CIDRs", about="The networks that addresses of Services are taken from, one a family."),
            AGE,
        ),
        rows.servicecidr,
    ),
    networking_v1.IPAddress: (
        (
            NAME,
            column("ParentRef", about="The reference to the object that is associated with the IPAddress"),
        ),
        rows.ipaddress,
    ),
    rbac_v1.RoleBinding: ((NAME, ROLE, AGE, *SUBJECTS), rows.binding),
    rbac_v1.ClusterRoleBinding: ((NAME, ROLE, AGE, *SUBJECTS), rows.binding),
}

CONTAINERS = column("Containers", wide=True, about="Names of each container in the template.")
IMAGES = column("Images", wide=True, about="Images referenced by each container in the template.")
SELECTOR = column("Selector", wide=True, about="The labels of the pods that belong to it.")
PODS_OF = (CONTAINERS, IMAGES, SELECTOR)
REPLICAS = (
    NAME,
    column("Desired", "integer", about="How many replicas there should be."),
    column("Current", "integer", about="How many replicas there are."),
    column("Ready", "integer", about="How many of them are ready."),
    AGE,
    *PODS_OF,
)

AUTOSCALER_COLUMNS = (
    NAME,
    column("Reference", about="What it scales."),
    column("Targets", about="What each metric is, and what it should be."),
    column("MinPods", about="The fewest replicas."),
    column("MaxPods", about="The most replicas."),
    column("Replicas", about="How many there are."),
    AGE,
)

TABLES |= {
    events_v1.Event: (
        TABLES[core_v1.Event][0],
        lambda event, now: rows.event(reports.write(event), now),
    ),
    core_v1.ReplicationController: (REPLICAS, workloadrows.replicationcontroller),
    apps_v1.ReplicaSet: (REPLICAS, workloadrows.replicaset),
    apps_v1.Deployment: (
        (
            NAME,
            column("Ready", about="Number of the pod with ready state"),
            column("Up-to-date", about="How many replicas are of the newest template."),
            column("Available", about="How many replicas are available."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.deployment,
    ),
    apps_v1.StatefulSet: (
        (NAME, column("Ready", about="Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
        workloadrows.statefulset,
    ),
    apps_v1.DaemonSet: (
        (
            NAME,
            column("Desired", "integer", about="How many nodes should run it."),
            column("Current", "integer", about="How many nodes run it."),
            column("Ready", "integer", about="On how many nodes it is ready."),
            column("Up-to-date", "integer", about="On how many nodes it is of the newest template."),
            column("Available", "integer", about="On how many nodes it is available."),
            column("Node Selector", about="The labels of the nodes that run it."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.daemonset,
    ),
    apps_v1.ControllerRevision: (
        (
            NAME,
            column("Controller", about="Controller of the object"),
            column("Revision", about="Its number."),
            AGE,
        ),
        workloadrows.controllerrevision,
    ),
    autoscaling_v1.Scale: (
        (
            NAME,
            column("Desired", "integer", about="How many replicas there should be."),
            column("Available", "integer", about="How many replicas there are."),
            AGE,
        ),
        workloadrows.scale,
    ),
    batch_v1.Job: (
        (
            NAME,
            column("Status", about="Status of the job."),
            column("Completions", about="How many pods have succeeded, of how many."),
            column("Duration", about="Time required to complete the job."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.job,
    ),
    batch_v1.CronJob: (
        (
            NAME,
            column("Schedule", about="When it runs, in the form of cron."),
            column("Timezone", about="The time zone of the schedule."),
            column("Suspend", "boolean", about="Whether further runs are held back."),
            column("Active", "integer", about="How many Jobs are running."),
            column("Last Schedule", about="When it ran last."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.cronjob,
    ),
    policy_v1.PodDisruptionBudget: (
        (
            NAME,
            column("Min Available", about="The minimum number of pods that must be available."),
            column("Max Unavailable", about="The maximum number of pods that may be unavailable."),
            column("Allowed Disruptions", "integer", about="How many pods may be disrupted at this time."),
            AGE,
        ),
        workloadrows.poddisruptionbudget,
    ),
    scheduling_v1.PriorityClass: (
        (
            NAME,
            column("Value", "integer", about="The priority of pods of this class."),
            column("Global-Default", "boolean", about="Whether it is the class of pods that name none."),
            AGE,
            column("PreemptionPolicy", about="Whether its pods have others of lower priority removed."),
        ),
        workloadrows.priorityclass,
    ),
    networking_v1.Ingress: (
        (
            NAME,
            column("Class", about="The name of its IngressClass."),
            column("Hosts", about="Hosts that incoming requests are matched against before the ingress rule"),
            column("Address", about="Where it can be reached."),
            column("Ports", about="Ports of TLS configurations that open"),
            AGE,
        ),
        workloadrows.ingress,
    ),
    networking_v1.IngressClass: (
        (
            NAME,
            column("Controller", about="Controller that is responsible for handling this class"),
            column("Parameters", about="A reference to a resource with additional parameters"),
            AGE,
        ),
        workloadrows.ingressclass,
    ),
    networking_v1.NetworkPolicy: (
        (NAME, column("Pod-Selector", about="The labels of the pods that it is for."), AGE),
        workloadrows.networkpolicy,
    ),
    core_v1.PersistentVolume: (
        (
            NAME,
            column("Capacity", about="Its size."),
            column("Access Modes", about="How it can be mounted."),
            column("Reclaim Policy", about="What becomes of it when its claim goes."),
            column("Status", about="Whether a claim has it."),
            column("Claim", about="The claim that has it."),
            column("StorageClass", about="The class of claims that may have it."),
            column("VolumeAttributesClass", about="The class of its attributes."),
            column("Reason", about="Why it is in this state, in short."),
            AGE,
            column("VolumeMode", wide=True, about="Whether it is a file system or a device."),
        ),
        volumerows.persistentvolume,
    ),
    storage_v1.StorageClass: (
        (
            NAME,
            column("Provisioner", about="Who makes volumes of this class."),
            column("ReclaimPolicy", about="What becomes of a volume when its claim goes."),
            column("VolumeBindingMode", about="When a claim gets its volume."),
            column("AllowVolumeExpansion", about="Whether claims may grow."),
            AGE,
        ),
        volumerows.storageclass,
    ),
    autoscaling_v2.HorizontalPodAutoscaler: (AUTOSCALER_COLUMNS, workloadrows.horizontalpodautoscaler),
    autoscaling_v1.HorizontalPodAutoscaler: (
        AUTOSCALER_COLUMNS,
        lambda one, now: workloadrows.horizontalpodautoscaler(horizontalpodautoscalers.write(one), now),
    ),
    core_v1.PersistentVolumeClaim: (
        (
            NAME,
            column("Status", about="Whether it has a volume."),
            column("Volume", about="The volume that it has."),
            column("Capacity", about="The size of the volume."),
            column("Access Modes", about="How the volume can be mounted."),
            column("StorageClass", about="StorageClass of the pvc"),
            column("VolumeAttributesClass", about="VolumeAttributesClass of the pvc"),
            AGE,
            column("VolumeMode", wide=True, about="Whether it is a file system or a device."),
        ),
        volumerows.persistentvolumeclaim,
    ),
    core_v1.ResourceQuota: (
        (
            NAME,
            column("Request", about="What is used of what may be requested."),
            column("Limit", about="What is used of the limits."),
            AGE,
        ),
        workloadrows.resourcequota,
    ),
}
ANY = (NAME, column("Created At", "date", about=AGE.description))


def table(
    kind: Kind,
    objects: Iterable[Any],
    include_object: str,
    now: float,
    *,
    metadata: ListMeta | None = None,
    columns: bool = True,
) -> Table:
    """The objects as a table. `include_object` is "None", "Metadata", or "Object"; `now` in seconds since the epoch.

    The frames of a watch need the columns in the first only.
    """
    shown, cells = kind.columns or TABLES.get(kind.resource.type, (ANY, rows.anything))
    listed: list[Row] = []
    for one in objects:
        found = cells(one, now)
        attached: Any = None
        if include_object == "Object":
            attached = kind.model.document(one)
        elif include_object != "None":
            attached = Partial(metadata=one.metadata)
        conditions = rows.pod_conditions(one) if isinstance(one, core_v1.Pod) else ()
        listed.append(Row(found, conditions, attached))
    return Table("Table", META, metadata or ListMeta(), shown if columns else None, listed)
