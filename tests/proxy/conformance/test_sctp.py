"""SCTP: the kernel here translates it, but has no sockets for it, so that packets are made and read by hand."""

from __future__ import annotations

import socket
import struct

import pytest

from fairlead.objects.core_v1 import ServicePort
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.topology import ADDRESSES, NODE_OF, PORT
from tests.waiting import LIMIT

SCTP = 132
SOURCE = 40000


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def init(port: int, source: int) -> bytes:
    """The first packet of an association: an INIT chunk."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
    header = struct.pack("!HHI", source, port, 0)
    checksum = struct.pack("<I", crc32c(header + b"\0\0\0\0" + chunk))
    return header + checksum + chunk


@pytest.mark.parametrize(
    ("place", "frontend"), [("a", "clusterIP"), ("node1", "clusterIP"), ("outside", "externalIP")]
)
def test_sctp_is_translated(cluster: Cluster, at: Frontends, place: str, frontend: str) -> None:
    ports = (ServicePort(name="SCTP", port=80, protocol="SCTP"),)
    cluster.serve(at.service(type="NodePort", ports=ports), "d")
    network, family = cluster.network, at.family
    with (
        network.inside("d", lambda: socket.socket(family.number, socket.SOCK_RAW, SCTP)) as pod,
        network.inside(place, lambda: socket.socket(family.number, socket.SOCK_RAW, SCTP)) as client,
    ):
        pod.settimeout(LIMIT)
        address, port = at[frontend]
        client.sendto(init(port, SOURCE), (address, 0))
        packet, (sender, *_) = pod.recvfrom(2000)
        if family.size == 4:
            packet = packet[(packet[0] & 15) * 4 :]
        assert struct.unpack_from("!H", packet, 2) == (PORT,)
        assert packet[12] == 1
        expected = ADDRESSES[family].get(place) if place in NODE_OF else ADDRESSES[family]["node1"]
        assert sender == expected
