"""ServiceCIDRs: what is refused. Upstream: pkg/apis/networking/validation (ValidateServiceCIDR)."""

from __future__ import annotations

from fairlead.objects import addresses, names
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.networking_v1 import ServiceCIDR
from fairlead.objects.status import FieldError, immutable, invalid, required

PATH = "spec.cidrs"


def validate(cidr: ServiceCIDR, old: ServiceCIDR | None = None) -> list[FieldError]:
    """The errors of a ServiceCIDR that is created, or that replaces `old`: it may only get a second family."""
    if old is None:
        errors = validate_metadata(cidr.metadata, names.is_dns1123_subdomain, namespaced=False)
        return errors + validate_cidrs(cidr.spec.cidrs)
    errors = validate_metadata_update(cidr.metadata, old.metadata)
    new, before = cidr.spec.cidrs, old.spec.cidrs
    if len(new) == len(before):
        changed = [i for i, text in enumerate(new) if text != before[i]]
        return errors + [immutable(f"{PATH}[{i}]", new[i]) for i in changed]
    if (len(before), len(new)) != (1, 2):
        return [*errors, immutable(PATH, list(new) or None)]
    if new[0] != before[0]:
        errors.append(immutable(f"{PATH}[0]", new[0]))
    return errors + validate_cidrs(new)


def validate_cidrs(cidrs: tuple[str, ...]) -> list[FieldError]:
    """The errors in its networks: one or two, of different families, in canonical form."""
    whole = {"CIDRs": list(cidrs)}
    if not cidrs:
        return [required(PATH, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [invalid(PATH, whole, "may only hold up to 2 values")]
    if len(cidrs) == 2 and {addresses.cidr_family(text) for text in cidrs} != {"IPv4", "IPv6"}:
        said = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        return [invalid(PATH, whole, said)]
    errors: list[FieldError] = []
    for i, text in enumerate(cidrs):
        errors += addresses.wrong(addresses.is_canonical_cidr, f"{PATH}[{i}]", text)
    return errors
