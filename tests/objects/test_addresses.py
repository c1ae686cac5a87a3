"""The forms of addresses and networks: what is read, what is refused, what is only unusual. KEP-4858."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objects import addresses
from fairlead.objects.core_v1 import Endpoints
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.rules import rules_for

NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
MAPPED = "must not be an IPv4-mapped IPv6 address"


@pytest.mark.parametrize(
    ("text", "wrong", "usual"),
    [
        ("1.2.3.4", "", "1.2.3.4"),
        ("0.0.0.0", "", "0.0.0.0"),
        ("255.255.255.255", "", "255.255.255.255"),
        ("1234::abcd", "", "1234::abcd"),
        ("::", "", "::"),
        ("0:0:0:0:0:0:0:0", "", "::"),
        ("0001:002:03:4::", "", "1:2:3:4::"),
        ("1234::ABCD", "", "1234::abcd"),
        ("1.1.1.01", "must not have leading 0s", "1.1.1.1"),
        ("::ffff:1.1.1.1", MAPPED, "1.1.1.1"),
        ("::ffff:1.1.1.01", "must not have leading 0s", "1.1.1.1"),
        ("::1.2.3.4", "", "::102:304"),
        *((text, NO_IP, text) for text in ("", "aaaaaaa", "my.host", "1.2.3.0/24", "1.2.3.400", "-1.0.0.0")),
        *((text, NO_IP, text) for text in ("2001:db8::10005", "1.2.3.4:80", "[2001:db8::1]", "1234::a%eth0")),
        *(
            (text, NO_IP, text)
            for text in ("1.2.3", "1.2.3.4.5", " 1.2.3.4", "1.2.3.4\0", "1:2:3:4:5:6:7:8:9")
        ),
    ],
)
def test_addresses(text: str, wrong: str, usual: str) -> None:
    assert addresses.is_ip(text) == ((wrong,) if wrong else ())
    assert addresses.canonical(text) == usual
    assert addresses.is_usual(text) is (not wrong and text == usual)


@pytest.mark.parametrize(
    ("text", "wrong", "usual"),
    [
        ("1.0.0.0/8", "", "1.0.0.0/8"),
        ("0.0.0.0/0", "", "0.0.0.0/0"),
        ("1.1.1.1/32", "", "1.1.1.1/32"),
        ("::/0", "", "::/0"),
        ("2a00:79e0:2:0::/64", "", "2a00:79e0:2::/64"),
        ("2001:DB8::/64", "", "2001:db8::/64"),
        ("1.1.01.0/24", "must not have leading 0s in IP or prefix length", "1.1.1.0/24"),
        ("192.168.0.0/016", "must not have leading 0s in IP or prefix length", "192.168.0.0/16"),
        ("::ffff:1.1.1.0/120", "must not have an IPv4-mapped IPv6 address", "1.1.1.0/24"),
        ("1.2.3.4/24", "must not have bits set beyond the prefix length", "1.2.3.0/24"),
        ("2001:db8::1/64", "must not have bits set beyond the prefix length", "2001:db8::/64"),
        *((text, NO_CIDR, text) for text in ("", "aaaaaaa", "1.2.3.4", "192.168.0.1/healthz", "1.0.0.0/33")),
        *(
            (text, NO_CIDR, text)
            for text in ("192.168.0.1/0/99", "192.168.0.0/-16", "192.168.0.0/+16", "::/129")
        ),
    ],
)
def test_networks(text: str, wrong: str, usual: str) -> None:
    assert addresses.is_cidr(text) == ((wrong,) if wrong else ())
    assert addresses.canonical_cidr(text) == usual
    expected = wrong or ("" if text == usual else f'must be in canonical form ("{usual}")')
    assert addresses.is_canonical_cidr(text) == ((expected,) if expected else ())


@given(st.ip_addresses())
def test_what_python_writes_is_usual_and_read_as_it_is(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    text, version = str(address), address.version
    if version == 6 and int(address) >> 32 == 0xFFFF:
        return  # an IPv4 address within IPv6 is read as IPv4
    assert addresses.is_usual(text)
    assert addresses.packed(text) == address.packed
    assert addresses.from_number(int(address), version) == addresses.canonical(text.upper()) == text
    assert addresses.family(text) == f"IPv{version}"


@given(st.ip_addresses(), st.integers(0, 128))
def test_networks_are_masked_as_python_masks_them(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, size: int
) -> None:
    size = min(size, address.max_prefixlen)
    network = ipaddress.ip_network((address, size), strict=False)
    if network.version == 6 and int(network.network_address) >> 32 == 0xFFFF:
        return
    assert addresses.canonical_cidr(f"{address}/{size}") == str(network)


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert bool(addresses.is_ip(text)) or addresses.packed(text) is not None
    assert bool(addresses.is_cidr(text)) or addresses.cidr_family(text)
    addresses.ip_warnings("x", text)
    addresses.cidr_warnings("x", text)


LONG = 'IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'


def test_warnings_of_endpoints() -> None:
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "2001:DB8::1"}]}]
    plain = {"metadata": {"name": "web"}, "subsets": subsets}
    rules = rules_for(Endpoints)
    assert rules.warnings(msgspec.convert(plain, Endpoints)) == [
        f"subsets[0].notReadyAddresses[0].ip: {LONG}"
    ]
    labels = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert rules.warnings(msgspec.convert(plain | {"metadata": {"labels": labels}}, Endpoints)) == []


def test_warnings_of_slices() -> None:
    plain = {
        "metadata": {},
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["2001:db8::1", "2001:DB8::1"]}],
    }
    rules = rules_for(EndpointSlice)
    assert rules.warnings(msgspec.convert(plain, EndpointSlice)) == [f"endpoints[0].addresses[1]: {LONG}"]
    labels = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    ours = msgspec.convert(plain | {"metadata": {"labels": labels}}, EndpointSlice)
    assert rules.warnings(ours) == []
    names = msgspec.convert({"addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]}, EndpointSlice)
    assert rules.warnings(names) == ["spec.addressType: FQDN endpoints are deprecated"]
