"""ServiceCIDRs and IPAddresses: what is refused, by the field, reason, message that users see."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects.networking_v1 import IPAddress, ServiceCIDR
from fairlead.objects.rules import rules_for

NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def cidr(*cidrs: str, name: str = "more") -> ServiceCIDR:
    metadata = {"name": name, "resourceVersion": "1"}
    return msgspec.convert({"metadata": metadata, "spec": {"cidrs": cidrs}}, ServiceCIDR)


def said(new: Any, old: Any = None) -> list[str]:
    return [str(error) for error in rules_for(type(new)).validate(new, old)]


@pytest.mark.parametrize(
    ("cidrs", "expected"),
    [
        (["10.0.0.0/16"], []),
        (["2001:db8::/64"], []),
        (["10.0.0.0/16", "2001:db8::/64"], []),
        (["2001:db8::/64", "10.0.0.0/16"], []),
        (["10.0.0.0/32"], []),
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            ["10.0.0.0/16", "2001:db8::/64", "10.1.0.0/16"],
            [
                'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/16","2001:db8::/64","10.1.0.0/16"]}: '
                "may only hold up to 2 values"
            ],
        ),
        (
            ["10.0.0.0/16", "10.1.0.0/16"],
            [f'spec.cidrs: Invalid value: {{"CIDRs":["10.0.0.0/16","10.1.0.0/16"]}}: {ONE_EACH}'],
        ),
        (
            ["10.0.0.0/16", "nonsense"],
            [f'spec.cidrs: Invalid value: {{"CIDRs":["10.0.0.0/16","nonsense"]}}: {ONE_EACH}'],
        ),
        (["10.0.0.0"], [f'spec.cidrs[0]: Invalid value: "10.0.0.0": {NO_CIDR}']),
        (["10.0.0.0/33"], [f'spec.cidrs[0]: Invalid value: "10.0.0.0/33": {NO_CIDR}']),
        (
            ["10.0.0.1/16"],
            ['spec.cidrs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length'],
        ),
        (
            ["010.0.0.0/16"],
            ['spec.cidrs[0]: Invalid value: "010.0.0.0/16": must not have leading 0s in IP or prefix length'],
        ),
        (
            ["::ffff:10.0.0.0/112"],
            [
                'spec.cidrs[0]: Invalid value: "::ffff:10.0.0.0/112": must not have an IPv4-mapped IPv6 address'
            ],
        ),
        (
            ["2001:DB8::/64"],
            ['spec.cidrs[0]: Invalid value: "2001:DB8::/64": must be in canonical form ("2001:db8::/64")'],
        ),
    ],
)
def test_networks(cidrs: list[str], expected: list[str]) -> None:
    assert said(cidr(*cidrs)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["10.0.0.0/16"], ["10.0.0.0/16"], []),
        (["10.0.0.0/16"], ["10.0.0.0/16", "2001:db8::/64"], []),
        (
            ["10.0.0.0/16"],
            ["10.1.0.0/16"],
            ['spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable'],
        ),
        (
            ["10.0.0.0/16"],
            ["2001:db8::/64", "10.0.0.0/16"],
            ['spec.cidrs[0]: Invalid value: "2001:db8::/64": field is immutable'],
        ),
        (
            ["10.0.0.0/16"],
            ["10.0.0.0/16", "10.1.0.0/16"],
            [f'spec.cidrs: Invalid value: {{"CIDRs":["10.0.0.0/16","10.1.0.0/16"]}}: {ONE_EACH}'],
        ),
        (
            ["10.0.0.0/16", "2001:db8::/64"],
            ["10.0.0.0/16"],
            ['spec.cidrs: Invalid value: ["10.0.0.0/16"]: field is immutable'],
        ),
        (["10.0.0.0/16"], [], ["spec.cidrs: Invalid value: null: field is immutable"]),
    ],
)
def test_only_a_second_family_may_come(before: list[str], after: list[str], expected: list[str]) -> None:
    assert said(cidr(*after), cidr(*before)) == expected


@pytest.mark.parametrize(("name", "good"), [("more", True), ("a.b", True), ("A", False), ("a_b", False)])
def test_names_of_service_cidrs(name: str, good: bool) -> None:
    assert (not said(cidr("10.0.0.0/16", name=name))) is good


def address(parent: dict[str, str], name: str = "10.96.0.9") -> IPAddress:
    metadata = {"name": name, "resourceVersion": "1"}
    return msgspec.convert({"metadata": metadata, "spec": {"parentRef": parent}}, IPAddress)


PARENT = {"resource": "services", "namespace": "default", "name": "web"}


@pytest.mark.parametrize(
    ("name", "parent", "expected"),
    [
        ("10.96.0.9", PARENT, []),
        ("2001:db8::1", PARENT, []),
        ("10.96.0.9", {"group": "gateway.networking.k8s.io", "resource": "gateways", "name": "a"}, []),
        ("10.96.0.9", {}, ["spec.parentRef: Required value"]),
        ("10.96.0.9", {"resource": "services"}, ["spec.parentRef.name: Required value"]),
        ("10.96.0.9", {"name": "web"}, ["spec.parentRef.resource: Required value"]),
        (
            "10.96.0.9",
            PARENT | {"name": "a/b"},
            ["spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
        (
            "2001:DB8::1",
            PARENT,
            ['metadata.name: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")'],
        ),
        ("10.96.0.09", PARENT, ['metadata.name: Invalid value: "10.96.0.09": must not have leading 0s']),
        (
            "web",
            PARENT,
            [
                'metadata.name: Invalid value: "web": '
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
    ],
)
def test_addresses(name: str, parent: dict[str, str], expected: list[str]) -> None:
    assert said(address(parent, name)) == expected


def test_an_address_has_one_parent_for_life() -> None:
    [error] = said(address(PARENT | {"name": "other"}), address(PARENT))
    assert error.startswith("spec.parentRef: Invalid value: ")
    assert error.endswith(": field is immutable")
