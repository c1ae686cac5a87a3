"""The addresses and IP families of a Service: what is refused, and what of them may change.

Upstream: pkg/apis/core/validation/validation.go (ValidateServiceClusterIPsRelatedFields, validateUpgradeDowngrade*).
"""

from __future__ import annotations

from fairlead.objects import addresses
from fairlead.objects.core_v1 import ServiceSpec
from fairlead.objects.status import FieldError, duplicate, invalid, not_supported, required

FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
KEPT = "may not change once set"


def is_headless(spec: ServiceSpec) -> bool:
    """Whether it asks for no virtual address: clients find its endpoints through DNS."""
    return spec.clusterIP == "None" or spec.clusterIPs == ("None",)


def validate_cluster_ips(spec: ServiceSpec, before: ServiceSpec | None = None) -> list[FieldError]:
    """The errors in clusterIPs, ipFamilies and ipFamilyPolicy. The allocator asks too, before it allocates."""
    if spec.type == "ExternalName":
        return []
    path = "spec.clusterIPs"
    listed = list(spec.clusterIPs)
    errors: list[FieldError] = []
    if spec.clusterIP and not spec.clusterIPs:
        errors.append(required(path))
    elif spec.clusterIP and spec.clusterIPs[0] != spec.clusterIP:
        errors.append(invalid(path, listed, "first value must match `clusterIP`"))
    elif not spec.clusterIP and spec.clusterIPs:
        errors.append(invalid(path, listed, "must be empty when `clusterIP` is not specified"))
    for i, family in enumerate(spec.ipFamilies):
        if family not in FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{i}]", family, FAMILIES))
        if family in spec.ipFamilies[:i]:
            errors.append(duplicate(f"spec.ipFamilies[{i}]", family))
    if spec.ipFamilyPolicy is not None and spec.ipFamilyPolicy not in FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", spec.ipFamilyPolicy, FAMILY_POLICIES))
    malformed = False
    for i, address in enumerate(spec.clusterIPs):
        if i == 0 and address == "None":
            if len(spec.clusterIPs) > 1:
                malformed = True
                errors.append(invalid(path, listed, "'None' must be the first and only value"))
            continue
        found = addresses.wrong(
            addresses.is_ip, f"{path}[{i}]", address, old=before.clusterIPs if before else ()
        )
        malformed = malformed or bool(found)
        errors += found
    if len(spec.clusterIPs) > 2:
        errors.append(invalid(path, listed, "may only hold up to 2 values"))
    if malformed:
        return errors
    families = [addresses.family(address) for address in spec.clusterIPs]
    if len(families) > 1 and set(families) != set(FAMILIES):
        errors.append(invalid(path, listed, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        for i, (address, family) in enumerate(zip(spec.clusterIPs, spec.ipFamilies, strict=False)):
            if family in FAMILIES and families[i] != family:
                said = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
                errors.append(invalid(f"{path}[{i}]", address, said))
    return errors


def validate_addresses_kept(spec: ServiceSpec, before: ServiceSpec) -> list[FieldError]:
    """A second address and family may come and go; the first are for life, unless an ExternalName lies between."""
    if "ExternalName" in (spec.type, before.type):
        return []
    headless, was_headless = is_headless(spec), is_headless(before)
    errors: list[FieldError] = []
    if not (headless and was_headless):
        errors += _validate_addresses(spec, before)
    if not headless and not was_headless:
        errors += _validate_families(spec, before)
    return errors


def _validate_addresses(spec: ServiceSpec, before: ServiceSpec) -> list[FieldError]:
    new, old, listed = spec.clusterIPs, before.clusterIPs, list(spec.clusterIPs) or None
    if len(new) == len(old):
        changed = [i for i, address in enumerate(new) if address != old[i]]
        return [invalid(f"spec.clusterIPs[{i}]", listed, KEPT) for i in changed]
    errors: list[FieldError] = []
    if not new:
        errors.append(invalid("spec.clusterIPs[0]", listed, "primary clusterIP can not be unset"))
    elif old and new[0] != old[0]:
        errors.append(invalid("spec.clusterIPs[0]", listed, KEPT))
    if len(new) == 1 < len(old):
        errors += _validate_release(spec, "clusterIP")
    return errors


def _validate_families(spec: ServiceSpec, before: ServiceSpec) -> list[FieldError]:
    new, old = spec.ipFamilies, before.ipFamilies
    path, addresses_listed = "spec.ipFamilies[0]", list(spec.clusterIPs) or None
    if len(new) == len(old):
        changed = [i for i, family in enumerate(new) if family != old[i]]
        return [invalid(path, list(new), KEPT) for _ in changed]
    errors: list[FieldError] = []
    if len(new) < len(old) and not spec.clusterIPs:
        errors.append(invalid(path, list(new) or None, "primary ipFamily can not be unset"))
    if new and old and new[0] != old[0]:
        errors.append(invalid(path, addresses_listed, KEPT))
    if len(new) == 1 < len(old):
        errors += _validate_release(spec, "ipFamily")
    return errors


def _validate_release(spec: ServiceSpec, what: str) -> list[FieldError]:
    if spec.ipFamilyPolicy == "SingleStack":
        return []
    said = f"must be set to 'SingleStack' when releasing the secondary {what}"
    return [invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, said)]
