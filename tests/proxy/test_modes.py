"""A node whose proxy starts again in another mode: nothing of the one before is left in the kernel."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from fairlead.node import namespaces
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.server import clean_others, cleanup
from tests.proxy.iptables.cluster import NODE, PODS, ledger
from tests.proxy.topology import namespace, root

pytestmark = root

OPTIONS = ProxyOptions(
    LocalPods((PODS[IPV4], PODS[IPV6])), service_cidrs=("10.96.0.0/16", "fd00:10:96::/112")
)
KINDS = {
    "rules of IPv4": ("iptables-save",),
    "rules of IPv6": ("ip6tables-save",),
    "tables": ("nft", "list", "tables"),
    "sets": ("ipset", "save"),
    "links": ("ip", "-brief", "link"),
    "virtual servers": ("ipvsadm", "--save", "--numeric"),
}
"""What shows what the modes have in the kernel. A program that the kernel has nothing for says nothing."""
CHANCE = re.compile(r" initval \S+| ([0-9a-f]{2}:){5}\S+| \[.*")
"""What is another one each time: the seed of a set, the hardware address of a link, counts."""
OURS = ("KUBE-", "fairlead", "kube-ipvs0", "-A ", "-a ")


@pytest.fixture
def node() -> Iterator[None]:
    """A network of its own, with the node's addresses."""
    made = namespace()
    try:
        with namespaces.entered(made):
            for command in (
                ("link", "add", "eth0", "type", "veth", "peer", "eth1"),
                ("address", "add", f"{NODE[IPV4]}/24", "dev", "eth0"),
                ("address", "add", f"{NODE[IPV6]}/64", "dev", "eth0", "nodad"),
                ("link", "set", "eth0", "up"),
            ):
                subprocess.run(("ip", *command), check=True)
            yield
    finally:
        os.close(made)


def begin(mode: str) -> None:
    """A proxy takes over, as it does at its start, and ends without a word."""
    for family in (IPV4, IPV6):
        known = ledger(family)
        dataplane = modes.load(mode).dataplane(OPTIONS, family)
        dataplane.node_changed(known.node.addresses)
        dataplane.rebuild(known.everything)
        dataplane.close()
    clean_others(mode)


def held() -> dict[str, list[str]]:
    """The lines that are the proxy's, in whatever mode."""
    found = {}
    for what, command in KINDS.items():
        said = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
        found[what] = sorted(CHANCE.sub("", line) for line in said if any(word in line for word in OURS))
    return found


@pytest.mark.parametrize(("before", "after"), tuple(itertools.permutations(modes.MODES, 2)))
def test_nothing_of_the_mode_before_is_left(node: None, before: str, after: str) -> None:
    try:
        for mode in (before, after):
            modes.load(mode).available()
    except Unusable as reason:
        pytest.skip(str(reason))
    begin(after)
    alone = held()
    cleanup()
    assert not any(held().values())
    begin(before)
    assert held() != alone
    begin(after)
    assert held() == alone
