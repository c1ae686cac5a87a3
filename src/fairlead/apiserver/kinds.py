"""The table of served kinds: what discovery, tables, OpenAPI, selectors, storage go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fairlead.apiserver import selectables
from fairlead.apiserver.managed.shapes import MapShape, shape_of
from fairlead.apiserver.models import Converted, Model, Typed
from fairlead.apiserver.strategies import (
    DefinitionStrategy,
    DeploymentStrategy,
    JobStrategy,
    PriorityClassStrategy,
    StatusStrategy,
    Strategy,
)
from fairlead.objects import horizontalpodautoscalers, reports, resources, scales
from fairlead.objects.autoscaling_v1 import Scale
from fairlead.objects.resources import Resource

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What upstream lists for every stored kind, in its order."""

NAMESPACE_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
"""Namespaces cannot be deleted as a collection."""


@dataclass(frozen=True)
class Subresource:
    """A part of an object with a path of its own; group and version where they are not the parent's."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""
    passed_on: bool = False
    """Whether a node, a pod or a service answers (`connect/`)."""


@dataclass(frozen=True)
class Scaling:
    """How the number of replicas is read from an object, as its scale, and put into it."""

    read: Callable[[Any], Scale]
    write: Callable[[Any, int], Any]


@dataclass(frozen=True)
class Conversion:
    """How a kind whose objects are stored as those of another kind reads and writes these."""

    stored: Kind
    read: Callable[[Any], Any]
    """Makes this kind's object of the stored one."""
    write: Callable[[Any], Any]
    """The other way round."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One served kind: its collection, the names kubectl knows it by, and the rules of storage it keeps.

    `selectable_fields` maps each field selector that it takes, besides those of metadata, to its value.
    """

    resource: Resource[Any]
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    status: bool = False
    """Whether it has a status subresource; then the status in a plain write is ignored."""
    subresources: tuple[Subresource, ...] = ()
    """Those besides status."""
    selectable_fields: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    generation: bool = False
    """Whether `metadata.generation` counts the changes of spec."""
    create_on_update: bool = False
    """Whether a PUT to a name that does not exist creates it (upstream: AllowCreateOnUpdate)."""
    unconditional_update: bool = True
    """Whether a PUT may leave `metadata.resourceVersion` out (upstream: AllowUnconditionalUpdate)."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object instead of a Status (upstream: ReturnDeletedObject)."""
    orphans: bool = False
    """Whether a deletion that says nothing of dependents leaves them (upstream: DefaultGarbageCollectionPolicy)."""
    scaling: Scaling | None = None
    """What its scale subresource does, if it has one."""
    kept: bool = True
    """Whether its objects are stored. Those of the others are answered at once, and are nowhere then."""
    conversion: Conversion | None = None
    """How it is stored, if not as itself."""
    own_model: Model | None = None
    """How its objects are read and written, where it is not by their type."""
    strategy: Strategy = field(default_factory=Strategy)
    """How its objects are written, where the server's configuration does not say."""
    own_list_kind: str = ""
    """The kind of its lists, where it is not its own with List at the end."""
    columns: tuple[tuple[Any, ...], Callable[[Any, float], list[Any]]] | None = None
    """The columns of its table with what stands in them, where it is not by its type (`tables.py`)."""
    deprecation: str = ""
    """What those who use it are warned of."""
    heavy: Callable[[Any], bool] = lambda _: False
    """Whether an object may take so long to judge that others should not wait for it."""

    @cached_property
    def model(self) -> Model:
        """How its objects are read and written."""
        if self.conversion is not None:
            conversion = self.conversion
            return Converted(self.resource, conversion.stored.resource, conversion.read, conversion.write)
        return self.own_model or Typed(self.resource)

    @cached_property
    def shape(self) -> MapShape:
        """How the values in its objects merge."""
        return shape_of(self.model.schema)

    @cached_property
    def head(self) -> bytes:
        """What every value of it begins with, stored or shown."""
        resource = self.resource
        return f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}","metadata":{{'.encode()

    @property
    def list_kind(self) -> str:
        """The kind of its lists."""
        return self.own_list_kind or f"{self.resource.kind}List"

    @property
    def plural(self) -> str:
        """The last part of its collection's path."""
        return self.resource.plural

    @cached_property
    def prefix(self) -> str:
        """Where its objects are in the store: `/pods/`, `/endpointslices.discovery.k8s.io/`."""
        return f"/{self.qualified}/" if self.conversion is None else self.conversion.stored.prefix

    @cached_property
    def qualified(self) -> str:
        """The plural with the group, as messages have it: `services`, `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.resource.group}" if self.resource.group else self.plural

    def key(self, namespace: str, name: str) -> str:
        """The key of an object in the store."""
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else self.prefix + name

    def place(self, key: str) -> tuple[str, str]:
        """The namespace, "" where there is none, and the name in a key."""
        namespace, _, name = key[len(self.prefix) :].rpartition("/")
        return namespace, name

    def list_prefix(self, namespace: str = "") -> str:
        """What the keys of a collection begin with."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix


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
    CUSTOMRESOURCEDEFINITIONS,
    PRIORITYCLASSES,
    LEASES,
    ENDPOINTSLICES,
)
"""In the order in which discovery shows them: core first, then the groups in upstream's order."""
