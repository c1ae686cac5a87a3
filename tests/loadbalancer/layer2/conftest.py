"""Two network namespaces on one link."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fairlead.loadbalancer.pools import Address
from fairlead.node import namespaces
from tests.waiting import LIMIT

IFA_F_TENTATIVE = 0x40
"""linux/if_addr.h"""


@dataclass
class Segment:
    """Two namespaces on one link, eth0 in each."""

    here: int
    there: int

    def neighbour(self, address: Address) -> str:
        """The hardware address at which the other end has the address; "" if it knows none."""
        found = told(self.there, lambda kernel: list(kernel.get_neighbours(family=_family(address))))
        return next(
            (e.get_attr("NDA_LLADDR") or "" for e in found if e.get_attr("NDA_DST") == str(address)), ""
        )

    def send(self, address: Address) -> None:
        """Sends something to the address from the other end, which has to find it first."""
        with namespaces.socket_in(self.there, _family(address), socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", (str(address), 9))

    def forget(self, address: Address) -> None:
        def forget(kernel: IPRoute) -> None:
            index = kernel.link_lookup(ifname="eth0")[0]
            with contextlib.suppress(NetlinkError):  # it knows none
                kernel.neigh("del", dst=str(address), ifindex=index)

        told(self.there, forget)


def told(network: int, work: Callable[[IPRoute], Any]) -> Any:
    """What the kernel says there. In a thread: pyroute2 has an event loop of its own, and a thread takes but one."""

    def ask() -> Any:
        with namespaces.entered(network), IPRoute() as kernel:
            return work(kernel)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()


def until(network: int, holds: Callable[[IPRoute], object]) -> None:
    """Waits until it holds there."""
    deadline = time.monotonic() + LIMIT
    while not told(network, holds):
        assert time.monotonic() < deadline, "the kernel does not come to it"
        time.sleep(0.005)


def usable(kernel: IPRoute) -> set[str]:
    """The addresses of eth0 that the kernel answers for, once its link is up: in IPv6 it takes them up later."""
    (link,) = kernel.get_links(ifname="eth0")
    if link.get_attr("IFLA_OPERSTATE") != "UP":
        return set()
    return {
        each.get_attr("IFA_ADDRESS")
        for each in kernel.get_addr(index=link["index"])
        if not each.get_attr("IFA_FLAGS") & IFA_F_TENTATIVE
    }


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    folder = tmp_path_factory.mktemp("netns")
    paths = [folder / "here", folder / "there"]
    here, there = (namespaces.make_network(path) for path in paths)
    try:
        with namespaces.entered(here), IPRoute() as kernel:
            kernel.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": there})
        for fd, number in ((here, 2), (there, 3)):
            with namespaces.entered(fd), IPRoute() as kernel:
                namespaces.set_sysctl("net/ipv6/conf/eth0/accept_dad", 0)
                index = kernel.link_lookup(ifname="eth0")[0]
                kernel.link("set", index=index, state="up")
                kernel.addr("add", index=index, address=f"192.168.1.{number}", prefixlen=24)
                if fd == there:
                    kernel.route("add", dst="203.0.113.0/24", oif=index, scope="link")
                    kernel.route("add", dst="2001:db8::/64", oif=index, family=socket.AF_INET6)
        for fd in (here, there):
            until(fd, lambda kernel: len(usable(kernel)) == 2)  # the one above, and the one of the link alone
        yield Segment(here, there)
    finally:
        for fd, path in zip((here, there), paths, strict=True):
            os.close(fd)
            namespaces.remove_network(path)
