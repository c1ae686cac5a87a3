"""The resources of the API: where each is served, and the type of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fairlead.objects import (
    admissionregistration_v1,
    apiextensions_v1,
    apps_v1,
    authentication_v1,
    authorization_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    coordination_v1,
    core_v1,
    discovery_v1,
    events_v1,
    networking_v1,
    policy_v1,
    rbac_v1,
    scheduling_v1,
    storage_v1,
)
from fairlead.objects.meta_v1 import ObjectMeta


class Stored(Protocol):
    """Any object of the API that can be stored: it has metadata."""

    @property
    def metadata(self) -> ObjectMeta:
        """Its name, namespace, labels and what the system knows of it."""
        ...


T = TypeVar("T")


@dataclass(frozen=True)
class Resource(Generic[T]):
    """A collection of the API: `GET /api/v1/namespaces/NS/services` is group "", version "v1", plural "services".

    `type` is what its objects are decoded to. A room that needs only a few fields at great speed may give a smaller
    type of its own with `dataclasses.replace`: unknown fields are skipped.
    """

    group: str
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: "v1", "discovery.k8s.io/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As kubectl writes it where the plural alone could be another's: "services", "leases.coordination.k8s.io"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object in it, or of a part of that object."""
        parts = ["/apis", self.group] if self.group else ["/api"]
        parts.append(self.version)
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


def _core(plural: str, kind: type[T], namespaced: bool = True) -> Resource[T]:
    return Resource("", "v1", plural, kind.__name__, kind, namespaced)


def _apps(plural: str, kind: type[T]) -> Resource[T]:
    return Resource("apps", "v1", plural, kind.__name__, kind)


def _rbac(plural: str, kind: type[T], namespaced: bool = True) -> Resource[T]:
    return Resource("rbac.authorization.k8s.io", "v1", plural, kind.__name__, kind, namespaced)


def _networking(plural: str, kind: type[T], namespaced: bool = True) -> Resource[T]:
    return Resource("networking.k8s.io", "v1", plural, kind.__name__, kind, namespaced)


NAMESPACES = _core("namespaces", core_v1.Namespace, namespaced=False)
NODES = _core("nodes", core_v1.Node, namespaced=False)
PODS = _core("pods", core_v1.Pod)
SERVICES = _core("services", core_v1.Service)
ENDPOINTS = _core("endpoints", core_v1.Endpoints)
CONFIGMAPS = _core("configmaps", core_v1.ConfigMap)
SECRETS = _core("secrets", core_v1.Secret)
SERVICEACCOUNTS = _core("serviceaccounts", core_v1.ServiceAccount)
EVENTS = _core("events", core_v1.Event)
ENDPOINTSLICES = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", discovery_v1.EndpointSlice
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", coordination_v1.Lease)
IPADDRESSES = _networking("ipaddresses", networking_v1.IPAddress, namespaced=False)
SERVICECIDRS = _networking("servicecidrs", networking_v1.ServiceCIDR, namespaced=False)
REPLICATIONCONTROLLERS = _core("replicationcontrollers", core_v1.ReplicationController)
PERSISTENTVOLUMES = _core("persistentvolumes", core_v1.PersistentVolume, namespaced=False)
PERSISTENTVOLUMECLAIMS = _core("persistentvolumeclaims", core_v1.PersistentVolumeClaim)
LIMITRANGES = _core("limitranges", core_v1.LimitRange)
RESOURCEQUOTAS = _core("resourcequotas", core_v1.ResourceQuota)
CONTROLLERREVISIONS = _apps("controllerrevisions", apps_v1.ControllerRevision)
DAEMONSETS = _apps("daemonsets", apps_v1.DaemonSet)
DEPLOYMENTS = _apps("deployments", apps_v1.Deployment)
REPLICASETS = _apps("replicasets", apps_v1.ReplicaSet)
STATEFULSETS = _apps("statefulsets", apps_v1.StatefulSet)
REPORTED_EVENTS = Resource("events.k8s.io", "v1", "events", "Event", events_v1.Event)
JOBS = Resource("batch", "v1", "jobs", "Job", batch_v1.Job)
CRONJOBS = Resource("batch", "v1", "cronjobs", "CronJob", batch_v1.CronJob)
INGRESSES = _networking("ingresses", networking_v1.Ingress)
INGRESSCLASSES = _networking("ingressclasses", networking_v1.IngressClass, namespaced=False)
NETWORKPOLICIES = _networking("networkpolicies", networking_v1.NetworkPolicy)
PODDISRUPTIONBUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", policy_v1.PodDisruptionBudget
)
PRIORITYCLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "priorityclasses",
    "PriorityClass",
    scheduling_v1.PriorityClass,
    namespaced=False,
)
MUTATINGWEBHOOKCONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    admissionregistration_v1.MutatingWebhookConfiguration,
    namespaced=False,
)
VALIDATINGWEBHOOKCONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    admissionregistration_v1.ValidatingWebhookConfiguration,
    namespaced=False,
)
STORAGECLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", storage_v1.StorageClass, namespaced=False
)
HORIZONTALPODAUTOSCALERS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    autoscaling_v2.HorizontalPodAutoscaler,
)
HORIZONTALPODAUTOSCALERS_V1 = Resource(
    "autoscaling",
    "v1",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    autoscaling_v1.HorizontalPodAutoscaler,
)
CUSTOMRESOURCEDEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    apiextensions_v1.CustomResourceDefinition,
    namespaced=False,
)
ROLES = _rbac("roles", rbac_v1.Role)
ROLEBINDINGS = _rbac("rolebindings", rbac_v1.RoleBinding)
CLUSTERROLES = _rbac("clusterroles", rbac_v1.ClusterRole, namespaced=False)
CLUSTERROLEBINDINGS = _rbac("clusterrolebindings", rbac_v1.ClusterRoleBinding, namespaced=False)

REVIEWS: tuple[Resource[Any], ...] = (
    *(
        Resource("authentication.k8s.io", "v1", f"{kind.__name__.lower()}s", kind.__name__, kind, False)
        for kind in (authentication_v1.SelfSubjectReview, authentication_v1.TokenReview)
    ),
    *(
        Resource("authorization.k8s.io", "v1", f"{kind.__name__.lower()}s", kind.__name__, kind, local)
        for kind, local in (
            (authorization_v1.LocalSubjectAccessReview, True),
            (authorization_v1.SelfSubjectAccessReview, False),
            (authorization_v1.SelfSubjectRulesReview, False),
            (authorization_v1.SubjectAccessReview, False),
        )
    ),
)
"""What is only asked and answered, never stored."""
