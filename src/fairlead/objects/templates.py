"""Templates of pods, as the workload kinds have them: what is filled in for the user, and what is refused.

Upstream: ValidatePodTemplateSpec and its likes in pkg/apis/core/validation and pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from fairlead.objects import labels
from fairlead.objects.core_v1 import PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.metadata import validate_annotations
from fairlead.objects.pods import default_spec, validate_spec
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required


def default(template: PodTemplateSpec) -> PodTemplateSpec:
    """The template with what is filled in for every pod but by admission."""
    return replace(template, spec=default_spec(template.spec))


def validate(template: PodTemplateSpec, path: str) -> list[FieldError]:
    """The errors in a template, whoever has it."""
    errors = validate_metadata(template, path) + validate_spec(template.spec, f"{path}.spec")
    if template.spec.ephemeralContainers:
        said = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", said))
    return errors


def validate_metadata(template: PodTemplateSpec, path: str) -> list[FieldError]:
    """The errors in the labels and annotations that its pods get."""
    errors = labels.validate_labels(template.metadata.labels, f"{path}.labels")
    return errors + validate_annotations(template.metadata.annotations, f"{path}.annotations")


def validate_running(template: PodTemplateSpec, path: str, kind: str) -> list[FieldError]:
    """The errors in a template of pods that are to run for ever."""
    errors: list[FieldError] = []
    spec = template.spec
    if spec.restartPolicy != "Always":
        errors.append(not_supported(f"{path}.spec.restartPolicy", spec.restartPolicy, ("Always",)))
    if spec.activeDeadlineSeconds is not None:
        said = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden(f"{path}.spec.activeDeadlineSeconds", said))
    return errors


def validate_selected(template: PodTemplateSpec, selector: labels.Selector, path: str) -> list[FieldError]:
    """The error of a template whose pods its owner would not find."""
    if selector.everything or selector.matches(template.metadata.labels):
        return []
    said = "`selector` does not match template `labels`"
    return [invalid(f"{path}.metadata.labels", template.metadata.labels, said)]


def validate_selector(selector: LabelSelector | None, path: str, kind: str) -> list[FieldError]:
    """The errors in the selector of an owner of pods, which has to select something."""
    if selector is None:
        return [required(path)]
    errors = labels.validate_selector(selector, path)
    if not selector.matchLabels and not selector.matchExpressions:
        errors.append(invalid(path, selector, f"empty selector is invalid for {kind}"))
    return errors


def readable(selector: LabelSelector | Mapping[str, str] | None) -> labels.Selector | None:
    """The selector to match with; None for one that is malformed, which is said elsewhere."""
    try:
        if isinstance(selector, Mapping):
            return labels.from_map(selector)
        return labels.from_selector(selector)
    except ValueError:
        return None
