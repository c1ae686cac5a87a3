"""The table of the built-in kinds: what discovery, tables, OpenAPI, selectors, storage go by."""

from __future__ import annotations

from typing import Any

from fairlead.apiserver import selectables
from fairlead.apiserver.kind import Conversion, Kind, Scaling, Subresource
from fairlead.apiserver.strategies import (
    DefinitionStrategy,
    DeploymentStrategy,
    JobStrategy,
    PriorityClassStrategy,
    StatusStrategy,
    WebhooksStrategy,
)
from fairlead.objects import horizontalpodautoscalers, reports, resources, scales
from fairlead.objects.resources import Resource

NAMESPACE_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
"""Namespaces cannot be deleted as a collection."""

SCALE = Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1")
WITH_STATUS = StatusStrategy()
REPLICAS = Scaling(scales.of, scales.scaled)
"""For kinds with replicas in spec and status, and a selector."""

NAMESPACES = Kind(
    resources.NAMESPACES,
    "namespace",
    ("ns",),
    verbs=NAMESPACE_VERBS,
    status=True,
    subresources=(Subresource("finalize", "Namespace", ("update",)),),
    selectable_fields=selectables.NAMESPACE_FIELDS,
)


def _proxy(kind: str) -> Subresource:
    verbs = ("create", "delete", "get", "patch", "update")
    return Subresource("proxy", kind, verbs, passed_on=True)


NODES = Kind(
    resources.NODES,
    "node",
    ("no",),
    status=True,
    subresources=(_proxy("NodeProxyOptions"),),
    selectable_fields=selectables.NODE_FIELDS,
)
PODS = Kind(
    resources.PODS,
    "pod",
    ("po",),
    ("all",),
    status=True,
    subresources=(
        Subresource("attach", "PodAttachOptions", ("create", "get"), passed_on=True),
        Subresource("binding", "Binding", ("create",)),
        Subresource("ephemeralcontainers", "Pod", ("get", "patch", "update")),
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        Subresource("exec", "PodExecOptions", ("create", "get"), passed_on=True),
        Subresource("log", "Pod", ("get",), passed_on=True),
        Subresource("portforward", "PodPortForwardOptions", ("create", "get"), passed_on=True),
        _proxy("PodProxyOptions"),
        Subresource("resize", "Pod", ("get", "patch", "update")),
    ),
    selectable_fields=selectables.POD_FIELDS,
    generation=True,
    returns_deleted=True,
)
SERVICES = Kind(
    resources.SERVICES,
    "service",
    ("svc",),
    ("all",),
    status=True,
    subresources=(_proxy("ServiceProxyOptions"),),
    selectable_fields=selectables.SERVICE_FIELDS,
    create_on_update=True,
    returns_deleted=True,
)
ENDPOINTS = Kind(
    resources.ENDPOINTS,
    "endpoints",
    ("ep",),
    create_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)
ENDPOINTSLICES = Kind(resources.ENDPOINTSLICES, "endpointslice", generation=True)
CONFIGMAPS = Kind(resources.CONFIGMAPS, "configmap", ("cm",))
SECRETS = Kind(resources.SECRETS, "secret", selectable_fields=selectables.SECRET_FIELDS)
SERVICEACCOUNTS = Kind(
    resources.SERVICEACCOUNTS,
    "serviceaccount",
    ("sa",),
    subresources=(Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
    returns_deleted=True,
)
EVENTS = Kind(
    resources.EVENTS, "event", ("ev",), selectable_fields=selectables.EVENT_FIELDS, create_on_update=True
)
LEASES = Kind(resources.LEASES, "lease", create_on_update=True, unconditional_update=False)
SERVICECIDRS = Kind(resources.SERVICECIDRS, "servicecidr", status=True)
IPADDRESSES = Kind(
    resources.IPADDRESSES,
    "ipaddress",
    ("ip",),
    selectable_fields=selectables.ADDRESS_FIELDS,
)
ROLES = Kind(resources.ROLES, "role", create_on_update=True)
ROLEBINDINGS = Kind(resources.ROLEBINDINGS, "rolebinding", create_on_update=True)
CLUSTERROLES = Kind(resources.CLUSTERROLES, "clusterrole", create_on_update=True)
CLUSTERROLEBINDINGS = Kind(resources.CLUSTERROLEBINDINGS, "clusterrolebinding", create_on_update=True)

REPORTED_EVENTS = Kind(
    resources.REPORTED_EVENTS,
    "event",
    ("ev",),
    selectable_fields=selectables.REPORTED_EVENT_FIELDS,
    create_on_update=True,
    conversion=Conversion(EVENTS, reports.read, reports.write),
)
REPLICATIONCONTROLLERS = Kind(
    resources.REPLICATIONCONTROLLERS,
    "replicationcontroller",
    ("rc",),
    ("all",),
    status=True,
    subresources=(SCALE,),
    selectable_fields=selectables.REPLICA_FIELDS,
    generation=True,
    orphans=True,
    scaling=REPLICAS,
    strategy=WITH_STATUS,
)
PERSISTENTVOLUMES = Kind(
    resources.PERSISTENTVOLUMES,
    "persistentvolume",
    ("pv",),
    status=True,
    returns_deleted=True,
    strategy=WITH_STATUS,
)
PERSISTENTVOLUMECLAIMS = Kind(
    resources.PERSISTENTVOLUMECLAIMS,
    "persistentvolumeclaim",
    ("pvc",),
    status=True,
    returns_deleted=True,
    strategy=WITH_STATUS,
)
LIMITRANGES = Kind(resources.LIMITRANGES, "limitrange", ("limits",), create_on_update=True)
RESOURCEQUOTAS = Kind(
    resources.RESOURCEQUOTAS,
    "resourcequota",
    ("quota",),
    status=True,
    returns_deleted=True,
    strategy=WITH_STATUS,
)
CONTROLLERREVISIONS = Kind(resources.CONTROLLERREVISIONS, "controllerrevision")
DAEMONSETS = Kind(
    resources.DAEMONSETS, "daemonset", ("ds",), ("all",), status=True, generation=True, strategy=WITH_STATUS
)
DEPLOYMENTS = Kind(
    resources.DEPLOYMENTS,
    "deployment",
    ("deploy",),
    ("all",),
    status=True,
    subresources=(SCALE,),
    generation=True,
    scaling=REPLICAS,
    strategy=DeploymentStrategy(),
)
REPLICASETS = Kind(
    resources.REPLICASETS,
    "replicaset",
    ("rs",),
    ("all",),
    status=True,
    subresources=(SCALE,),
    selectable_fields=selectables.REPLICA_FIELDS,
    generation=True,
    scaling=REPLICAS,
    strategy=WITH_STATUS,
)
STATEFULSETS = Kind(
    resources.STATEFULSETS,
    "statefulset",
    ("sts",),
    ("all",),
    status=True,
    subresources=(SCALE,),
    generation=True,
    scaling=REPLICAS,
    strategy=WITH_STATUS,
)
JOBS = Kind(
    resources.JOBS,
    "job",
    categories=("all",),
    status=True,
    selectable_fields=selectables.JOB_FIELDS,
    generation=True,
    orphans=True,
    strategy=JobStrategy(),
)
CRONJOBS = Kind(
    resources.CRONJOBS, "cronjob", ("cj",), ("all",), status=True, generation=True, strategy=WITH_STATUS
)
INGRESSES = Kind(resources.INGRESSES, "ingress", ("ing",), status=True, generation=True, strategy=WITH_STATUS)
INGRESSCLASSES = Kind(resources.INGRESSCLASSES, "ingressclass", generation=True)
NETWORKPOLICIES = Kind(resources.NETWORKPOLICIES, "networkpolicy", ("netpol",), generation=True)
PODDISRUPTIONBUDGETS = Kind(
    resources.PODDISRUPTIONBUDGETS,
    "poddisruptionbudget",
    ("pdb",),
    status=True,
    generation=True,
    unconditional_update=False,
    strategy=WITH_STATUS,
)

PRIORITYCLASSES = Kind(resources.PRIORITYCLASSES, "priorityclass", ("pc",), strategy=PriorityClassStrategy())
MUTATINGWEBHOOKCONFIGURATIONS = Kind(
    resources.MUTATINGWEBHOOKCONFIGURATIONS,
    "mutatingwebhookconfiguration",
    generation=True,
    strategy=WebhooksStrategy(),
)
VALIDATINGWEBHOOKCONFIGURATIONS = Kind(
    resources.VALIDATINGWEBHOOKCONFIGURATIONS,
    "validatingwebhookconfiguration",
    generation=True,
    strategy=WebhooksStrategy(),
)
STORAGECLASSES = Kind(resources.STORAGECLASSES, "storageclass", ("sc",), returns_deleted=True)
HORIZONTALPODAUTOSCALERS = Kind(
    resources.HORIZONTALPODAUTOSCALERS,
    "horizontalpodautoscaler",
    ("hpa",),
    ("all",),
    status=True,
    strategy=WITH_STATUS,
)
HORIZONTALPODAUTOSCALERS_V1 = Kind(
    resources.HORIZONTALPODAUTOSCALERS_V1,
    "horizontalpodautoscaler",
    ("hpa",),
    ("all",),
    status=True,
    strategy=WITH_STATUS,
    conversion=Conversion(
        HORIZONTALPODAUTOSCALERS, horizontalpodautoscalers.read, horizontalpodautoscalers.write
    ),
)
CUSTOMRESOURCEDEFINITIONS = Kind(
    resources.CUSTOMRESOURCEDEFINITIONS,
    "customresourcedefinition",
    ("crd", "crds"),
    ("api-extensions",),
    status=True,
    generation=True,
    unconditional_update=False,
    strategy=DefinitionStrategy(),
    heavy=lambda _: True,
)


def _review(resource: Resource[Any]) -> Kind:
    return Kind(resource, resource.kind.lower(), verbs=("create",), kept=False)


REVIEWS = tuple(_review(resource) for resource in resources.REVIEWS)
"""Questions about who somebody is and what he may do."""

KINDS: tuple[Kind, ...] = (
    CONFIGMAPS,
    ENDPOINTS,
    EVENTS,
    LIMITRANGES,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    REPLICASETS,
    STATEFULSETS,
    REPORTED_EVENTS,
    *REVIEWS,
    HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1,
    CRONJOBS,
    JOBS,
    INGRESSCLASSES,
    INGRESSES,
    IPADDRESSES,
    NETWORKPOLICIES,
    SERVICECIDRS,
    PODDISRUPTIONBUDGETS,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    ROLEBINDINGS,
    ROLES,
    STORAGECLASSES,
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    CUSTOMRESOURCEDEFINITIONS,
    PRIORITYCLASSES,
    LEASES,
    ENDPOINTSLICES,
)
"""In the order in which discovery shows them: core first, then the groups in upstream's order."""
