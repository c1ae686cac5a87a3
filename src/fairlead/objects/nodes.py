"""Nodes: what is filled in for the user, and what is refused. Upstream: ValidateNode, ValidateNodeUpdate."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import addresses, names
from fairlead.objects.core_v1 import Node, Taint
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid, not_supported, required

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def default(node: Node) -> Node:
    """The node with what it can allocate, all of its capacity unless it says less, and both forms of its pod CIDRs."""
    spec, status = node.spec, node.status
    if spec.podCIDR and not spec.podCIDRs:
        node = replace(node, spec=replace(spec, podCIDRs=(spec.podCIDR,)))
    elif spec.podCIDRs and not spec.podCIDR:
        node = replace(node, spec=replace(spec, podCIDR=spec.podCIDRs[0]))
    if status.capacity and not status.allocatable:
        node = replace(node, status=replace(status, allocatable=status.capacity))
    return node


def validate(node: Node, old: Node | None = None) -> list[FieldError]:
    """The errors of a node that is created, or that replaces `old`."""
    errors: list[FieldError] = []
    cidrs = node.spec.podCIDRs
    known: tuple[str, ...] = ()
    if old is not None:
        errors += validate_metadata_update(node.metadata, old.metadata)
        known = old.spec.podCIDRs
        if known and cidrs != known:
            errors.append(
                forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
            )
        if old.spec.providerID and node.spec.providerID != old.spec.providerID:
            said = 'node updates may not change providerID except from "" to valid'
            errors.append(forbidden("spec.providerID", said))
    errors += validate_metadata(node.metadata, names.is_dns1123_subdomain, namespaced=False)
    errors += validate_taints(node.spec.taints, "metadata.taints")
    for i, cidr in enumerate(cidrs):
        errors += addresses.wrong(addresses.is_cidr, f"spec.podCIDRs[{i}]", cidr, old=known)
    if len(cidrs) > 1:
        if len(cidrs) > 2 or {addresses.cidr_family(cidr) for cidr in cidrs} != {"IPv4", "IPv6"}:
            said = "may specify no more than one CIDR for each IP family"
            errors.append(invalid("spec.podCIDRs", list(cidrs), said))
        for i, cidr in enumerate(cidrs):
            if cidr in cidrs[:i]:
                errors.append(duplicate(f"spec.podCIDRs[{i}]", cidr))
    return errors


def validate_taints(taints: tuple[Taint, ...], path: str) -> list[FieldError]:
    """The errors in a node's taints, each of which is known by its key and effect."""
    errors: list[FieldError] = []
    for i, taint in enumerate(taints):
        at = f"{path}[{i}]"
        errors += names.wrong(names.is_qualified_name, f"{at}.key", taint.key)
        if said := names.is_label_value(taint.value):
            errors.append(invalid(f"{at}.value", taint.value, ";".join(said)))
        if not taint.effect:
            errors.append(required(f"{at}.effect"))
        elif taint.effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{at}.effect", taint.effect, TAINT_EFFECTS))
        if (taint.key, taint.effect) in [(t.key, t.effect) for t in taints[:i]]:
            said_twice = "taints must be unique by key and effect pair"
            errors.append(FieldError("FieldValueDuplicate", at, said_twice, taint))
    return errors


def validate_status(node: Node, old: Node) -> list[FieldError]:
    """The errors in a change of a node's status: an address stands in it only once."""
    errors = validate_metadata_update(node.metadata, old.metadata)
    listed = node.status.addresses
    for i, address in enumerate(listed):
        if address in listed[:i]:
            errors.append(duplicate(f"status.addresses[{i}]", address))
    return errors
