"""What the ipvs mode leaves in the kernel: what is wanted is what is read back, and nothing else of the node's."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.node import namespaces
from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.ipvs.dataplane import IpvsDataplane, cleanup
from fairlead.proxy.ipvs.kernel import Ipvs
from fairlead.proxy.ipvs.listing import listing
from fairlead.proxy.ipvs.servers import Frontend
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.options import IpvsOptions, ProxyOptions
from tests.proxy.iptables.cluster import NODE, PODS, ledger, piece, service
from tests.proxy.topology import namespace, root

pytestmark = root

DETECTIONS = {
    "one network": LocalPods((PODS[IPV4], PODS[IPV6])),
    "two networks": LocalPods((PODS[IPV4], "10.99.0.0/16", PODS[IPV6], "fd00:99::/48")),
    "interfaces": LocalPods(interface="cni*"),
    "nobody knows": LocalPods(),
}
FAMILIES = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
WEB = Frontend(socket.IPPROTO_TCP, IPV4.pack("10.96.0.1") or b"", 80)


@pytest.fixture
def inside() -> Iterator[None]:
    """A network of its own, with the node's addresses, in a kernel that has IPVS."""
    made = namespace()
    try:
        with namespaces.entered(made):
            try:
                Ipvs(IPV4).close()
            except Unusable as reason:
                pytest.skip(str(reason))
            run("ip", "link", "add", "eth0", "type", "dummy")
            run("ip", "address", "add", f"{NODE[IPV4]}/24", "dev", "eth0")
            run("ip", "address", "add", f"{NODE[IPV6]}/64", "dev", "eth0", "nodad")
            run("ip", "link", "set", "eth0", "up")
            yield
    finally:
        os.close(made)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


Make = Callable[..., IpvsDataplane]


@pytest.fixture
def make(inside: None) -> Iterator[Make]:
    """Makes dataplanes, each a process that finds the kernel as it is."""
    made = []

    def dataplane(family: Family = IPV4, ipvs: IpvsOptions | None = None, **options: object) -> IpvsDataplane:
        options = {"local_pods": DETECTIONS["one network"], "ipvs": ipvs or IpvsOptions(), **options}
        made.append(IpvsDataplane(ProxyOptions(**options), family))  # type: ignore[arg-type]
        made[-1].node_changed(tuple(filter(None, [family.pack(NODE[family])])))
        return made[-1]

    yield dataplane
    for each in made:
        each.close()


def serve(known: Ledger, name: str, pods: str, number: int = 0, **traits: object) -> None:
    """A Service of the ledger has these endpoints now."""
    known.service_changed(f"default/{name}", service(name, number, known.family, **traits))
    known.slice_changed(f"default/{name}", None, piece(name, known.family, pods=pods, **traits))


@FAMILIES
def test_the_kernel_gives_back_what_was_wanted(make: Make, family: Family) -> None:
    """So a start over a kernel that is right changes nothing. One family does not touch the other."""
    known = ledger(family)
    variants: tuple[dict[str, Any], ...] = (
        {"local_pods": DETECTIONS["two networks"], "service_cidrs": ("10.96.0.0/16", "fd00:10:96::/112")},
        {"local_pods": DETECTIONS["interfaces"], "masquerade_bit": 5},
        {"local_pods": DETECTIONS["nobody knows"], "nodeport_addresses": ("primary",)},
    )
    for options in variants:
        first = make(family, **options)
        first.rebuild(known.everything)
        assert first.changed
        second = make(family, **options)
        second.rebuild(known.everything)
        assert not second.changed, options
        assert not second._differs(second._open())
    other = make(IPV6 if family is IPV4 else IPV4)
    other.rebuild(ledger(other.family).everything)
    assert not second._differs(second._open())


def everything() -> dict[str, str]:
    """What a proxy could have left in this network."""
    tables = list[str]()
    for program in ("iptables-save", "ip6tables-save"):
        saved = "".join(run(program, "-t", table) for table in ("mangle", "nat", "filter"))
        tables += [line for line in saved.splitlines() if not line.startswith(("#", ":", "*", "COMMIT"))]
    return {
        "rules": "\n".join(tables),
        "sets": run("ipset", "save"),
        "links": run("ip", "-brief", "link"),
        "servers": "".join(sorted(map(str, [*Ipvs(IPV4).servers(), *Ipvs(IPV6).servers()]))),
    }


@FAMILIES
def test_the_programs_take_what_is_listed(make: Make, family: Family) -> None:
    """And a start over what they made of it changes nothing."""
    known = ledger(family)
    options = {"local_pods": DETECTIONS["one network"], "nodeport_addresses": ("primary",)}
    addresses = tuple(filter(None, [family.pack(NODE[family])]))
    wanted = [selected for _, selected in known.everything()]
    listed = listing(ProxyOptions(**options), family, addresses, wanted)  # type: ignore[arg-type]
    for part in listed.split("# ")[1:]:
        program, _, text = part.partition("\n")
        subprocess.run(program.split(), input=text, check=True, text=True)
    made = make(family, **options)
    made.rebuild(known.everything)
    assert not made.changed


def test_cleanup_leaves_nothing_of_ours_and_all_of_others(make: Make) -> None:
    run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.1.2.3", "-j", "MASQUERADE")
    run("ipset", "create", "others", "hash:ip")
    before = everything()
    for family in (IPV4, IPV6):
        make(family).rebuild(ledger(family).everything)
    assert all(everything()[what] != before[what] for what in before)
    cleanup(IPV4)
    assert "kube-ipvs0" in everything()["links"]  # IPv6 has its addresses there
    cleanup(IPV6)
    cleanup(IPV6)  # what is clean stays so
    assert everything() == before


def test_another_program_s_virtual_server_goes_unless_it_is_excluded(make: Make) -> None:
    kernel = Ipvs(IPV4)
    known = ledger(services={"plain": {}})
    make().rebuild(known.everything)
    mine = set(kernel.servers())
    others = [
        Frontend(socket.IPPROTO_TCP, IPV4.pack(address) or b"", 80) for address in ("10.7.0.1", "10.8.0.1")
    ]
    traits = next(iter(kernel.servers().values()))
    kernel.tell([kernel.added(other, traits) for other in others])
    make(ipvs=IpvsOptions(exclude_cidrs=("10.7.0.0/16",))).rebuild(known.everything)
    assert set(kernel.servers()) == {*mine, others[0]}


@pytest.mark.parametrize("scheduler", ["wrr", "lc", "sh", "mh"])
def test_the_scheduler_is_the_one_asked_for(make: Make, scheduler: str) -> None:
    known = ledger(services={"plain": {}, "sticky": {"sessionAffinity": "ClientIP"}})
    make().rebuild(known.everything)
    made = make(ipvs=IpvsOptions(scheduler=scheduler))
    made.rebuild(known.everything)
    found = Ipvs(IPV4).servers()
    assert {traits.scheduler for traits in found.values()} == {scheduler}
    assert [traits.timeout for _, traits in sorted(found.items())] == [0, 10800]
    assert all(bool(traits.flags & 0x10) == (scheduler == "mh") for traits in found.values())


def test_a_scheduler_that_there_is_not_is_named(make: Make) -> None:
    with pytest.raises(OSError, match=r"10\.96\.0\.1:80/TCP, scheduler nosuch"):
        make(ipvs=IpvsOptions(scheduler="nosuch")).rebuild(ledger(services={"plain": {}}).everything)


def test_endpoints_come_and_go_by_themselves(make: Make) -> None:
    known, kernel = ledger(services={"plain": {}}), Ipvs(IPV4)
    made = make()
    made.rebuild(known.everything)
    for pods in ("abc", "c", "", "ab"):
        serve(known, "plain", pods)
        made.commit(known.changes())
        made._remove_drained(kernel)  # they have no connections
        wanted = {IPV4.pack(f"10.244.1.{ord(pod) - ord('a') + 2}") for pod in pods}
        found = kernel.real_servers(WEB)
        assert {target[:4] for target in found} == wanted
        assert all(load.weight == 1 for load in found.values())
    known.service_changed("default/plain", None)
    made.commit(known.changes())
    assert not kernel.servers()
    assert not made._addresses.bound()


HARM: dict[str, tuple[str, ...]] = {
    "the interface is removed": ("ip", "link", "delete", "kube-ipvs0"),
    "an address is removed": ("ip", "address", "delete", "10.96.0.1/32", "dev", "kube-ipvs0"),
    "a set is emptied": ("ipset", "flush", "KUBE-CLUSTER-IP"),
    "a table is flushed": ("iptables", "-t", "nat", "-F"),
}


@pytest.mark.parametrize("command", HARM.values(), ids=HARM)
def test_harm_is_noticed_and_mended(make: Make, command: tuple[str, ...]) -> None:
    known = ledger()
    made = make(ipvs=IpvsOptions(sync_period=0))
    made.rebuild(known.everything)
    assert not made.harmed()
    run(*command)
    assert made.harmed()
    made.rebuild(known.everything)
    assert not made.harmed()


def test_a_cleared_table_of_servers_is_noticed_at_once(make: Make) -> None:
    known, kernel = ledger(), Ipvs(IPV4)
    made = make()
    made.rebuild(known.everything)
    assert not made.harmed()
    kernel.tell([kernel.removed(frontend) for frontend in kernel.servers()])
    assert made.harmed()


def test_node_ports_follow_the_node_s_addresses(make: Make) -> None:
    known, kernel = ledger(services={"nodeport": {"type": "NodePort"}}), Ipvs(IPV4)
    made = make()
    made.rebuild(known.everything)
    assert {IPV4.text(f.address) for f in kernel.servers() if f.port == 30000} == {NODE[IPV4]}
    run("ip", "address", "add", "172.16.0.1/24", "dev", "eth0")
    made.tidy()
    assert {IPV4.text(f.address) for f in kernel.servers() if f.port == 30000} == {NODE[IPV4], "172.16.0.1"}


def test_the_kernel_is_set_as_kube_proxy_sets_it(make: Make) -> None:
    options = IpvsOptions(strict_arp=True, tcp_timeout=100, tcp_fin_timeout=20, udp_timeout=30)
    make(ipvs=options).rebuild(ledger().everything)
    wanted = {
        "vs/conntrack": 1, "vs/expire_nodest_conn": 1, "vs/expire_quiescent_template": 1,
        "ip_forward": 1, "conf/all/arp_ignore": 1, "conf/all/arp_announce": 2,
    }  # fmt: skip
    read = {name: int(Path("/proc/sys/net/ipv4", name).read_text()) for name in wanted}
    assert read == wanted
