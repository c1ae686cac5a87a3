"""Roles and their bindings: what is filled in for the user, and what is refused.

Upstream: pkg/apis/rbac/v1/defaults.go, pkg/apis/rbac/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from fairlead.objects import labels, names
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from fairlead.objects.status import FieldError, invalid, not_supported, required

GROUP = "rbac.authorization.k8s.io"
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")

Binding = TypeVar("Binding", RoleBinding, ClusterRoleBinding)


def default_binding(binding: Binding) -> Binding:
    """The binding with the API groups that its role and its subjects are left without."""
    reference = binding.roleRef
    if not reference.apiGroup:
        reference = replace(reference, apiGroup=GROUP)
    subjects = tuple(
        replace(subject, apiGroup=GROUP)
        if subject.kind in ("User", "Group") and not subject.apiGroup
        else subject
        for subject in binding.subjects
    )
    return replace(binding, roleRef=reference, subjects=subjects)


def validate_role(role: Role, old: Role | None = None) -> list[FieldError]:
    """The errors of a Role that is created, or that replaces `old`."""
    errors = validate_metadata_update(role.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(role.metadata, names.is_path_segment)
    return errors + _rules(role.rules, namespaced=True)


def validate_clusterrole(role: ClusterRole, old: ClusterRole | None = None) -> list[FieldError]:
    """The errors of a ClusterRole that is created, or that replaces `old`."""
    errors = validate_metadata_update(role.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(role.metadata, names.is_path_segment, namespaced=False)
    errors += _rules(role.rules, namespaced=False)
    if role.aggregationRule is not None:
        path = "aggregationRule.clusterRoleSelectors"
        selectors = role.aggregationRule.clusterRoleSelectors
        if not selectors:
            said = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            errors.append(required(path, said))
        for index, selector in enumerate(selectors):
            errors += _selector(selector, f"{path}[{index}]")
    return errors


def _selector(selector: LabelSelector, path: str) -> list[FieldError]:
    try:
        labels.from_selector(selector)
    except ValueError:
        return [invalid(path, selector, "invalid label selector.")]
    return []


def _rules(rules: Sequence[PolicyRule], *, namespaced: bool) -> list[FieldError]:
    return [
        error
        for index, rule in enumerate(rules)
        for error in _rule(rule, f"rules[{index}]", namespaced=namespaced)
    ]


def _rule(rule: PolicyRule, path: str, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.verbs:
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    if rule.nonResourceURLs:
        urls = list(rule.nonResourceURLs)
        if namespaced:
            said = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, said))
        if rule.apiGroups or rule.resources or rule.resourceNames:
            said = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, said))
        return errors
    if not rule.apiGroups:
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.resources:
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


def validate_rolebinding(binding: RoleBinding, old: RoleBinding | None = None) -> list[FieldError]:
    """The errors of a RoleBinding that is created, or that replaces `old`."""
    return _binding(binding, old, ("Role", "ClusterRole"), namespaced=True)


def validate_clusterrolebinding(
    binding: ClusterRoleBinding, old: ClusterRoleBinding | None = None
) -> list[FieldError]:
    """The errors of a ClusterRoleBinding that is created, or that replaces `old`."""
    return _binding(binding, old, ("ClusterRole",), namespaced=False)


def _binding(
    binding: RoleBinding | ClusterRoleBinding,
    old: RoleBinding | ClusterRoleBinding | None,
    kinds: tuple[str, ...],
    *,
    namespaced: bool,
) -> list[FieldError]:
    errors = validate_metadata(binding.metadata, names.is_path_segment, namespaced=namespaced)
    reference = binding.roleRef
    if reference.apiGroup != GROUP:
        errors.append(not_supported("roleRef.apiGroup", reference.apiGroup, (GROUP,)))
    if reference.kind not in kinds:
        errors.append(not_supported("roleRef.kind", reference.kind, kinds))
    if not reference.name:
        errors.append(required("roleRef.name"))
    else:
        errors += names.wrong(names.is_path_segment, "roleRef.name", reference.name)
    for index, subject in enumerate(binding.subjects):
        errors += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None:
        errors += validate_metadata_update(binding.metadata, old.metadata)
        if old.roleRef != reference:
            errors.append(invalid("roleRef", reference, "cannot change roleRef"))
    return errors


def _subject(subject: Subject, path: str, *, namespaced: bool) -> list[FieldError]:
    errors = [] if subject.name else [required(f"{path}.name")]
    match subject.kind:
        case "ServiceAccount":
            if subject.name:
                errors += names.wrong(names.is_dns1123_subdomain, f"{path}.name", subject.name)
            if subject.apiGroup:
                errors.append(not_supported(f"{path}.apiGroup", subject.apiGroup, ("",)))
            if not namespaced and not subject.namespace:
                errors.append(required(f"{path}.namespace"))
        case "User" | "Group":
            if not subject.name:
                said = f"{subject.kind.lower()} name cannot be empty"
                errors.append(invalid(f"{path}.name", subject.name, said))
            if subject.apiGroup != GROUP:
                errors.append(not_supported(f"{path}.apiGroup", subject.apiGroup, (GROUP,)))
        case _:
            errors.append(not_supported(f"{path}.kind", subject.kind, SUBJECT_KINDS))
    return errors
