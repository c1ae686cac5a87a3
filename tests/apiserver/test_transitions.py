"""Every transition of a Service's type and IP family policy: what is allocated, kept and released.

A case is a Service, a change of it (PUT with a whole spec, or a merge patch), and what comes of it. Addresses are
written as `old4` (the IPv4 address that it had before) or `new4` (another one), node ports as `old`, `new` or None.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.apiserver.serving import Client, service, with_server

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SINGLE = ("10.96.0.0/24",)
# Addresses that tests name are of the static band, the first 16 here: no Service is given one of its own accord.
DUAL = ("10.96.0.0/24", "fd00:10:96::/112")
SIX_FIRST = ("fd00:10:96::/112", "10.96.0.0/24")
NETWORKS = {4: ipaddress.ip_network("10.96.0.0/24"), 6: ipaddress.ip_network("fd00:10:96::/112")}

PORT = {"port": 80}
PORTS = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
HEADLESS = {"clusterIP": "None"}
EXTERNAL = {"type": "ExternalName", "externalName": "db.example.com"}
LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
PREFER = {"ipFamilyPolicy": "PreferDualStack"}
REQUIRE = {"ipFamilyPolicy": "RequireDualStack"}
SINGLE_STACK = {"ipFamilyPolicy": "SingleStack"}
NO_ADDRESSES = {"clusterIP": None, "clusterIPs": None, "ipFamilies": None, "ipFamilyPolicy": None}


class Case(NamedTuple):
    """`put` and `patch`: which of the two changes it, with what. What is not in `then` is not looked at."""

    name: str
    before: dict[str, Any]
    then: dict[str, Any]
    put: dict[str, Any] | None = None
    patch: dict[str, Any] | None = None
    cluster: tuple[str, ...] = SINGLE


def made(*addresses: str, policy: str | None = None, families: str = "") -> dict[str, Any]:
    found = [f"IPv{family}" for family in (families or "".join(address[-1] for address in addresses))]
    if policy is None:
        policy = "SingleStack" if len(found) == 1 else "PreferDualStack"
    return {"clusterIPs": list(addresses), "ipFamilies": found, "ipFamilyPolicy": policy}


NONE: dict[str, Any] = {"clusterIP": None, "clusterIPs": None, "ipFamilies": None, "ipFamilyPolicy": None}

CASES = [
    # ---- what an update that leaves fields out inherits
    Case("PUT keeps the address", {}, made("old4"), put={}),
    Case("PUT keeps both addresses", PREFER, made("old4", "old6"), put={}, cluster=DUAL),
    Case(
        "PUT keeps both addresses by their policy",
        REQUIRE,
        made("old4", "old6", policy="RequireDualStack"),
        put=REQUIRE,
        cluster=DUAL,
    ),
    Case("PUT with an empty address keeps it", {}, made("old4"), put={"clusterIP": ""}),
    Case(
        "PUT keeps node ports by name", {"type": "NodePort"}, {"nodePorts": ["old"]}, put={"type": "NodePort"}
    ),
    Case(
        "PUT keeps the node port of a port that was renumbered",
        {"type": "NodePort"},
        {"nodePorts": ["old"]},
        put={"type": "NodePort", "ports": [{"port": 81}]},
    ),
    Case(
        "PUT gives a port of another name its own",
        {"type": "NodePort"},
        {"nodePorts": ["new"]},
        put={"type": "NodePort", "ports": [{"name": "other", "port": 80}]},
    ),
    Case(
        "PUT keeps the health check's port",
        LOCAL,
        {"healthCheckNodePort": "old", "nodePorts": ["old"]},
        put=LOCAL,
    ),
    Case(
        "a port added later gets its own node port, also for the other protocol",
        {"type": "NodePort", "ports": PORTS[:1]},
        {"nodePorts": ["old", "new"]},
        put={"type": "NodePort", "ports": PORTS},
    ),
    Case(
        "a port taken away gives its node port back",
        {"type": "NodePort", "ports": [*PORTS, {"name": "x", "port": 1}]},
        {"nodePorts": ["old", "old"]},
        put={"type": "NodePort", "ports": PORTS},
    ),
    Case("a headless one keeps its policy", HEADLESS, {"ipFamilyPolicy": "RequireDualStack"}, put=HEADLESS),
    Case(
        "a headless one does not keep families it leaves out",
        HEADLESS | {"selector": {"a": "b"}, "ipFamilies": ["IPv6"]},
        {"ipFamilies": ["IPv4"]},
        put=HEADLESS | {"selector": {"a": "b"}},
        cluster=DUAL,
    ),
    # ---- types
    Case("ClusterIP to NodePort", {}, made("old4") | {"nodePorts": ["new"]}, patch={"type": "NodePort"}),
    Case(
        "ClusterIP to LoadBalancer",
        {},
        made("old4")
        | {"nodePorts": ["new"], "allocateLoadBalancerNodePorts": True, "externalTrafficPolicy": "Cluster"},
        patch={"type": "LoadBalancer"},
    ),
    Case(
        "ClusterIP to LoadBalancer without node ports",
        {},
        {"nodePorts": [None]},
        patch={"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    ),
    Case(
        "ClusterIP to a local LoadBalancer",
        {},
        {"nodePorts": ["new"], "healthCheckNodePort": "new"},
        patch=LOCAL,
    ),
    Case("ClusterIP to ExternalName", {}, NONE, patch=EXTERNAL),
    Case("two addresses to ExternalName", PREFER, NONE, patch=EXTERNAL, cluster=DUAL),
    Case("ExternalName to ClusterIP", EXTERNAL, made("new4"), patch={"type": "ClusterIP"}),
    Case(
        "ExternalName to NodePort",
        EXTERNAL,
        made("new4") | {"nodePorts": ["new"]},
        patch={"type": "NodePort"},
    ),
    Case(
        "ExternalName to two addresses",
        EXTERNAL,
        made("new4", "new6"),
        patch={"type": "ClusterIP"} | PREFER,
        cluster=DUAL,
    ),
    Case(
        "ExternalName to headless",
        EXTERNAL,
        {"clusterIPs": ["None"], "ipFamilyPolicy": "RequireDualStack"},
        patch={"type": "ClusterIP"} | HEADLESS,
    ),
    Case("headless to ExternalName", HEADLESS, NONE, patch=EXTERNAL),
    Case(
        "NodePort to ClusterIP",
        {"type": "NodePort"},
        made("old4") | {"nodePorts": [None], "externalTrafficPolicy": None},
        patch={"type": "ClusterIP"},
    ),
    Case(
        "NodePort to ClusterIP with external addresses keeps its policy",
        {"type": "NodePort", "externalIPs": ["198.51.100.1"], "externalTrafficPolicy": "Local"},
        {"nodePorts": [None], "externalTrafficPolicy": "Local"},
        patch={"type": "ClusterIP"},
    ),
    Case(
        "NodePort to ExternalName",
        {"type": "NodePort"},
        NONE | {"nodePorts": [None], "externalTrafficPolicy": None},
        patch=EXTERNAL,
    ),
    Case(
        "NodePort to LoadBalancer",
        {"type": "NodePort"},
        {"nodePorts": ["old"]},
        patch={"type": "LoadBalancer"},
    ),
    Case(
        "NodePort to LoadBalancer without new node ports keeps those it has",
        {"type": "NodePort"},
        {"nodePorts": ["old"]},
        put={"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    ),
    Case(
        "LoadBalancer to NodePort",
        {"type": "LoadBalancer", "loadBalancerClass": "example.com/x"},
        made("old4")
        | {"nodePorts": ["old"], "allocateLoadBalancerNodePorts": None, "loadBalancerClass": None},
        patch={"type": "NodePort"},
    ),
    Case(
        "LoadBalancer to ClusterIP",
        LOCAL | {"loadBalancerClass": "example.com/x"},
        made("old4")
        | {
            "nodePorts": [None],
            "healthCheckNodePort": None,
            "externalTrafficPolicy": None,
            "allocateLoadBalancerNodePorts": None,
            "loadBalancerClass": None,
        },
        patch={"type": "ClusterIP"},
    ),
    Case(
        "LoadBalancer to ExternalName",
        LOCAL,
        NONE | {"nodePorts": [None], "healthCheckNodePort": None, "externalTrafficPolicy": None},
        patch=EXTERNAL,
    ),
    # ---- what goes with a type alone
    Case(
        "Local to Cluster",
        LOCAL,
        {"healthCheckNodePort": None, "nodePorts": ["old"]},
        patch={"externalTrafficPolicy": "Cluster"},
    ),
    Case(
        "Cluster to Local",
        {"type": "LoadBalancer"},
        {"healthCheckNodePort": "new", "nodePorts": ["old"]},
        patch={"externalTrafficPolicy": "Local"},
    ),
    Case(
        "no node ports any more leaves those there are",
        {"type": "LoadBalancer"},
        {"nodePorts": ["old"]},
        patch={"allocateLoadBalancerNodePorts": False},
    ),
    Case(
        "node ports of a load balancer without them are taken away by hand",
        {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": [PORT | {"nodePort": 30500}],
        },
        {"nodePorts": [None]},
        patch={"ports": [PORT | {"name": "other", "protocol": "TCP"}]},
    ),
    Case(
        "a node port that is asked for",
        {"type": "NodePort"},
        {"nodePorts": [30500]},
        patch={"ports": [PORT | {"nodePort": 30500, "protocol": "TCP"}]},
    ),
    Case(
        "two ports change places",
        {
            "type": "NodePort",
            "ports": [
                {"name": "a", "port": 1, "nodePort": 30501},
                {"name": "b", "port": 2, "nodePort": 30502},
            ],
        },
        {"nodePorts": [30502, 30501]},
        put={
            "type": "NodePort",
            "ports": [
                {"name": "a", "port": 1, "nodePort": 30502},
                {"name": "b", "port": 2, "nodePort": 30501},
            ],
        },
    ),
    Case(
        "two ports change places and name no node ports",
        {
            "type": "NodePort",
            "ports": [
                {"name": "a", "port": 1, "nodePort": 30501},
                {"name": "b", "port": 2, "nodePort": 30502},
            ],
        },
        {"nodePorts": [30502, 30501]},
        put={"type": "NodePort", "ports": [{"name": "b", "port": 2}, {"name": "a", "port": 1}]},
    ),
    Case(
        "one port takes the other's node port, which gets a new one",
        {
            "type": "NodePort",
            "ports": [
                {"name": "a", "port": 1, "nodePort": 30501},
                {"name": "b", "port": 2, "nodePort": 30502},
            ],
        },
        {"nodePorts": [30502, "new"]},
        put={
            "type": "NodePort",
            "ports": [{"name": "a", "port": 1, "nodePort": 30502}, {"name": "b", "port": 2}],
        },
    ),
    Case(
        "one node port is named, the other kept",
        {
            "type": "NodePort",
            "ports": [
                {"name": "a", "port": 1, "nodePort": 30501},
                {"name": "b", "port": 2, "nodePort": 30502},
            ],
        },
        {"nodePorts": [30501, 30502]},
        put={
            "type": "NodePort",
            "ports": [{"name": "a", "port": 1, "nodePort": 30501}, {"name": "b", "port": 2}],
        },
    ),
    Case(
        "external addresses taken away",
        {"externalIPs": ["198.51.100.1"]},
        {"externalTrafficPolicy": None},
        patch={"externalIPs": None},
    ),
    # ---- IP family policy
    Case("Single to Prefer", {}, made("old4", "new6"), patch=PREFER, cluster=DUAL),
    Case(
        "Single to Require", {}, made("old4", "new6", policy="RequireDualStack"), patch=REQUIRE, cluster=DUAL
    ),
    Case(
        "Single to Prefer on a single-stack cluster", {}, made("old4", policy="PreferDualStack"), patch=PREFER
    ),
    Case(
        "Single to two addresses by the address",
        {},
        {"clusterIPs": ["old4", "fd00:10:96::77"], "ipFamilies": ["IPv4", "IPv6"]},
        patch=PREFER | {"clusterIPs": ["old4", "fd00:10:96::77"]},
        cluster=DUAL,
    ),
    Case(
        "Single to two by the family",
        {},
        made("old4", "new6"),
        patch=PREFER | {"ipFamilies": ["IPv4", "IPv6"]},
        cluster=DUAL,
    ),
    Case("IPv6 to Prefer", {"ipFamilies": ["IPv6"]}, made("old6", "new4"), patch=PREFER, cluster=DUAL),
    Case("Prefer to Single", PREFER, made("old4"), patch=SINGLE_STACK, cluster=DUAL),
    Case("Require to Single", REQUIRE, made("old4"), patch=SINGLE_STACK, cluster=DUAL),
    Case(
        "Prefer to Single by PUT",
        PREFER,
        made("old4"),
        put=SINGLE_STACK | {"ipFamilies": ["IPv4"]},
        cluster=DUAL,
    ),
    Case("Prefer to Single of IPv6", PREFER, made("old6"), patch=SINGLE_STACK, cluster=SIX_FIRST),
    Case(
        "Prefer to Require",
        PREFER,
        made("old4", "old6", policy="RequireDualStack"),
        patch=REQUIRE,
        cluster=DUAL,
    ),
    Case("Require to Prefer", REQUIRE, made("old4", "old6"), patch=PREFER, cluster=DUAL),
    Case(
        "families of a headless one with selector",
        HEADLESS | {"selector": {"a": "b"}},
        {"ipFamilies": ["IPv6"], "clusterIPs": ["None"]},
        patch={"ipFamilies": ["IPv6"]},
        cluster=DUAL,
    ),
    Case(
        "a headless one to two families",
        HEADLESS | {"selector": {"a": "b"}},
        {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"},
        patch=PREFER,
        cluster=DUAL,
    ),
    Case(
        "a headless one without selector back to one",
        HEADLESS,
        {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
        patch=SINGLE_STACK,
        cluster=DUAL,
    ),
    Case(
        "type and policy at once",
        {"type": "NodePort"},
        made("old4", "new6") | {"nodePorts": ["old"]},
        patch={"type": "LoadBalancer"} | PREFER,
        cluster=DUAL,
    ),
]


def address_of(token: Any, now: str, before: dict[int, str]) -> None:
    """Holds an address against what the table says of it."""
    if token not in ("old4", "old6", "new4", "new6"):
        assert now == token
        return
    version = int(token[-1])
    assert ipaddress.ip_address(now) in NETWORKS[version]
    assert (now == before.get(version)) is token.startswith("old")


def number_of(token: Any, now: int | None, before: set[int]) -> None:
    if token == "old":
        assert now in before
    elif token == "new":
        assert now is not None
        assert now not in before
    else:
        assert now == token


def node_ports(spec: dict[str, Any]) -> list[int | None]:
    return [port.get("nodePort") for port in spec.get("ports", [])]


def by_family(spec: dict[str, Any]) -> dict[int, str]:
    held = [address for address in spec.get("clusterIPs", []) if address != "None"]
    return {ipaddress.ip_address(address).version: address for address in held}


def filled(given: Any, before: dict[int, str]) -> Any:
    """The tokens for addresses in a patch, as addresses."""
    if isinstance(given, dict):
        return {key: filled(value, before) for key, value in given.items()}
    if isinstance(given, list):
        return [filled(value, before) for value in given]
    return before[int(given[-1])] if given in ("old4", "old6") else given


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_transition(tmp_path: Path, case: Case) -> None:
    async def test(client: Client) -> None:
        old = (await client.create(SERVICES, service(**case.before)))["spec"]
        before = by_family(old)
        if case.put is not None:
            status, answer = await client.ask("PUT", f"{SERVICES}/web", service(**case.put))
        else:
            status, answer = await client.patch(f"{SERVICES}/web", {"spec": filled(case.patch, before)})
        assert status == 200, answer
        new = answer["spec"]
        had = {number for number in node_ports(old) if number} | {old.get("healthCheckNodePort", 0)}
        for field, expected in case.then.items():
            if field == "clusterIPs" and expected is not None:
                assert len(new["clusterIPs"]) == len(expected), new
                assert new["clusterIP"] == new["clusterIPs"][0]
                for token, address in zip(expected, new["clusterIPs"], strict=True):
                    address_of(token, address, before)
            elif field == "nodePorts":
                assert len(node_ports(new)) == len(expected)
                for token, number in zip(expected, node_ports(new), strict=True):
                    number_of(token, number, had)
            elif field == "healthCheckNodePort":
                number_of(expected, new.get(field), had)
            else:
                assert new.get(field) == expected, (field, new)
        held = {item["metadata"]["name"] for item in (await client.get(ADDRESSES))["items"]}
        own = (await client.get(f"{SERVICES}/kubernetes"))["spec"]["clusterIP"]
        assert held == {own, *by_family(new).values()}
        lost = had - {number for number in node_ports(new) if number} - {new.get("healthCheckNodePort"), 0}
        for number in lost:
            wanted = service(f"other-{number}", type="NodePort", ports=[{"port": 1, "nodePort": number}])
            await client.create(SERVICES, wanted)

    with_server(tmp_path, test, service_cidrs=case.cluster)


REFUSED = [
    (
        "the second address without SingleStack",
        PREFER,
        {"clusterIPs": ["old4"]},
        ["spec.ipFamilyPolicy: must be 'SingleStack' to release the secondary cluster IP"],
    ),
    (
        "the second family without SingleStack",
        REQUIRE,
        {"ipFamilies": ["IPv4"]},
        ["spec.ipFamilyPolicy: must be 'SingleStack' to release the secondary IP family"],
    ),
    (
        "both without SingleStack",
        REQUIRE,
        {"ipFamilies": ["IPv4"], "clusterIPs": ["old4"]},
        [
            "spec.ipFamilyPolicy: must be 'SingleStack' to release the secondary cluster IP",
            "spec.ipFamilyPolicy: must be 'SingleStack' to release the secondary IP family",
        ],
    ),
    (
        "two families of a single stack",
        {},
        {"ipFamilies": ["IPv4", "IPv6"]},
        [
            "spec.ipFamilyPolicy: must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are "
            "specified"
        ],
    ),
    (
        "the first family",
        {},
        {"ipFamilies": ["IPv6"], "clusterIPs": None},
        ["spec.clusterIPs[0]: expected an IPv6 value as indicated by `ipFamilies[0]`"],
    ),
    ("the first address", {}, {"clusterIP": "10.96.0.9"}, ["spec.clusterIPs[0]: may not change once set"]),
    (
        "the second address for another",
        PREFER,
        {"clusterIPs": ["old4", "fd00:10:96::99"]},
        ["spec.clusterIPs[1]: may not change once set"],
    ),
    ("an address for none", {}, HEADLESS, ["spec.clusterIPs[0]: may not change once set"]),
    (
        "none for an address",
        HEADLESS,
        {"clusterIP": "10.96.0.9"},
        ["spec.clusterIPs[0]: may not change once set"],
    ),
    (
        "ExternalName with its old address in another field",
        {},
        EXTERNAL | {"clusterIP": "10.96.0.9"},
        ["spec.clusterIPs: may not be set for ExternalName services"],
    ),
    (
        "ClusterIP with a node port that is new",
        {"type": "NodePort"},
        {"type": "ClusterIP", "ports": [PORT | {"protocol": "TCP", "nodePort": 30700}]},
        ["spec.ports[0].nodePort: may not be used when `type` is 'ClusterIP'"],
    ),
    (
        "the port of the health check",
        LOCAL,
        {"healthCheckNodePort": 30701},
        ["spec.healthCheckNodePort: field is immutable"],
    ),
    (
        "a node port for that of the health check",
        LOCAL | {"healthCheckNodePort": 30702},
        {"ports": [{"name": "a", "port": 1, "protocol": "TCP", "nodePort": 30702}]},
        ["spec.ports[0].nodePort: provided port is already allocated"],
    ),
    (
        "ports that change places with the health check",
        LOCAL | {"healthCheckNodePort": 30702, "ports": [PORT | {"nodePort": 30703}]},
        {"healthCheckNodePort": 30703, "ports": [PORT | {"protocol": "TCP", "nodePort": 30702}]},
        ["spec.ports[0].nodePort: provided port is already allocated"],
    ),
    (
        "one node port twice",
        {"type": "NodePort"},
        {
            "ports": [
                {"name": "a", "port": 1, "protocol": "TCP", "nodePort": 30700},
                {"name": "b", "port": 2, "protocol": "TCP", "nodePort": 30700},
            ]
        },
        ["spec.ports[1].nodePort: Duplicate value: 30700"],
    ),
    (
        "a node port out of the range",
        {"type": "NodePort"},
        {"ports": [{"name": "a", "port": 1, "protocol": "TCP", "nodePort": 80}]},
        [
            "spec.ports[0].nodePort: provided port is not in the valid range. "
            "The range of valid ports is 30000-32767"
        ],
    ),
    (
        "the class of a load balancer",
        {"type": "LoadBalancer"},
        {"loadBalancerClass": "example.com/x"},
        ["spec.loadBalancerClass: may not change once set"],
    ),
    (
        "a second address that is taken",
        {},
        PREFER | {"clusterIPs": ["old4", "fd00:10:96::42"]},
        ["spec.clusterIPs: failed to allocate IP fd00:10:96::42: provided IP is already allocated"],
    ),
    (
        "a second address of no network",
        {},
        PREFER | {"clusterIPs": ["old4", "fd99::1"]},
        [
            "spec.clusterIPs: failed to allocate IP fd99::1: "
            "the provided network does not match the current range"
        ],
    ),
]


@pytest.mark.parametrize(
    ("before", "patch", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_may_not_be_changed(
    tmp_path: Path, before: dict[str, Any], patch: dict[str, Any], expected: list[str]
) -> None:
    async def test(client: Client) -> None:
        taken = {"ipFamilies": ["IPv6"], "clusterIP": "fd00:10:96::42"}
        await client.create(SERVICES, service("taken", **taken))
        old = (await client.create(SERVICES, service(**before)))["spec"]
        held = await client.get(ADDRESSES)
        status, said = await client.patch(f"{SERVICES}/web", {"spec": filled(patch, by_family(old))})
        assert status == 422, said
        causes = said["details"]["causes"]
        found = [f"{cause['field']}: {cause['message'].rpartition(': ')[2]}" for cause in causes]
        short = [f"{line.partition(': ')[0]}: {line.rpartition(': ')[2]}" for line in expected]
        assert found == short
        assert all(line.partition(": ")[2] in said["message"] for line in expected)
        assert (await client.get(f"{SERVICES}/web"))["spec"] == old
        assert [item["metadata"]["name"] for item in (await client.get(ADDRESSES))["items"]] == [
            item["metadata"]["name"] for item in held["items"]
        ]

    with_server(tmp_path, test, service_cidrs=DUAL)
