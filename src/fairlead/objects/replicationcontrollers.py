"""ReplicationControllers: what is filled in for the user, and what is refused. Upstream: pkg/apis/core/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import counts, names, replicasets, templates
from fairlead.objects.core_v1 import ReplicationController, ReplicationControllerSpec
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, required


def default(controller: ReplicationController) -> ReplicationController:
    """The controller with its number of replicas; selector and labels are those of its pods unless it has its own."""
    spec, metadata = controller.spec, controller.metadata
    if spec.template is not None:
        spec = replace(spec, template=templates.default(spec.template))
        given = spec.template.metadata.labels if spec.template is not None else {}
        if given:
            spec = replace(spec, selector=spec.selector or given)
            metadata = replace(metadata, labels=metadata.labels or given)
    spec = replace(spec, replicas=1 if spec.replicas is None else spec.replicas)
    return replace(controller, metadata=metadata, spec=spec)


def validate(controller: ReplicationController, old: ReplicationController | None = None) -> list[FieldError]:
    """The errors of a controller that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(controller.metadata, old.metadata)
    else:
        errors = validate_metadata(controller.metadata, names.is_dns1123_subdomain)
    return errors + _validate_spec(controller.spec)


def _validate_spec(spec: ReplicationControllerSpec) -> list[FieldError]:
    errors = counts.not_negative("spec.minReadySeconds", spec.minReadySeconds)
    if not spec.selector:
        errors.append(required("spec.selector"))
    errors += counts.not_negative("spec.replicas", spec.replicas)
    path, template = "spec.template", spec.template
    if template is None:
        return [*errors, required(path)]
    matcher = templates.readable(spec.selector)
    if matcher is not None:
        errors += templates.validate_selected(template, matcher, path)
    errors += templates.validate(template, path)
    return errors + templates.validate_running(template, path, "ReplicationController")


def validate_status(controller: ReplicationController, old: ReplicationController) -> list[FieldError]:
    """The errors in a change of a controller's status."""
    status = controller.status
    errors = validate_metadata_update(controller.metadata, old.metadata)
    fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    errors += counts.all_not_negative(status, fields, "status")
    errors += counts.at_most_all(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    return errors + replicasets.validate_available(status.availableReplicas, status.readyReplicas)
