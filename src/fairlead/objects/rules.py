"""The rules of every kind: what is filled in for the user, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fairlead.objects import (
    configuration,
    coordination_v1,
    core_v1,
    discovery_v1,
    endpoints,
    endpointslices,
    events,
    events_v1,
    ipaddresses,
    leases,
    names,
    namespaces,
    networking_v1,
    nodes,
    pods,
    reports,
    servicecidrs,
    services,
)
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.resources import Stored
from fairlead.objects.status import FieldError

T = TypeVar("T")


def _metadata_update(obj: Stored, old: Stored) -> list[FieldError]:
    return validate_metadata_update(obj.metadata, old.metadata)


def _unchanged(obj: Any) -> Any:
    return obj


def _validate_any(obj: Stored, old: Stored | None = None) -> list[FieldError]:
    errors = validate_metadata_update(obj.metadata, old.metadata) if old is not None else []
    return errors + validate_metadata(
        obj.metadata, names.is_path_segment, namespaced=bool(obj.metadata.namespace)
    )


@dataclass(frozen=True)
class Rules(Generic[T]):
    """The pure decisions about one kind.

    `default` runs on everything that comes in, before allocation; `validate(obj, old)` after it, with the object that
    stands in the store if there is one. `validate_status` is for the status subresource.
    """

    default: Callable[[T], T] = _unchanged
    validate: Callable[..., list[FieldError]] = _validate_any
    validate_status: Callable[[Any, Any], list[FieldError]] = _metadata_update


_RULES: dict[type[Any], Rules[Any]] = {
    core_v1.ConfigMap: Rules(validate=configuration.validate_configmap),
    core_v1.Endpoints: Rules(endpoints.default, endpoints.validate),
    core_v1.Event: Rules(validate=events.validate),
    events_v1.Event: Rules(validate=reports.validate),
    core_v1.Namespace: Rules(namespaces.default, namespaces.validate, namespaces.validate_status),
    core_v1.Node: Rules(nodes.default, nodes.validate, nodes.validate_status),
    core_v1.Pod: Rules(pods.default, pods.validate, pods.validate_status),
    core_v1.Secret: Rules(configuration.default_secret, configuration.validate_secret),
    core_v1.Service: Rules(services.default, services.validate, services.validate_status),
    core_v1.ServiceAccount: Rules(validate=configuration.validate_serviceaccount),
    discovery_v1.EndpointSlice: Rules(endpointslices.default, endpointslices.validate),
    coordination_v1.Lease: Rules(validate=leases.validate),
    networking_v1.IPAddress: Rules(validate=ipaddresses.validate),
    networking_v1.ServiceCIDR: Rules(validate=servicecidrs.validate),
}


def rules_for(kind: type[T]) -> Rules[T]:
    """The rules of a type; of one that has none of its own, those of metadata."""
    return _RULES.get(kind, Rules())
