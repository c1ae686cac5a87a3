"""ReplicaSets: what is filled in for the user, and what is refused. Upstream: pkg/apis/apps/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import counts, names, templates
from fairlead.objects.apps_v1 import ReplicaSet, ReplicaSetSpec
from fairlead.objects.core_v1 import PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid

COUNTS = (
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
    "observedGeneration",
)
"""The numbers in its status."""


def default(replica_set: ReplicaSet) -> ReplicaSet:
    """The ReplicaSet with its number of replicas."""
    spec = replica_set.spec
    replicas = 1 if spec.replicas is None else spec.replicas
    return replace(
        replica_set, spec=replace(spec, replicas=replicas, template=templates.default(spec.template))
    )


def validate(replica_set: ReplicaSet, old: ReplicaSet | None = None) -> list[FieldError]:
    """The errors of a ReplicaSet that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(replica_set.metadata, old.metadata)
        errors += _validate_spec(replica_set.spec)
        return errors + unchanged(replica_set.spec.selector, old.spec.selector, "spec.selector")
    errors = validate_metadata(replica_set.metadata, names.is_dns1123_subdomain)
    return errors + _validate_spec(replica_set.spec)


def _validate_spec(spec: ReplicaSetSpec) -> list[FieldError]:
    errors = counts.all_not_negative(spec, ("replicas", "minReadySeconds"), "spec")
    return errors + validate_pods(spec.template, spec.selector)


def validate_pods(template: PodTemplateSpec, selector: LabelSelector | None) -> list[FieldError]:
    """The errors in selector and template, those of a Deployment too."""
    # It says "deployment" of a ReplicaSet as well.
    errors = templates.validate_selector(selector, "spec.selector", "deployment")
    matcher = templates.readable(selector)
    if matcher is None:
        return [*errors, invalid("spec.selector", selector, "invalid label selector")]
    path = "spec.template"
    errors += templates.validate_selected(template, matcher, path)
    errors += templates.validate(template, path)
    return errors + templates.validate_running(template, path, "ReplicaSet")


def validate_available(available: int, ready: int) -> list[FieldError]:
    """The error of a status with more available replicas than ready ones."""
    if available <= ready:
        return []
    return [invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")]


def validate_status(replica_set: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    """The errors in a change of a ReplicaSet's status."""
    status = replica_set.status
    errors = validate_metadata_update(replica_set.metadata, old.metadata)
    errors += counts.all_not_negative(status, COUNTS, "status")
    errors += counts.at_most_all(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    return errors + validate_available(status.availableReplicas, status.readyReplicas)
