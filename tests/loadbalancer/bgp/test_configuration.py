"""What BIRD is told: read by BIRD itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.lab import router
from fairlead.lab.addressing import FAMILIES, IPV6
from fairlead.loadbalancer.bgp.announcer import router_id
from fairlead.loadbalancer.bgp.bird import BirdMissing, program
from fairlead.loadbalancer.bgp.configuration import MAX_ASN, BgpConfig, Peer, parse_asn, parse_peer, render
from fairlead.loadbalancer.pools import parse_address

ADDRESSES = [parse_address(text) for text in ("203.0.113.2", "203.0.113.1", "2001:db8::1")]


def accepted(text: str, folder: Path) -> None:
    """BIRD takes the text."""
    try:
        found = program()
    except BirdMissing as error:
        pytest.skip(str(error))
    file = folder / "bird.conf"
    file.write_text(text)
    done = subprocess.run([found, "-p", "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("addresses", [[], ADDRESSES], ids=["no address", "both families"])
@pytest.mark.parametrize("bfd", [False, True], ids=["without BFD", "with BFD"])
def test_bird_takes_what_a_node_says(tmp_path: Path, addresses: list[object], bfd: bool) -> None:
    peers = (Peer("192.168.1.1", 64512), Peer("2001:db8::ff", MAX_ASN))
    accepted(render(BgpConfig(64513, peers, bfd), "192.168.1.10", addresses), tmp_path)  # type: ignore[arg-type]


def test_bird_takes_what_the_labs_router_says(tmp_path: Path) -> None:
    accepted(router.render(), tmp_path)
    accepted(router.render(tuple(FAMILIES.values())), tmp_path)
    accepted(router.render((IPV6,)), tmp_path)


def test_every_address_is_a_route_of_its_own_in_an_order_that_stays() -> None:
    config = BgpConfig(64513, (Peer("192.168.1.1", 64512),))
    text = render(config, "192.168.1.10", ADDRESSES)
    assert text == render(config, "192.168.1.10", reversed(ADDRESSES))
    routes = [line.strip() for line in text.splitlines() if line.strip().startswith("route ")]
    assert routes == [
        f"route {a} blackhole;" for a in ("203.0.113.1/32", "203.0.113.2/32", "2001:db8::1/128")
    ]


def test_a_router_is_read() -> None:
    assert parse_peer("64512@192.168.1.1") == Peer("192.168.1.1", 64512)
    assert parse_peer("4200000000@2001:db8::1") == Peer("2001:db8::1", 4200000000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "64512",
        "64512@",
        "@192.168.1.1",
        "0@192.168.1.1",
        "64512@router",
        "64512@fe80::1%eth0",
        "-1@::1",
    ],
)
def test_what_is_no_router_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no router with its AS number"):
        parse_peer(text)


@given(st.text(max_size=30))
def test_nothing_else_gets_into_the_file(text: str) -> None:
    for read in (parse_peer, parse_asn):
        try:
            found = read(text)
        except ValueError:
            continue
        peer = found if isinstance(found, Peer) else Peer("192.168.1.1", found)
        assert set(f"{peer.address}{peer.asn}") <= set("0123456789abcdef.:")


def test_a_node_without_ipv4_has_a_router_id_that_stays() -> None:
    assert router_id("node1", ["2001:db8::1", "192.168.1.10"]) == "192.168.1.10"
    assert router_id("node1", ["2001:db8::1"]) == router_id("node1", []) != router_id("node2", [])
