"""UDP flows that the kernel remembers: it goes on leading a client to where its first packet went.

So a flow is forgotten when its host port opens, since it went to the node itself before, and when the pod goes.
TCP's connections end by themselves. Upstream: the CNI plugin portmap, deletePortmapStaleConnections.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from fairlead.node.hostports.mappings import Ports

_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def forget(ports: Ports, *, opened: bool) -> None:
    """Forgets the flows that were never led to a pod (`opened`), or that lead to the pods of these ports.

    Cost: the kernel walks its table once for each UDP port. Blocks. Raises OSError.
    """
    for key, target in ports.items():
        if key.protocol == "UDP":
            try:
                _forget(_FAMILY[key.family], key.port, target.ip, opened=opened)
            except NetlinkError as error:
                raise OSError(error.code, f"cannot read the table of connections: {error.args[1]}") from error


def _forget(family: int, port: int, pod: str, *, opened: bool) -> None:
    wanted = NFCTAttrTuple(family=family, proto=socket.IPPROTO_UDP, dport=port)
    with NFCTSocket(nfgen_family=family) as kernel:
        for original, answer in list(_read(kernel.dump(tuple_orig=wanted), family)):
            # Kernels before 5.8 do not know the filter, and give everything.
            if original.proto != socket.IPPROTO_UDP or original.dport != port:
                continue
            if answer.saddr == (original.daddr if opened else pod):
                try:
                    kernel.entry("del", tuple_orig=original)
                except NetlinkError:
                    continue  # it has gone


def _read(entries: Iterable[object], family: int) -> Iterable[tuple[NFCTAttrTuple, NFCTAttrTuple]]:
    for entry in entries:
        yield (
            NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_ORIG")),  # type: ignore[attr-defined]
            NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_REPLY")),  # type: ignore[attr-defined]
        )
