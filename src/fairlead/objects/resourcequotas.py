"""ResourceQuotas: what is refused. Nothing here counts what is used.

Upstream: ValidateResourceQuota in pkg/apis/core/validation.
"""

from __future__ import annotations

from fairlead.objects import names, quantities
from fairlead.objects.core_v1 import ResourceQuota
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError


def validate(quota: ResourceQuota, old: ResourceQuota | None = None) -> list[FieldError]:
    """The errors of a quota that is created, or that replaces `old`: its scopes never change."""
    errors = validate_metadata_update(quota.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(quota.metadata, names.is_dns1123_subdomain)
    for name, quantity in quota.spec.hard.items():
        errors += names.wrong(names.is_qualified_name, f"spec.hard[{name}]", name)
        errors += quantities.wrong(f"spec.hard[{name}]", quantity)
    if old is not None and set(quota.spec.scopes) != set(old.spec.scopes):
        errors += unchanged(list(quota.spec.scopes), list(old.spec.scopes), "spec.scopes")
    return errors
