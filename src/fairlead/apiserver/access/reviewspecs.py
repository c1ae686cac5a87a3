"""What a review of access asks about, and what is wrong with how it asks.

Upstream: pkg/apis/authorization/validation, pkg/registry/authorization/util.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from fairlead.apiserver.access.rules import Attributes
from fairlead.objects import fieldselectors, labels
from fairlead.objects.authorization_v1 import (
    FieldSelectorAttributes,
    LabelSelectorAttributes,
    LocalSubjectAccessReview,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from fairlead.objects.meta_v1 import FieldSelectorRequirement, LabelSelectorRequirement, ObjectMeta
from fairlead.objects.status import FieldError, forbidden, invalid, required

Review = SubjectAccessReview | SelfSubjectAccessReview | LocalSubjectAccessReview
Spec = SubjectAccessReviewSpec | SelfSubjectAccessReviewSpec

_AT = "spec.resourceAttributes"


def wanted(spec: Spec) -> tuple[Attributes, str]:
    """What a review asks about, and what of it is not regarded."""
    if spec.resourceAttributes is None:
        path = spec.nonResourceAttributes
        return (Attributes(path.verb, path=path.path) if path is not None else Attributes("")), ""
    its = spec.resourceAttributes
    selector, said = _selected(its)
    asked = Attributes(
        its.verb, its.group, its.resource, its.subresource, its.namespace, its.name, selector=selector
    )
    return asked, "; ".join(said)


def _selected(its: ResourceAttributes) -> tuple[fieldselectors.FieldSelector, list[str]]:
    said: list[str] = []
    selector = fieldselectors.EVERYTHING
    if (fields := its.fieldSelector) is not None:
        terms = [
            fieldselectors.Term(one.key, one.values[0], one.operator == "In")
            for one in fields.requirements
            if one.operator in ("In", "NotIn") and len(one.values) == 1
        ]
        selector = fieldselectors.FieldSelector(tuple(terms))
        ignored = len(terms) < len(fields.requirements)
        if fields.rawSelector:
            try:
                selector = fieldselectors.parse(fields.rawSelector)
            except ValueError:
                ignored = True
        if ignored:
            said.append(f"{_AT}.fieldSelector {'partially ' if terms else ''}ignored due to parse error")
    if its.labelSelector is not None and its.labelSelector.rawSelector:
        try:
            labels.parse(its.labelSelector.rawSelector)
        except ValueError:
            said.append(f"{_AT}.labelSelector ignored due to parse error")
    return selector, said


def validate(review: Review) -> list[FieldError]:
    """The errors of a review of access."""
    errors: list[FieldError] = []
    spec = review.spec
    if spec.resourceAttributes is not None and spec.nonResourceAttributes is not None:
        said = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid("spec.nonResourceAttributes", spec.nonResourceAttributes, said))
    if spec.resourceAttributes is None and spec.nonResourceAttributes is None:
        said = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid(_AT, None, said))
    if isinstance(spec, SubjectAccessReviewSpec) and not spec.user and not spec.groups:
        errors.append(invalid("spec.user", spec.user, "at least one of user or group must be specified"))
    if spec.resourceAttributes is not None:
        for name, selector in (
            ("fieldSelector", spec.resourceAttributes.fieldSelector),
            ("labelSelector", spec.resourceAttributes.labelSelector),
        ):
            if selector is not None:
                errors += _selector(selector, f"{_AT}.{name}")
    local = isinstance(review, LocalSubjectAccessReview)
    empty = replace(review.metadata, managedFields=(), creationTimestamp=None)
    if replace(empty, namespace="" if local else empty.namespace) != ObjectMeta():
        said = "must be empty except for namespace" if local else "must be empty"
        errors.append(invalid("metadata", review.metadata, said))
    return errors


def validate_local(review: LocalSubjectAccessReview, namespace: str) -> list[FieldError]:
    """The errors of a review of access in one namespace."""
    errors: list[FieldError] = []
    spec = review.spec
    if spec.resourceAttributes is not None and spec.resourceAttributes.namespace != namespace:
        given = spec.resourceAttributes.namespace
        errors.append(invalid(f"{_AT}.namespace", given, "must match metadata.namespace"))
    if spec.nonResourceAttributes is not None:
        said = "disallowed on this kind of request"
        errors.append(invalid("spec.nonResourceAttributes", spec.nonResourceAttributes, said))
    return errors


def _selector(selector: FieldSelectorAttributes | LabelSelectorAttributes, path: str) -> Iterator[FieldError]:
    if selector.rawSelector and selector.requirements:
        said = "may not specified at the same time as requirements"
        yield invalid(f"{path}.rawSelector", selector.rawSelector, said)
    if not selector.rawSelector and not selector.requirements:
        said = f"when {path} is specified, requirements or rawSelector is required"
        yield required(f"{path}.requirements", said)
    requirements: Sequence[FieldSelectorRequirement | LabelSelectorRequirement] = selector.requirements
    for index, one in enumerate(requirements):
        at = f"{path}.requirements[{index}]"
        if not one.key:
            yield required(f"{at}.key", "must be specified")
        if one.operator in ("In", "NotIn") and not one.values:
            yield required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        if one.operator in ("Exists", "DoesNotExist") and one.values:
            said = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{at}.values", said)
