"""Links that are cut, or that lose and delay packets: of a node to the underlay, or of a pod to its node.

Packets are dropped at the near end of the pair, the underlay's or the node's, where the packet filter sees all that
passes in either direction, of whatever protocol: neither end notices anything but silence. Delay is the kernel's
queueing discipline netem, at both ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fairlead.lab import execution, members, topology
from fairlead.lab.members import Impairment
from fairlead.lab.network import Refused, load
from fairlead.lab.state import StateDirectory
from fairlead.node import namespaces
from fairlead.node.network import host_interface

if TYPE_CHECKING:
    from pyroute2 import IPRoute

PARTS = 1_000_000
"""The share of packets lost is a whole number of so many."""


@dataclass(frozen=True)
class Link:
    """A pair of links: `device` in the namespace mounted at `near`, and eth0 in the one at `far`."""

    near: Path
    device: str
    far: Path
    uid: str = ""
    """The pod's."""


def impair(directory: StateDirectory, target: str, how: Impairment) -> str:
    """Makes a link as bad as this, and no worse: what was before is over; gives the target's full name.

    `target` is node/NAME, pod/NAME or pod/NAMESPACE/NAME. Raises Refused, or NoLab.
    """
    record = directory.read()
    with members.changing(directory):
        name, link = find(directory, target)
        execution.inside(record, lambda: _apply(link, how))
        members.write_link(directory, name, replace(how, uid=link.uid))
    return name


def find(directory: StateDirectory, target: str) -> tuple[str, Link]:
    """A target's full name, and its link. Raises Refused when there is none."""
    kind, _, rest = target.partition("/")
    network = directory.network
    if kind == "node" and rest and "/" not in rest:
        member = members.member(members.read(directory), rest)
        if member.stopped:
            raise Refused(f"{rest} is stopped, and has no link")
        return target, Link(network.path(topology.UNDERLAY), rest, network.path(rest))
    if kind == "pod" and rest and rest.count("/") <= 1:
        namespace, _, name = rest.rpartition("/")
        namespace = namespace or "default"
        sandbox = execution.find_pod(directory, namespace, name).sandbox
        uid = sandbox.spec.uid
        if sandbox.spec.host_network:
            raise Refused(f"pod {namespace}/{name} has its node's network: name the node")
        place = next((path for path in directory.pods() if path.name == uid), None)
        if place is None:
            raise Refused(f"pod {namespace}/{name} has just been removed")
        near = network.path(place.parents[1].name)
        return f"pod/{namespace}/{name}", Link(
            near, host_interface(uid), Path(f"/proc/{sandbox.pid}/ns/net"), uid
        )
    raise Refused(f"{target!r} has no link in a lab: use node/NAME, pod/NAME or pod/NAMESPACE/NAME")


def restore(directory: StateDirectory, node: str, uid: str, pid: int) -> None:
    """Makes the new link of a pod, whose first process is `pid`, as bad as its last one was. Raises Refused.

    In a process of the lab.
    """
    how = next((each for each in members.links(directory).values() if each.uid == uid), None)
    if how is not None:
        near = directory.network.path(node)
        _apply(Link(near, host_interface(uid), Path(f"/proc/{pid}/ns/net"), uid), how)


def ruleset(device: str, loss: float) -> str:
    """What lets a link lose this share of the packets, in place of what did before. Pure."""
    table = f"netdev fairlead-link-{device}"
    text = f"add table {table}\ndelete table {table}\n"
    if loss <= 0:
        return text
    chosen = "" if loss >= 1 else f"numgen random mod {PARTS} < {max(1, round(loss * PARTS))} "
    text += f"add table {table}\n"
    for hook in ("ingress", "egress"):
        text += (
            f'add chain {table} {hook} {{ type filter hook {hook} device "{device}" priority 0; policy accept; }}\n'
            f"add rule {table} {hook} {chosen}drop\n"
        )
    return text


def _apply(link: Link, how: Impairment) -> None:
    # The delay first: where the kernel has none, nothing has been changed.
    with _entered(link.near):
        _delay(link.device, how.delay)
    with _entered(link.far):
        _delay("eth0", how.delay)
    with _entered(link.near):
        load(
            ruleset(link.device, how.loss),
            "filter packets at a link (it needs Linux 5.16 with nf_tables and the hooks "
            "'ingress' and 'egress' of netdev)",
        )


@contextlib.contextmanager
def _entered(path: Path) -> Iterator[None]:
    fd = namespaces.open_network(path)
    try:
        with namespaces.entered(fd):
            yield
    finally:
        os.close(fd)


def _delay(device: str, seconds: float) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as socket:
        found = socket.link_lookup(ifname=device)
        if not found:
            raise Refused(f"the link {device} is not there: has its end just been removed?")
        if not seconds:
            _forget_delay(socket, found[0])
            return
        try:
            socket.tc(
                "replace", "netem", index=found[0], handle="1:", delay=round(seconds * 1e6), limit=100_000
            )
        except NetlinkError as error:
            raise Refused(
                f"this kernel cannot delay packets: it has no queueing discipline netem ({os.strerror(error.code)}; "
                "try 'modprobe sch_netem' as root); losing packets works without"
            ) from error


def _forget_delay(socket: IPRoute, index: int) -> None:
    """Removes the queueing discipline, if there is one of ours."""
    for queue in socket.get_qdiscs(index=index):
        if queue.get_attr("TCA_KIND") == "netem":
            socket.tc("del", index=index, root=True)
            return
