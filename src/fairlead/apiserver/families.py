"""The IP families of a Service: filled in, and held against those that the cluster has.

Pure. Upstream: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from fairlead.apiserver.transitions import needs_addresses
from fairlead.objects import addresses
from fairlead.objects.core_v1 import Service, ServiceSpec
from fairlead.objects.dualstack import is_headless, validate_cluster_ips
from fairlead.objects.status import FieldError, invalid, unprocessable

OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
SEVERAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
RELEASE = "must be 'SingleStack' to release the secondary {}"


def with_families(service: Service, old: ServiceSpec | None, cluster: Sequence[str]) -> ServiceSpec:
    """The spec with policy and families. `cluster`: the families of its ServiceCIDRs, the default one first.

    Raises 422 where the fields contradict one another or ask for a family that the cluster has not.
    """
    spec = service.spec
    if spec.type == "ExternalName" or (old is not None and is_settled(spec, old)):
        return spec
    policy = spec.ipFamilyPolicy or default_policy(spec, old)
    spec = replace(spec, ipFamilyPolicy=policy)
    name = service.metadata.name
    if errors := validate_cluster_ips(spec, old):
        raise unprocessable("Service", name, errors)
    spec, errors = _reduced(spec, old)
    families = spec.ipFamilies
    if policy == "SingleStack":
        for what, several in (("cluster IPs", spec.clusterIPs), ("IP families", families)):
            if len(several) == 2:
                errors.append(invalid("spec.ipFamilyPolicy", policy, SEVERAL.format(what)))
    if not is_headless(spec):
        for i, address in enumerate(spec.clusterIPs[len(families) :], len(families)):
            family = addresses.family(address)
            if family in cluster:
                families = (*families, family)
            else:
                said = f"{family} is not configured on this cluster"
                errors.append(invalid(f"spec.clusterIPs[{i}]", list(spec.clusterIPs), said))
    if errors:
        raise unprocessable("Service", name, errors)
    # What has neither addresses nor pods of this cluster may be of any family.
    free = is_headless(spec) and not spec.selector
    if not free:
        _check(name, policy, families, cluster)
    families = families or (cluster[0],)
    if policy != "SingleStack" and len(families) == 1 and (free or len(cluster) == 2):
        families = (families[0], OTHER[families[0]])
    return replace(spec, ipFamilies=families)


def is_settled(spec: ServiceSpec, old: ServiceSpec) -> bool:
    """Whether a PreferDualStack Service is left alone: it is not upgraded because the cluster was.

    Upstream: isMatchingPreferDualStackClusterIPFields.
    """
    return (
        spec.type == old.type
        and spec.ipFamilyPolicy == "PreferDualStack"
        and old.ipFamilyPolicy in (None, "PreferDualStack")
        and (spec.clusterIPs, spec.ipFamilies) == (old.clusterIPs, old.ipFamilies)
    )


def default_policy(spec: ServiceSpec, old: ServiceSpec | None) -> str:
    """The policy of a Service that names none: the one before, else by what it is."""
    if old is not None and old.ipFamilyPolicy is not None:
        return old.ipFamilyPolicy
    return "RequireDualStack" if is_headless(spec) and not spec.selector else "SingleStack"


def _reduced(spec: ServiceSpec, old: ServiceSpec | None) -> tuple[ServiceSpec, list[FieldError]]:
    """The spec without the second address and family, where the policy alone was changed to say so."""
    if old is None:
        return spec, []
    if spec.ipFamilyPolicy == "SingleStack":
        if spec.clusterIPs == old.clusterIPs:
            spec = replace(spec, clusterIPs=spec.clusterIPs[:1])
        if spec.ipFamilies == old.ipFamilies:
            spec = replace(spec, ipFamilies=spec.ipFamilies[:1])
        return spec, []
    errors: list[FieldError] = []
    for what, now, before in (
        ("cluster IP", spec.clusterIPs, old.clusterIPs),
        ("IP family", spec.ipFamilies, old.ipFamilies),
    ):
        if now and len(now) < len(before):
            errors.append(invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, RELEASE.format(what)))
    return spec, errors


def _check(name: str, policy: str, families: tuple[str, ...], cluster: Sequence[str]) -> None:
    errors: list[FieldError] = []
    if policy == "RequireDualStack" and len(cluster) < 2:
        said = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", policy, said))
    for i, family in enumerate(families):
        if family not in cluster:
            errors.append(invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    if errors:
        raise unprocessable("Service", name, errors)


def to_allocate(spec: ServiceSpec, old: ServiceSpec | None) -> range:
    """Which of `ipFamilies` need an address now. Upstream: updateClusterIPs."""
    if not needs_addresses(spec):
        return range(0)
    if old is None or old.type == "ExternalName":
        return range(len(spec.ipFamilies))
    upgraded = len(old.ipFamilies) == 1 and len(spec.ipFamilies) == 2
    if is_headless(old) or is_settled(spec, old) or not upgraded:
        return range(0)
    return range(1, 2)
