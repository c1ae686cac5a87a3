"""Children of a test, with namespaces of their own that end with them. Slow kernels run it: it imports little."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable

import pytest
from pyroute2 import IPRoute

from fairlead.node import namespaces, network
from fairlead.node.records import Address

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes namespaces")

ADDRESS, ADDRESS6 = "192.168.1.10", "fd00::10"
"""The node's."""

FALLBACK = {"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "sit0", "ip6tnl0", "ip6gre0", "ip6_vti0"}
"""Of tunnels, once their modules are loaded; unless net.core.fb_tunnels_only_for_init_net says otherwise."""
POD, POD6 = "10.244.1.2", "fd00:10:244:1::2"
"""The pod's."""


def in_child(test: Callable[[], None]) -> None:
    """Runs `test` in a forked process, so that what it does to its namespaces ends with it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            test()
            os._exit(0)
        except BaseException as error:
            os.write(writer, "".join(traceback.format_exception(error)).encode())
            os._exit(1)
    os.close(writer)
    try:
        said = b"".join(iter(lambda: os.read(reader, 4096), b""))
    except BaseException:  # it takes too long
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(reader)
        _, status = os.waitpid(pid, 0)
    assert status == 0, said.decode()


def own_network() -> None:
    """Moves the process into a node's network: an address, loopback, forwarding, and nothing of the host's."""
    namespaces.unshare(namespaces.CLONE_NEWNET | namespaces.CLONE_NEWNS)
    namespaces.keep_mounts(namespaces.MS_PRIVATE)
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        ip.addr("add", index=1, address=ADDRESS, prefixlen=32)
    namespaces.set_sysctl("net/ipv4/ip_forward", 1)


def with_pod(uid: str) -> int:
    """Moves the process into a node's network with a pod that has an address of each family; gives the pod's."""
    own_network()
    with IPRoute() as ip:
        ip.addr("add", index=1, address=ADDRESS6, prefixlen=128, flags=0x02)
    namespaces.set_sysctl("net/ipv6/conf/all/forwarding", 1)
    node = namespaces.open_network()
    namespaces.unshare(namespaces.CLONE_NEWNET)
    network.connect(node, uid, (Address(POD), Address(POD6)))
    inside = namespaces.open_network()
    namespaces.setns(node, namespaces.CLONE_NEWNET)
    return inside


def interfaces() -> list[str]:
    """The names of all interfaces here, but those that the kernel puts into every namespace."""
    return [name for _, name in socket.if_nameindex() if name not in FALLBACK]
