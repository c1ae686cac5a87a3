"""Leases: what is refused. Upstream: pkg/apis/coordination/validation."""

from __future__ import annotations

from fairlead.objects import names
from fairlead.objects.coordination_v1 import Lease
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported

STRATEGIES = ("OldestEmulationVersion",)


def validate(lease: Lease, old: Lease | None = None) -> list[FieldError]:
    """The errors of a Lease that is created, or that replaces `old`."""
    errors = validate_metadata_update(lease.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(lease.metadata, names.is_dns1123_subdomain)
    spec = lease.spec
    if spec.leaseDurationSeconds is not None and spec.leaseDurationSeconds <= 0:
        errors.append(
            invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0")
        )
    if spec.leaseTransitions is not None and spec.leaseTransitions < 0:
        said = "must be greater than or equal to 0"
        errors.append(invalid("spec.leaseTransitions", spec.leaseTransitions, said))
    if spec.strategy is not None:
        if "/" in spec.strategy:
            errors += names.wrong(names.is_qualified_name, "spec.strategy.strategy", spec.strategy)
        elif spec.strategy not in STRATEGIES:
            errors.append(not_supported("spec.strategy.strategy", spec.strategy, STRATEGIES))
    if spec.preferredHolder and not spec.strategy:
        errors.append(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors
