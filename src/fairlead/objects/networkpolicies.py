"""NetworkPolicies: what is filled in for the user, and what is refused. Nothing here enforces them.

Upstream: pkg/apis/networking/v1/defaults.go, pkg/apis/networking/validation.
"""

from __future__ import annotations

import ipaddress

from msgspec.structs import replace

from fairlead.objects import addresses, labels, names
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.networking_v1 import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from fairlead.objects.services import validate_protocol
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required

TYPES = ("Egress", "Ingress")


def default(policy: NetworkPolicy) -> NetworkPolicy:
    """The policy with the protocols of its ports, and the directions that it speaks of."""
    spec = policy.spec
    ingress = tuple(replace(rule, ports=_with_protocols(rule.ports)) for rule in spec.ingress)
    egress = tuple(replace(rule, ports=_with_protocols(rule.ports)) for rule in spec.egress)
    types = spec.policyTypes or (("Ingress", "Egress") if egress else ("Ingress",))
    return replace(policy, spec=replace(spec, ingress=ingress, egress=egress, policyTypes=types))


def _with_protocols(ports: tuple[NetworkPolicyPort, ...]) -> tuple[NetworkPolicyPort, ...]:
    return tuple(replace(port, protocol=port.protocol or "TCP") for port in ports)


def validate(policy: NetworkPolicy, old: NetworkPolicy | None = None) -> list[FieldError]:
    """The errors of a policy that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(policy.metadata, old.metadata)
    else:
        errors = validate_metadata(policy.metadata, names.is_dns1123_subdomain)
    return errors + _validate_spec(policy.spec)


def _validate_spec(spec: NetworkPolicySpec) -> list[FieldError]:
    errors = labels.validate_selector(spec.podSelector, "spec.podSelector")
    for i, rule in enumerate(spec.ingress):
        errors += _validate_rule(f"spec.ingress[{i}]", rule.ports, "from", rule.from_)
    for i, outward in enumerate(spec.egress):
        errors += _validate_rule(f"spec.egress[{i}]", outward.ports, "to", outward.to)
    if len(spec.policyTypes) > len(TYPES):
        said = "may not specify more than two policyTypes"
        return [*errors, invalid("spec.policyTypes", list(spec.policyTypes), said)]
    for i, kind in enumerate(spec.policyTypes):
        if kind not in TYPES:
            errors.append(not_supported(f"spec.policyTypes[{i}]", kind, TYPES))
    return errors


def _validate_rule(
    path: str, ports: tuple[NetworkPolicyPort, ...], side: str, peers: tuple[NetworkPolicyPeer, ...]
) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, port in enumerate(ports):
        errors += _validate_port(port, f"{path}.ports[{i}]")
    for i, peer in enumerate(peers):
        errors += _validate_peer(peer, f"{path}.{side}[{i}]")
    return errors


def _validate_port(port: NetworkPolicyPort, path: str) -> list[FieldError]:
    errors = validate_protocol(port.protocol, f"{path}.protocol")
    end, at = port.endPort, f"{path}.endPort"
    if isinstance(port.port, int):
        errors += [invalid(f"{path}.port", port.port, said) for said in names.is_port_number(port.port)]
        if end is not None:
            if end < port.port:
                errors.append(invalid(at, port.port, "must be greater than or equal to `port`"))
            errors += [invalid(at, end, said) for said in names.is_port_number(end)]
        return errors
    if end is not None:
        why = "not specified" if port.port is None else "non-numeric"
        errors.append(invalid(at, end, f"may not be specified when `port` is {why}"))
    if port.port is not None:
        errors += names.wrong(names.is_port_name, f"{path}.port", port.port)
    return errors


def _validate_peer(peer: NetworkPolicyPeer, path: str) -> list[FieldError]:
    errors = labels.validate_selector(peer.podSelector, f"{path}.podSelector")
    errors += labels.validate_selector(peer.namespaceSelector, f"{path}.namespaceSelector")
    if peer.ipBlock is not None:
        errors += _validate_block(peer.ipBlock, f"{path}.ipBlock")
    given = [one for one in (peer.podSelector, peer.namespaceSelector, peer.ipBlock) if one is not None]
    if not given:
        errors.append(required(path, "must specify a peer"))
    elif len(given) > 1 and peer.ipBlock is not None:
        errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _validate_block(block: IPBlock, path: str) -> list[FieldError]:
    if not block.cidr:
        return [required(f"{path}.cidr")]
    errors = addresses.wrong(addresses.is_cidr, f"{path}.cidr", block.cidr)
    for i, text in enumerate(block.except_):
        at = f"{path}.except[{i}]"
        wrong = addresses.wrong(addresses.is_cidr, at, text)
        if not wrong and not errors and not _is_strictly_within(text, block.cidr):
            wrong = [invalid(at, text, "must be a strict subset of `cidr`")]
        errors += wrong
    return errors


def _is_strictly_within(inner: str, outer: str) -> bool:
    small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return (
        small.version == large.version
        and small.prefixlen > large.prefixlen
        and small.network_address in large
    )
