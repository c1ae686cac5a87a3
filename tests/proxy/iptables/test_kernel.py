"""The tables of the kernel: what is rendered is what is read back; what others have there stays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.node import namespaces
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Refused
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.iptables.commands import find
from fairlead.proxy.iptables.dataplane import Iptables, cleanup
from fairlead.proxy.iptables.names import SHARED
from fairlead.proxy.options import ProxyOptions
from tests.proxy.iptables.cluster import NODE, PODS, ledger, piece, service
from tests.proxy.topology import namespace, root

pytestmark = root
ROOT = Path(__file__).parents[3]

SERVICES_IN = ("10.96.0.0/16", "fd00:10:96::/112")
DETECTIONS = {
    "one network": LocalPods((PODS[IPV4], PODS[IPV6])),
    "two networks": LocalPods((PODS[IPV4], "10.99.0.0/16", PODS[IPV6], "fd00:99::/48")),
    "interfaces": LocalPods(interface="cni*"),
    "nobody knows": LocalPods(),
}


@pytest.fixture
def inside() -> Iterator[None]:
    """A network of its own."""
    made = namespace()
    try:
        with namespaces.entered(made):
            yield
    finally:
        os.close(made)


def dataplane(family: Family = IPV4, **options: object) -> Iptables:
    given: dict[str, Any] = {"local_pods": DETECTIONS["one network"], "service_cidrs": SERVICES_IN, **options}
    made = Iptables(ProxyOptions(**given), family)
    made.node_changed(tuple(filter(None, [family.pack(NODE[family])])))
    return made


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "options",
    [
        *({"local_pods": pods} for pods in DETECTIONS.values()),
        {"masquerade_all": True, "masquerade_bit": 5},
        {"localhost_nodeports": False},
        {"nodeport_addresses": ("192.168.0.0/16", "127.0.0.0/8", "fd00::/64")},
        {"nodeport_addresses": ("primary",)},
        {"nodeport_addresses": ("0.0.0.0/0", "::/0")},
    ],
    ids=[*DETECTIONS, "all masqueraded", "no localhost", "networks for node ports", "primary addresses", "everywhere"],
)  # fmt: skip
def test_the_kernel_gives_back_what_was_rendered(
    inside: None, family: Family, options: dict[str, object]
) -> None:
    """So a start over tables that are right changes nothing."""
    known = ledger(family)
    first, second = dataplane(family, **options), dataplane(family, **options)
    first.rebuild(known.everything)
    assert first.last
    second.rebuild(known.everything)
    assert not second.last, second.last.text(1000, 1000)
    first.close()
    second.close()


FOREIGN = """\
*nat
:SOMEBODY - [0:0]
-A PREROUTING -p tcp -m tcp --dport 8888 -j SOMEBODY
-A SOMEBODY -p tcp -m tcp --dport 8888 -j DNAT --to-destination 10.1.1.1:80
COMMIT
*filter
:INPUT DROP [0:0]
:SOMEBODY - [0:0]
-A FORWARD -s 10.7.0.0/16 -j SOMEBODY
COMMIT
*raw
-A PREROUTING -s 10.8.0.0/16 -j DROP
COMMIT
"""


def foreign() -> list[str]:
    """Every rule, chain and policy of others: what does not speak of Kubernetes and is not as it is by itself."""
    return [line for line in tables() if "KUBE-" not in line and "ACCEPT" not in line and line[0] in ":-"]


def tables() -> list[str]:
    """All tables without their counters, in an order of their own: shared chains have none."""
    return sorted(line.partition(" [")[0] for line in run("iptables-save").splitlines() if line[:1] != "#")


def test_what_others_have_stays_and_cleaning_up_leaves_nothing_of_ours(inside: None) -> None:
    find(IPV4).restore(FOREIGN)
    before = foreign()
    assert len(before) == 7
    made = dataplane()
    known = ledger()
    made.rebuild(known.everything)
    assert foreign() == before
    made.rebuild(known.everything)
    known.service_changed("default/plain", None)
    made.commit(known.changes())
    assert foreign() == before
    made.close()
    cleanup()
    assert "KUBE-" not in run("iptables-save")
    assert foreign() == before
    cleanup()


def test_a_chain_that_others_lead_to_stays_when_we_go(inside: None) -> None:
    """Network plugins lead to KUBE-MARK-MASQ for what they want masqueraded."""
    made = dataplane()
    made.rebuild(ledger().everything)
    made.close()
    find(IPV4).restore(
        "*nat\n:CNI-HOSTPORT - [0:0]\n-A CNI-HOSTPORT -s 10.9.0.0/16 -j KUBE-MARK-MASQ\nCOMMIT\n"
    )
    cleanup()
    left = [line for line in run("iptables-save").splitlines() if "KUBE-" in line]
    assert left == [":KUBE-MARK-MASQ - [0:0]", "-A CNI-HOSTPORT -s 10.9.0.0/16 -j KUBE-MARK-MASQ"]


def test_what_a_kubelet_looks_after_is_left_to_it(inside: None) -> None:
    made = dataplane()
    made.rebuild(ledger().everything)
    made.close()
    find(IPV4).restore("*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n")
    cleanup()
    assert {
        line.split(" ")[-1] for line in run("iptables-save", "-t", "filter").splitlines() if "KUBE" in line
    } == {
        "[0:0]",
        "KUBE-FIREWALL",
        "DROP",
    }


LEFTOVERS = """\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x8/0x8
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m tcp -j DNAT --to-destination 10.1.1.1:80
-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-AAAAAAAAAAAAAAAA
-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-MARK-MASQ
COMMIT
*filter
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -d 10.96.7.8/32 -j DROP
-A KUBE-SERVICES -d 10.96.7.8/32 -j DROP
COMMIT
"""


def test_leftovers_of_another_proxy_are_taken_over(inside: None) -> None:
    fresh = dataplane()
    fresh.rebuild(ledger().everything)
    expected = tables()
    cleanup()
    find(IPV4).restore(LEFTOVERS)
    fresh.rebuild(ledger().everything)
    assert tables() == expected
    fresh.close()


@pytest.mark.parametrize(
    "harm",
    [
        ("iptables", "-t", "nat", "-F"),
        ("iptables", "-t", "nat", "-F", "KUBE-SERVICES"),
        ("iptables", "-t", "filter", "-F"),
        ("iptables", "-t", "filter", "-F", "OUTPUT"),
        ("iptables", "-t", "nat", "-D", "OUTPUT", "1"),
        ("nft", "flush", "ruleset"),
        ("nft", "delete", "table", "ip", "mangle"),
    ],
    ids=" ".join,
)
def test_harm_is_noticed_and_mended(inside: None, harm: tuple[str, ...]) -> None:
    made, known = dataplane(), ledger()
    made.rebuild(known.everything)
    expected = tables()
    assert not made.harmed()
    run(*harm)
    assert made.harmed()
    made.rebuild(known.everything)
    assert tables() == expected
    assert not made.harmed()
    made.close()


def test_the_changes_of_others_are_no_harm(inside: None) -> None:
    made = dataplane()
    made.rebuild(ledger().everything)
    run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.0/16", "-j", "MASQUERADE")
    run("nft", "add", "table", "ip", "other")
    assert not made.harmed()
    made.close()


def test_a_service_is_gone_with_its_chains(inside: None) -> None:
    made, known = dataplane(), ledger(services={"plain": {}})
    made.rebuild(known.everything)
    without = tables()
    known.service_changed(
        "default/more", service("more", 7, IPV4, type="NodePort", sessionAffinity="ClientIP")
    )
    known.slice_changed("default/more", None, piece("more", IPV4))
    made.commit(known.changes())
    assert "default/more:web" in run("iptables-save")
    known.service_changed("default/more", None)
    made.commit(known.changes())
    assert tables() == without
    made.close()


def test_many_services_that_go_at_once_leave_a_chain_written_anew(inside: None) -> None:
    services: dict[str, dict[str, object]] = {f"s{number}": {"type": "NodePort"} for number in range(60)}
    made, known = dataplane(), ledger(services=services)
    made.rebuild(known.everything)
    for number in range(50):
        known.service_changed(f"default/s{number}", None)
    made.commit(known.changes())
    assert made.last.whole
    incremental = tables()
    cleanup()
    made.rebuild(known.everything)
    assert tables() == incremental
    made.close()


def test_what_iptables_refuses_is_told_with_the_line(inside: None) -> None:
    with pytest.raises(Refused, match=r"line:? 2.*: -A NOWHERE -s 10.0.0.0/8$"):
        find(IPV4).restore("*nat\n-A NOWHERE -s 10.0.0.0/8\nCOMMIT\n")


AS_A_USER = """
from fairlead.proxy.iptables.dataplane import cleanup
from tests.proxy.iptables.cluster import ledger
from tests.proxy.iptables.test_kernel import dataplane, run
many = "".join(chr(2000 + n) for n in range(300))  # endpoints of one Service, four lines each
services = {f"s{n}": {"type": "NodePort", "sessionAffinity": "ClientIP"} for n in range(250)}
known = ledger(services={**services, "many": {"sessionAffinity": "ClientIP", "pods": many}})
made = dataplane()
made.rebuild(known.everything)
made.rebuild(known.everything)
assert not made.last
assert run("iptables-save").count("-j DNAT") == 800
for n in range(100):
    known.service_changed(f"default/s{n}", None)
made.commit(known.changes())
assert made.last.whole
made.rebuild(known.everything)
assert not made.last
cleanup()
assert "KUBE-" not in run("iptables-save")
"""


def test_an_ordinary_users_kernel_takes_small_sections() -> None:
    """In a user namespace a batch is limited: 5,000 rules at once are refused."""
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", AS_A_USER]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_another_mode_cleans_up_after_this_one_and_the_other_way_round(inside: None) -> None:
    known = ledger()
    made = dataplane()
    made.rebuild(known.everything)
    other = modes.load("nftables").dataplane(ProxyOptions(), IPV4)
    other.rebuild(known.everything)
    modes.load("iptables").cleanup(IPV4, beside="nftables")
    assert "KUBE-" not in run("iptables-save")
    assert "table ip fairlead" in run("nft", "list", "tables")
    other.close()
    made.rebuild(known.everything)
    modes.load("nftables").cleanup(IPV4, beside="iptables")
    assert "fairlead" not in run("nft", "list", "tables")
    assert not made.harmed()
    made.close()


def test_chains_that_the_ipvs_mode_has_too_stay_where_it_took_over(inside: None) -> None:
    made = dataplane()
    made.rebuild(ledger().everything)
    made.close()
    run("iptables", "-t", "nat", "-F", "KUBE-SERVICES")
    cleanup(IPV4, beside="ipvs")
    left = {line.split(" ")[0][1:] for line in run("iptables-save").splitlines() if line.startswith(":KUBE-")}
    assert left == {chain.name for chain in SHARED} - {"KUBE-MARK-FOREIGN"}
    jumps = [line for line in run("iptables-save").splitlines() if re.match(r"-A (?!KUBE)", line)]
    assert sorted(line.rpartition(" ")[2] for line in jumps) == [
        "KUBE-FORWARD",
        "KUBE-POSTROUTING",
        "KUBE-SERVICES",
        "KUBE-SERVICES",
    ]
    cleanup()
    assert "KUBE-" not in run("iptables-save")


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
def test_legacy_tables_that_hold_kubernetes_chains_are_kept_to(inside: None, family: Family) -> None:
    """Rules in both kinds of tables would contradict each other."""
    word = "iptables-legacy" if family is IPV4 else "ip6tables-legacy"
    assert not find(family).legacy
    run(word, "-w", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
    assert find(family).legacy
    known, made = ledger(family), dataplane(family)
    made.rebuild(known.everything)
    assert "-j DNAT" in run(f"{word}-save")
    assert not run("nft", "list", "tables")
    made.rebuild(known.everything)
    assert not made.last, made.last.text(1000, 1000)
    known.service_changed("default/plain", None)
    made.commit(known.changes())
    assert made.last
    assert "default/plain:web" not in run(f"{word}-save")
    made.close()
    cleanup(family)
    left = [line for line in run(f"{word}-save").splitlines() if "KUBE-" in line]
    assert left == [":KUBE-IPTABLES-HINT - [0:0]"]


def test_a_flush_of_legacy_tables_is_noticed_at_the_next_look(
    inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.proxy.iptables.dataplane.LEGACY_LOOK", 0.0)
    run("iptables-legacy", "-w", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
    made, known = dataplane(), ledger()
    made.rebuild(known.everything)
    assert not made.harmed()
    run("iptables-legacy", "-w", "-t", "nat", "-F")
    run("iptables-legacy", "-w", "-t", "nat", "-X")
    assert made.harmed()
    made.rebuild(known.everything)
    assert "-j DNAT" in run("iptables-legacy-save")
    made.close()
    cleanup()
