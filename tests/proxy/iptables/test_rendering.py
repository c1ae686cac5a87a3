"""The rules of one Service, against kube-proxy's (pkg/proxy/iptables/proxier_test.go has the same shapes)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6
from fairlead.proxy.iptables.names import FILTER, NAT, port_hash
from fairlead.proxy.iptables.rendering import LONGEST_COMMENT, comment, probability, render
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.options import ProxyOptions
from tests.proxy.iptables.cluster import ALL, PODS, ledger

PODS_KNOWN = ProxyOptions(LocalPods((PODS[IPV4],)))


def rules(name: str, options: ProxyOptions = PODS_KNOWN, *, brief: bool = False) -> dict[str, list[str]]:
    """The rules that the Service has, by table and chain; its own names shortened to their kind."""
    traits = ALL[name]
    (selected,) = (one for key, one in ledger(IPV4, {name: traits}).everything() if key == f"default/{name}")
    made = render(selected, Settings(IPV4, options, brief=brief))
    digest = port_hash(f"default/{name}:web", str(traits.get("protocol", "TCP")).lower())
    endpoints = {chain: f"SEP{number}" for number, chain in enumerate(made.chains) if "-SEP-" in chain}
    found: dict[str, list[str]] = {}

    def short(text: str) -> str:
        for chain, number in endpoints.items():
            text = text.replace(chain, number)
        return text.replace(f"-{digest}", "").replace(f"default/{name}:web", "NAME")

    for chain, lines in made.chains.items():
        found[short(chain)] = [short(line) for line in lines]
    for where, line in made.portals:
        found.setdefault(f"{where.table} {where.name}", []).append(short(line))
    return found


TO_SERVICE = '-d 10.96.0.1/32 -p tcp -m comment --comment "NAME cluster IP" -m tcp --dport 80'
SHORT_CUT = [
    '-s 10.244.0.0/16 -m comment --comment "pod traffic for NAME external destinations" -j KUBE-SVC',
    '-m comment --comment "masquerade LOCAL traffic for NAME external destinations" '
    "-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ",
    '-m comment --comment "route LOCAL traffic for NAME external destinations" '
    "-m addrtype --src-type LOCAL -j KUBE-SVC",
]
MASQUERADE = '-m comment --comment "masquerade traffic for NAME external destinations" -j KUBE-MARK-MASQ'
REFUSED = "-j REJECT --reject-with icmp-port-unreachable"
FILTERED = f"{FILTER} KUBE-EXTERNAL-SERVICES"


def both(first: str, second: str) -> list[str]:
    """What spreads over two endpoints."""
    return [
        f'-m comment --comment "NAME -> {first}" -m statistic --mode random --probability 0.50000000000 -j SEP0',
        f'-m comment --comment "NAME -> {second}" -j SEP1',
    ]


def endpoint(address: str, protocol: str = "tcp") -> list[str]:
    host = address.partition(":")[0]
    return [
        f'-s {host}/32 -m comment --comment "NAME" -j KUBE-MARK-MASQ',
        f'-p {protocol} -m comment --comment "NAME" -m {protocol} -j DNAT --to-destination {address}',
    ]


NEAR, FAR = "10.244.1.2:8080", "10.244.1.25:8080"
CASES: dict[str, Mapping[str, list[str]]] = {
    "plain": {
        "SEP0": endpoint(NEAR),
        "SEP1": endpoint(FAR),
        "KUBE-SVC": [f"! -s 10.244.0.0/16 {TO_SERVICE} -j KUBE-MARK-MASQ", *both(NEAR, FAR)],
        f"{NAT} KUBE-SERVICES": [f"{TO_SERVICE} -j KUBE-SVC"],
    },
    "nodeport": {
        "KUBE-EXT": [MASQUERADE, "-j KUBE-SVC"],
        f"{NAT} KUBE-NODEPORTS": ['-p tcp -m comment --comment "NAME" -m tcp --dport 30000 -j KUBE-EXT'],
    },
    "local": {
        "KUBE-SVC": both(NEAR, FAR),
        "KUBE-SVL": [
            f"! -s 10.244.0.0/16 {TO_SERVICE} -j KUBE-MARK-MASQ",
            f'-m comment --comment "NAME -> {NEAR}" -j SEP0',
        ],
        "KUBE-EXT": [*SHORT_CUT, "-j KUBE-SVL"],
        f"{NAT} KUBE-SERVICES": [f"{TO_SERVICE} -j KUBE-SVL"],
    },
    "elsewhere": {
        "KUBE-SVC": [f'-m comment --comment "NAME -> {FAR}" -j SEP0'],
        "KUBE-EXT": SHORT_CUT,
        f"{FILTER} KUBE-SERVICES": [TO_SERVICE.replace("cluster IP", "has no local endpoints") + " -j DROP"],
        FILTERED: [
            '-d 203.0.113.7/32 -p tcp -m comment --comment "NAME has no local endpoints" -m tcp --dport 80 -j DROP',
            '-p tcp -m comment --comment "NAME has no local endpoints" -m addrtype --dst-type LOCAL '
            "-m tcp --dport 30000 -j DROP",
        ],
    },
    "empty": {
        f"{FILTER} KUBE-SERVICES": [f'{TO_SERVICE.replace("cluster IP", "has no endpoints")} {REFUSED}'],
        FILTERED: [
            f'-d 198.51.100.7/32 -p tcp -m comment --comment "NAME has no endpoints" -m tcp --dport 80 {REFUSED}',
            '-p tcp -m comment --comment "NAME has no endpoints" -m addrtype --dst-type LOCAL '
            f"-m tcp --dport 30000 {REFUSED}",
        ],
    },
    "balanced": {
        f"{NAT} KUBE-SERVICES": [
            f"{TO_SERVICE} -j KUBE-SVC",
            '-d 198.51.100.7/32 -p tcp -m comment --comment "NAME external IP" -m tcp --dport 80 -j KUBE-EXT',
            '-d 203.0.113.7/32 -p tcp -m comment --comment "NAME loadbalancer IP" -m tcp --dport 80 -j KUBE-EXT',
        ],
    },
    "guarded": {
        f"{NAT} KUBE-SERVICES": [
            f"{TO_SERVICE} -j KUBE-SVC",
            '-d 203.0.113.7/32 -p tcp -m comment --comment "NAME loadbalancer IP" -m tcp --dport 80 -j KUBE-FW',
        ],
        "KUBE-FW": [
            '-s 192.168.1.0/24 -m comment --comment "NAME loadbalancer IP" -j KUBE-EXT',
            # the node itself is allowed, and may come from there
            '-s 203.0.113.7/32 -m comment --comment "NAME loadbalancer IP" -j KUBE-EXT',
            '-s 203.0.113.128/25 -m comment --comment "NAME loadbalancer IP" -j KUBE-EXT',
            '-m comment --comment "other traffic to NAME will be dropped by KUBE-PROXY-FIREWALL"',
        ],
        f"{FILTER} KUBE-PROXY-FIREWALL": [
            '-d 203.0.113.7/32 -p tcp -m comment --comment "NAME traffic not accepted by KUBE-FW" '
            "-m tcp --dport 80 -j DROP"
        ],
        f"{FILTER} KUBE-NODEPORTS": [
            '-p tcp -m comment --comment "NAME health check node port" -m tcp --dport 32000 -j ACCEPT'
        ],
        "KUBE-EXT": [*SHORT_CUT, "-j KUBE-SVL"],
    },
    "sctp": {"SEP0": endpoint(NEAR, "sctp"), "SEP1": endpoint(FAR, "sctp")},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_service_becomes(name: str) -> None:
    made = rules(name)
    assert {chain: made.get(chain) for chain in CASES[name]} == CASES[name]


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("plain", ["KUBE-EXT", "KUBE-SVL", FILTERED]),
        ("nodeport", ["KUBE-SVL", FILTERED]),
        ("elsewhere", ["KUBE-SVL", f"{NAT} KUBE-SERVICES KUBE-SVC"]),
        ("empty", ["KUBE-SVC", "KUBE-EXT", f"{NAT} KUBE-SERVICES", f"{NAT} KUBE-NODEPORTS"]),
        ("balanced", ["KUBE-FW", f"{FILTER} KUBE-PROXY-FIREWALL", f"{FILTER} KUBE-NODEPORTS"]),
    ],
)
def test_nothing_is_made_that_nobody_needs(name: str, absent: list[str]) -> None:
    assert not rules(name).keys() & set(absent)


def test_affinity_asks_for_the_endpoint_before_the_dice_and_is_learnt_where_it_is_chosen() -> None:
    made = rules("sticky")
    mask = "--mask 255.255.255.255 --rsource"
    assert made["KUBE-SVC"][1] == (
        f'-m comment --comment "NAME -> {NEAR}" -m recent --rcheck --seconds 10800 --reap --name SEP0 {mask} -j SEP0'
    )
    assert [line.rpartition(" ")[2] for line in made["KUBE-SVC"][1:]] == ["SEP0", "SEP1", "SEP2"] * 2
    assert made["SEP0"] == [
        '-s 10.244.1.2/32 -m comment --comment "NAME" -j KUBE-MARK-MASQ',
        f'-p tcp -m comment --comment "NAME" -m recent --set --name SEP0 {mask} -m tcp -j DNAT --to-destination {NEAR}',
    ]


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (ProxyOptions(masquerade_all=True), f"{TO_SERVICE} -j KUBE-MARK-MASQ"),
        (
            ProxyOptions(LocalPods(interface="cni*")),
            TO_SERVICE.replace(" -p", " ! -i cni+ -p", 1) + " -j KUBE-MARK-MASQ",
        ),
        (ProxyOptions(LocalPods(("10.1.0.0/16", "10.2.0.0/16"))), f"{TO_SERVICE} -j KUBE-MARK-FOREIGN"),
        (ProxyOptions(LocalPods(("fd00::/48",))), both(NEAR, FAR)[0]),
    ],
    ids=["all", "who comes in elsewhere", "whose network is none of two", "nobody where pods are unknown"],
)
def test_traffic_of_a_cluster_ip_is_masqueraded_for(options: ProxyOptions, first: str) -> None:
    assert rules("plain", options)["KUBE-SVC"][0] == first


def test_a_cluster_ip_refuses_on_ports_that_it_does_not_have() -> None:
    """Once for an address, where it is known which addresses are Services'."""
    options = ProxyOptions(service_cidrs=("10.96.0.0/16",))
    assert rules("plain", options)[f"{FILTER} KUBE-CLUSTER-IPS"] == [
        f'-d 10.96.0.1/32 -m comment --comment "default/plain has no such port" {REFUSED}'
    ]
    assert f"{FILTER} KUBE-CLUSTER-IPS" not in rules("plain")


def test_a_large_cluster_goes_without_comments_at_its_endpoints() -> None:
    made = rules("plain", brief=True)
    assert made["KUBE-SVC"][1:] == [
        "-m statistic --mode random --probability 0.50000000000 -j SEP0",
        "-j SEP1",
    ]
    assert made["SEP0"][0] == "-s 10.244.1.2/32 -j KUBE-MARK-MASQ"
    assert "comment" in made["KUBE-SVC"][0]


def test_chains_are_named_as_kube_proxy_names_them() -> None:
    """The name of the API server's own Service, known from every cluster."""
    assert port_hash("default/kubernetes:https", "tcp") == "NPX46M4PTMTKRN6Y"
    assert port_hash("kube-system/kube-dns:dns", "udp") == "TCOU7JCQXEZGVUNU"


def test_endpoints_of_ipv6_are_written_in_brackets() -> None:
    (selected,) = (one for _, one in ledger(IPV6, {"plain": {}}).everything())
    made = render(selected, Settings(IPV6, ProxyOptions(LocalPods((PODS[IPV6],)))))
    lines = [line for chain in made.chains.values() for line in chain]
    assert "-j DNAT --to-destination [fd00:10:244:1::2]:8080" in " ".join(lines)
    assert made.portals[0][1].startswith("-d fd00:10:96::1/128 -p tcp ")


@pytest.mark.parametrize("share", [2, 3, 7, 10, 1000, 65536])
def test_probabilities_are_those_that_the_kernel_can_hold(share: int) -> None:
    text = probability(share)
    assert round(float(text) * 2**31) == round(2**31 / share)
    assert len(text) == 13


def test_no_name_can_end_its_comment() -> None:
    assert comment('a"; -j ACCEPT\nCOMMIT\\') == '-m comment --comment "a?; -j ACCEPT?COMMIT?"'
    assert len(comment("x" * 1000)) == len(comment("")) + LONGEST_COMMENT
