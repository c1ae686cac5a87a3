"""The tables of what every cluster has: pods, Services, what stands behind them, nodes, Events, rights."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.apiserver import rows
from fairlead.apiserver.tablecolumns import AGE, NAME, Layout, column
from fairlead.objects import (
    coordination_v1,
    core_v1,
    discovery_v1,
    events_v1,
    networking_v1,
    rbac_v1,
    reports,
)

ROLE = column("Role", about="The role that is granted.")
SUBJECTS = (
    column("Users", wide=True, about="The users it is granted to."),
    column("Groups", wide=True, about="The groups it is granted to."),
    column("ServiceAccounts", wide=True, about="The ServiceAccounts it is granted to."),
)

LAYOUTS: dict[type[Any], Layout] = {
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
LAYOUTS[events_v1.Event] = (
    LAYOUTS[core_v1.Event][0],
    lambda event, now: rows.event(reports.write(event), now),
)
