"""The rules of every kind: what is filled in for the user, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fairlead.objects import (
    admissionregistration_v1,
    apiextensions_v1,
    apps_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    configuration,
    controllerrevisions,
    coordination_v1,
    core_v1,
    cronjobs,
    daemonsets,
    definitions,
    deployments,
    discovery_v1,
    endpoints,
    endpointslices,
    events,
    events_v1,
    horizontalpodautoscalers,
    ingressclasses,
    ingresses,
    ipaddresses,
    jobs,
    leases,
    limitranges,
    names,
    namespaces,
    networking_v1,
    networkpolicies,
    nodes,
    persistentvolumeclaims,
    persistentvolumes,
    poddisruptionbudgets,
    podparts,
    pods,
    policy_v1,
    priorityclasses,
    rbac,
    rbac_v1,
    replicasets,
    replicationcontrollers,
    reports,
    resourcequotas,
    scheduling_v1,
    servicecidrs,
    services,
    statefulsets,
    storage_v1,
    storageclasses,
    unserved,
    webhookconfigurations,
)
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.resources import Stored
from fairlead.objects.status import FieldError

T = TypeVar("T")


def _metadata_update(obj: Stored, old: Stored) -> list[FieldError]:
    return validate_metadata_update(obj.metadata, old.metadata)


def _no_warnings(_: Any) -> list[str]:
    return []


def _unchanged(obj: Any) -> Any:
    return obj


def _validate_any(obj: Stored, old: Stored | None = None) -> list[FieldError]:
    errors = validate_metadata_update(obj.metadata, old.metadata) if old is not None else []
    return errors + validate_metadata(
        obj.metadata, names.is_path_segment, namespaced=bool(obj.metadata.namespace)
    )


@dataclass(frozen=True)
class Part(Generic[T]):
    """What a subresource may change of an object: `prepare(new, old)` is the old one with no more than that."""

    prepare: Callable[[T, T], T]
    validate: Callable[[T, T], list[FieldError]]


@dataclass(frozen=True)
class Rules(Generic[T]):
    """The pure decisions about one kind.

    `default` runs on everything that comes in, before allocation; `validate(obj, old)` after it, with the object that
    stands in the store if there is one. `validate_status` is for the status subresource. `warnings` are for the writer
    of an object that is accepted.
    """

    default: Callable[[T], T] = _unchanged
    validate: Callable[..., list[FieldError]] = _validate_any
    validate_status: Callable[[Any, Any], list[FieldError]] = _metadata_update
    warnings: Callable[[T], list[str]] = _no_warnings
    parts: Mapping[str, Part[T]] = field(default_factory=dict)
    """The other subresources that are written in the form of the object itself."""
    status_default: Callable[[T], T] | None = None
    """What is filled in where the status is written and the rest is as it stood; None: as everywhere."""

    def default_status(self, obj: T) -> T:
        """What runs on an object whose status is written."""
        return (self.status_default or self.default)(obj)


_WEBHOOKS: Rules[Any] = Rules(
    webhookconfigurations.default, webhookconfigurations.validate, warnings=unserved.warnings
)
_RULES: dict[type[Any], Rules[Any]] = {
    admissionregistration_v1.MutatingWebhookConfiguration: _WEBHOOKS,
    admissionregistration_v1.ValidatingWebhookConfiguration: _WEBHOOKS,
    apiextensions_v1.CustomResourceDefinition: Rules(
        definitions.default, definitions.validate, definitions.validate_status, definitions.warnings
    ),
    core_v1.ConfigMap: Rules(validate=configuration.validate_configmap),
    core_v1.Endpoints: Rules(endpoints.default, endpoints.validate, warnings=endpoints.warnings),
    core_v1.Event: Rules(validate=events.validate),
    events_v1.Event: Rules(validate=reports.validate),
    core_v1.Namespace: Rules(namespaces.default, namespaces.validate, namespaces.validate_status),
    core_v1.Node: Rules(nodes.default, nodes.validate, nodes.validate_status),
    core_v1.Pod: Rules(
        pods.default,
        pods.validate,
        pods.validate_status,
        parts={
            "ephemeralcontainers": Part(podparts.with_ephemeral_containers, podparts.validate_ephemeral),
            "resize": Part(podparts.with_resources, podparts.validate_resize),
        },
        status_default=pods.default_status,
    ),
    core_v1.Secret: Rules(configuration.default_secret, configuration.validate_secret),
    core_v1.Service: Rules(services.default, services.validate, services.validate_status, services.warnings),
    core_v1.ServiceAccount: Rules(validate=configuration.validate_serviceaccount),
    discovery_v1.EndpointSlice: Rules(
        endpointslices.default, endpointslices.validate, warnings=endpointslices.warnings
    ),
    coordination_v1.Lease: Rules(validate=leases.validate),
    networking_v1.IPAddress: Rules(validate=ipaddresses.validate),
    networking_v1.ServiceCIDR: Rules(validate=servicecidrs.validate),
    core_v1.LimitRange: Rules(limitranges.default, limitranges.validate, warnings=unserved.warnings),
    core_v1.PersistentVolume: Rules(persistentvolumes.default, persistentvolumes.validate),
    core_v1.PersistentVolumeClaim: Rules(persistentvolumeclaims.default, persistentvolumeclaims.validate),
    core_v1.ReplicationController: Rules(
        replicationcontrollers.default,
        replicationcontrollers.validate,
        replicationcontrollers.validate_status,
    ),
    core_v1.ResourceQuota: Rules(validate=resourcequotas.validate, warnings=unserved.warnings),
    apps_v1.ControllerRevision: Rules(validate=controllerrevisions.validate),
    apps_v1.DaemonSet: Rules(daemonsets.default, daemonsets.validate, daemonsets.validate_status),
    apps_v1.Deployment: Rules(deployments.default, deployments.validate, deployments.validate_status),
    apps_v1.ReplicaSet: Rules(replicasets.default, replicasets.validate, replicasets.validate_status),
    apps_v1.StatefulSet: Rules(statefulsets.default, statefulsets.validate, statefulsets.validate_status),
    batch_v1.CronJob: Rules(cronjobs.default, cronjobs.validate),
    batch_v1.Job: Rules(jobs.default, jobs.validate, jobs.validate_status),
    networking_v1.Ingress: Rules(validate=ingresses.validate, validate_status=ingresses.validate_status),
    networking_v1.IngressClass: Rules(ingressclasses.default, ingressclasses.validate),
    networking_v1.NetworkPolicy: Rules(
        networkpolicies.default, networkpolicies.validate, warnings=unserved.warnings
    ),
    policy_v1.PodDisruptionBudget: Rules(
        validate=poddisruptionbudgets.validate, validate_status=poddisruptionbudgets.validate_status
    ),
    storage_v1.StorageClass: Rules(storageclasses.default, storageclasses.validate),
    autoscaling_v1.HorizontalPodAutoscaler: Rules(
        horizontalpodautoscalers.default_older,
        horizontalpodautoscalers.validate_older,
        warnings=unserved.warnings,
    ),
    autoscaling_v2.HorizontalPodAutoscaler: Rules(
        horizontalpodautoscalers.default, horizontalpodautoscalers.validate, warnings=unserved.warnings
    ),
    scheduling_v1.PriorityClass: Rules(priorityclasses.default, priorityclasses.validate),
    rbac_v1.ClusterRole: Rules(validate=rbac.validate_clusterrole),
    rbac_v1.ClusterRoleBinding: Rules(rbac.default_binding, rbac.validate_clusterrolebinding),
    rbac_v1.Role: Rules(validate=rbac.validate_role),
    rbac_v1.RoleBinding: Rules(rbac.default_binding, rbac.validate_rolebinding),
}


def rules_for(kind: type[T]) -> Rules[T]:
    """The rules of a type; of one that has none of its own, those of metadata."""
    return _RULES.get(kind, Rules())
