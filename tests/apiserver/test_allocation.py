"""What a Service is given, what it keeps, what it gives back."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import pytest

from fairlead.apiserver.allocation import Pool, address_band, addresses_of, port_band, ports_of
from tests.apiserver.serving import Client, service, with_server

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"


@pytest.mark.parametrize(
    ("size", "band"), [(16, 0), (32, 16), (256, 16), (1024, 64), (4096, 256), (1 << 16, 256), (1 << 64, 256)]
)
def test_the_static_band_of_addresses(size: int, band: int) -> None:
    assert address_band(size) == band


@pytest.mark.parametrize(("size", "band"), [(16, 0), (128, 16), (2768, 86), (8192, 128)])
def test_the_static_band_of_ports(size: int, band: int) -> None:
    assert port_band(size) == band


@pytest.mark.parametrize("mapped", [1 << 20, 0], ids=["by a byte each", "by a set"])
def test_the_lower_band_is_given_when_the_upper_is_full(monkeypatch: pytest.MonkeyPatch, mapped: int) -> None:
    monkeypatch.setattr("fairlead.apiserver.allocation.MAPPED", mapped)
    pool = Pool(addresses_of(ipaddress.ip_network("10.0.0.0/27")))
    order: list[int] = []
    while (value := pool.pick()) is not None:
        pool.take(value)
        order.append(value - (10 << 24))
    assert sorted(order) == list(range(1, 31))
    assert set(order[:14]) == set(range(17, 31))
    pool.give_back((10 << 24) + 3)
    assert pool.pick() == (10 << 24) + 3


def test_a_pool_knows_what_is_taken_and_passes_over_what_it_has_not() -> None:
    pool = Pool(ports_of(30000, 32767), [30085, 80, 40000])
    assert [number in pool for number in (30085, 30086, 80, 40000)] == [True, False, False, False]
    assert {pool.pick() for _ in range(200)} <= set(range(30086, 32768))


def test_an_ipv6_network_beyond_64_gives_nothing_and_a_huge_one_is_no_burden() -> None:
    assert Pool(addresses_of(ipaddress.ip_network("fd00::/48"))).pick() is None
    picked = Pool(addresses_of(ipaddress.ip_network("fd00::/64"))).pick()
    assert picked is not None
    assert ipaddress.ip_address(picked) in ipaddress.ip_network("fd00::/64")


async def addresses(client: Client) -> list[str]:
    return [item["metadata"]["name"] for item in (await client.get(ADDRESSES))["items"]]


def test_a_service_gets_an_address_and_gives_it_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(SERVICES, service())
        spec = made["spec"]
        assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/16")
        assert int(ipaddress.ip_address(spec["clusterIP"])) & 0xFFFF > 256
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"], spec["type"]) == (
            ["IPv4"],
            "SingleStack",
            "ClusterIP",
        )
        assert "generation" not in made["metadata"]
        held = await client.get(f"{ADDRESSES}/{spec['clusterIP']}")
        assert held["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"}
        await client.ask("DELETE", f"{SERVICES}/web")
        assert await addresses(client) == ["10.96.0.1"]

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"clusterIP": "10.96.0.1"},
            "spec.clusterIPs",
            'Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated',
        ),
        (
            {"clusterIP": "10.97.0.1"},
            "spec.clusterIPs",
            "the provided network does not match the current range",
        ),
        ({"clusterIP": "10.96.0"}, "spec.clusterIPs[0]", "must be a valid IP address"),
        ({"ipFamilies": ["IPv6"]}, "spec.ipFamilies[0]", "not configured on this cluster"),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            "spec.ipFamilyPolicy",
            "this cluster is not configured for dual-stack services",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "spec.ports[0].nodePort",
            "provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "UDP"}]},
            "spec.ports[0].nodePort",
            "Invalid value: 30080: provided port is already allocated",
        ),
    ],
)
def test_what_cannot_be_given(tmp_path: Path, spec: dict[str, Any], field: str, message: str) -> None:
    async def test(client: Client) -> None:
        taken = service("taken", type="NodePort", ports=[{"port": 1, "nodePort": 30080}])
        await client.create(SERVICES, taken)
        status, said = await client.ask("POST", SERVICES, service(**spec))
        assert (status, said["reason"]) == (422, "Invalid")
        causes = [cause for cause in said["details"]["causes"] if cause["field"] == field]
        assert message in causes[0]["message"]
        assert len(await addresses(client)) == 2

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"clusterIP": "None", "selector": {"a": "b"}}, ("None", ["IPv4"], "SingleStack")),
        ({"clusterIP": "None"}, ("None", ["IPv4", "IPv6"], "RequireDualStack")),
        ({"type": "ExternalName", "externalName": "db.example.com"}, (None, None, None)),
        ({"clusterIP": "10.96.0.100"}, ("10.96.0.100", ["IPv4"], "SingleStack")),
    ],
)
def test_families(tmp_path: Path, spec: dict[str, Any], wanted: tuple[Any, Any, Any]) -> None:
    async def test(client: Client) -> None:
        found = (await client.create(SERVICES, service(**spec)))["spec"]
        assert (found.get("clusterIP"), found.get("ipFamilies"), found.get("ipFamilyPolicy")) == wanted

    with_server(tmp_path, test)


def test_node_ports_are_shared_by_protocols_of_a_port_and_kept_on_update(tmp_path: Path) -> None:
    both = [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53}]

    async def test(client: Client) -> None:
        made = await client.create(SERVICES, service(type="NodePort", ports=both))
        first, second = (port["nodePort"] for port in made["spec"]["ports"])
        assert first == second
        body = service(type="NodePort", ports=[*both, {"name": "m", "port": 80}])
        _, changed = await client.ask("PUT", f"{SERVICES}/web", body)
        ports = [port["nodePort"] for port in changed["spec"]["ports"]]
        assert ports[:2] == [first, first]
        assert ports[2] not in (0, first)
        assert changed["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        _, plain = await client.patch(f"{SERVICES}/web", {"spec": {"type": "ClusterIP"}})
        assert not any("nodePort" in port for port in plain["spec"]["ports"])
        await client.create(
            SERVICES, service("other", type="NodePort", ports=[{"port": 1, "nodePort": first}])
        )

    with_server(tmp_path, test)


def test_a_change_to_external_name_gives_the_address_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(SERVICES, service())
        external = {"spec": {"type": "ExternalName", "externalName": "db.example.com"}}
        status, changed = await client.patch(f"{SERVICES}/web", external)
        assert status == 200, changed
        assert "clusterIP" not in changed["spec"]
        assert await addresses(client) == ["10.96.0.1"]
        status, changed = await client.patch(
            f"{SERVICES}/web", {"spec": {"type": "ClusterIP", "externalName": None}}
        )
        assert status == 200, changed
        assert changed["spec"]["clusterIP"] in await addresses(client)

    with_server(tmp_path, test)


def test_a_local_load_balancer_gets_a_health_check_port(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(SERVICES, service(type="LoadBalancer", externalTrafficPolicy="Local"))
        assert made["spec"]["healthCheckNodePort"] not in (0, made["spec"]["ports"][0]["nodePort"])
        _, none = await client.patch(f"{SERVICES}/web", {"spec": {"externalTrafficPolicy": "Cluster"}})
        assert "healthCheckNodePort" not in none["spec"], none

    with_server(tmp_path, test)


def test_nothing_is_given_twice_to_concurrent_writers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await asyncio.gather(
            *(
                client.ask("POST", SERVICES, service(f"s{i}", type="NodePort", ports=[{"port": 80}]))
                for i in range(30)
            )
        )
        good = [answer["spec"] for status, answer in made if status == 201]
        assert len(good) == 29, "the network has 30 addresses, one is the API's own"
        assert len({spec["clusterIP"] for spec in good}) == 29
        assert len({spec["ports"][0]["nodePort"] for spec in good}) == 29
        [(status, said)] = [answer for answer in made if answer[0] != 201]
        assert (status, said["message"]) == (
            500,
            "Internal error occurred: failed to allocate a serviceIP: range is full",
        )
        await client.ask("DELETE", f"{SERVICES}/s3")
        await client.ask("DELETE", f"{SERVICES}/s4")
        await client.create(SERVICES, service("again"))

    with_server(tmp_path, test, service_cidrs=("10.0.0.0/27",))


def test_a_dry_run_shows_the_networks_own_address_and_takes_nothing(tmp_path: Path) -> None:
    both = [
        {"name": "a", "port": 80},
        {"name": "b", "port": 81},
        {"name": "c", "port": 80, "protocol": "UDP"},
    ]

    async def test(client: Client) -> None:
        wanted = service(
            type="LoadBalancer", externalTrafficPolicy="Local", ports=both, ipFamilyPolicy="PreferDualStack"
        )
        status, shown = await client.ask("POST", f"{SERVICES}?dryRun=All", wanted)
        assert (status, shown["spec"]["clusterIPs"]) == (201, ["10.96.0.0", "fd00::"])
        assert [port["nodePort"] for port in shown["spec"]["ports"]] == [32769, 32770, 32769]
        assert shown["spec"]["healthCheckNodePort"] == 32771
        assert await addresses(client) == ["10.96.0.1"]
        assert (await client.ask("GET", f"{SERVICES}/web"))[0] == 404
        await client.create(SERVICES, service(clusterIP="10.96.0.9"))
        change = {"spec": {"type": "NodePort", "ipFamilyPolicy": "RequireDualStack"}}
        status, shown = await client.patch(f"{SERVICES}/web?dryRun=All", change)
        assert (status, shown["spec"]["clusterIPs"]) == (200, ["10.96.0.9", "fd00::"])
        status, shown = await client.ask("DELETE", f"{SERVICES}/web?dryRun=All")
        assert status == 200
        assert await addresses(client) == ["10.96.0.1", "10.96.0.9"]
        assert (await client.get(f"{SERVICES}/web"))["spec"]["type"] == "ClusterIP"

    with_server(tmp_path, test, service_cidrs=("10.96.0.0/16", "fd00::/112"))


def test_node_ports_are_given_until_none_is_left_the_static_ones_last(tmp_path: Path) -> None:
    def node_port(name: str, **spec: Any) -> dict[str, Any]:
        return service(name, type="NodePort", **spec)

    async def test(client: Client) -> None:
        order = []
        for i in range(40):
            made = await client.create(SERVICES, node_port(f"s{i}"))
            order.append(made["spec"]["ports"][0]["nodePort"])
        assert sorted(order) == list(range(30000, 30040))
        assert set(order[:24]) == set(range(30016, 30040)), "the lowest 16 are given when the others are gone"
        status, said = await client.ask("POST", SERVICES, node_port("more"))
        full = "Internal error occurred: failed to allocate a nodePort: range is full"
        assert (status, said["message"]) == (500, full)
        await client.ask("DELETE", f"{SERVICES}/s7")
        local = {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "allocateLoadBalancerNodePorts": False,
        }
        made = await client.create(SERVICES, service("balanced", **local))
        assert made["spec"]["healthCheckNodePort"] == order[7]
        status, said = await client.ask("POST", SERVICES, service("more", **local))
        full = "Internal error occurred: failed to allocate a HealthCheck NodePort 0: range is full"
        assert (status, said["message"]) == (500, full)
        status, said = await client.ask(
            "POST", SERVICES, service("more", **local, healthCheckNodePort=order[0])
        )
        taken = f"failed to allocate requested HealthCheck NodePort {order[0]}: provided port is already allocated"
        assert (status, said["message"]) == (500, f"Internal error occurred: {taken}")

    with_server(tmp_path, test, node_port_range=(30000, 30039))


def test_a_full_second_network_refuses_the_whole_service(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        dual = {"ipFamilyPolicy": "RequireDualStack"}
        for i in range(3):
            await client.create(SERVICES, service(f"s{i}", **dual))
        status, said = await client.ask("POST", SERVICES, service("more", **dual))
        full = "Internal error occurred: failed to allocate a serviceIP: range is full"
        assert (status, said["message"]) == (500, full)
        assert len(await addresses(client)) == 7, "three of each family, and the API's own"

    with_server(tmp_path, test, service_cidrs=("10.96.0.0/24", "fd00::/126"))


@pytest.mark.parametrize(
    ("ports", "wanted"),
    [
        ([("t", 53, "TCP", 0), ("u", 53, "UDP", 0)], ["a", "a"]),
        ([("t", 53, "TCP", 30500), ("u", 53, "UDP", 0)], [30500, 30500]),
        ([("t", 53, "TCP", 0), ("u", 53, "UDP", 30500)], [30500, 30500]),
        ([("t", 53, "TCP", 30500), ("u", 53, "UDP", 30501)], [30500, 30501]),
        ([("t", 53, "TCP", 0), ("u", 54, "UDP", 0)], ["a", "b"]),
        ([("t", 53, "TCP", 0), ("u", 53, "UDP", 0), ("s", 53, "SCTP", 0)], ["a", "a", "a"]),
        ([("t", 53, "TCP", 30500), ("u", 54, "UDP", 30500)], "provided port is already allocated"),
        ([("t", 53, "TCP", 30500), ("u", 54, "TCP", 30500)], "provided port is already allocated"),
    ],
    ids=[
        "one for the protocols of a port",
        "the one that the first asks for",
        "the one that the second asks for",
        "two where two are asked for",
        "one for each port",
        "one for three protocols",
        "not one for two ports",
        "not one for two ports of a protocol",
    ],
)
def test_which_entries_of_a_new_service_share_a_node_port(
    tmp_path: Path, ports: list[tuple[str, int, str, int]], wanted: Any
) -> None:
    given = [dict(zip(("name", "port", "protocol", "nodePort"), port, strict=True)) for port in ports]

    async def test(client: Client) -> None:
        status, answer = await client.ask("POST", SERVICES, service(type="NodePort", ports=given))
        if isinstance(wanted, str):
            assert (status, answer["details"]["causes"][0]["field"]) == (422, "spec.ports[1].nodePort")
            assert wanted in answer["message"]
            return
        found = [port["nodePort"] for port in answer["spec"]["ports"]]
        names: dict[int, Any] = {}
        for number, name in zip(found, wanted, strict=True):
            assert names.setdefault(number, name) == name
        assert len(names) == len(set(wanted))

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("spec", "families", "policy"),
    [
        ({}, ["IPv6"], "SingleStack"),
        ({"ipFamilies": ["IPv4"]}, ["IPv4"], "SingleStack"),
        ({"clusterIP": "10.96.0.77"}, ["IPv4"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv6", "IPv4"], "PreferDualStack"),
        ({"ipFamilyPolicy": "RequireDualStack"}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"]}, ["IPv4", "IPv6"], "PreferDualStack"),
        (
            {"ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.96.0.77"},
            ["IPv4", "IPv6"],
            "PreferDualStack",
        ),
        ({"clusterIP": "None"}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv6"], "SingleStack"),
        (
            {"clusterIP": "None", "selector": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"},
            ["IPv6", "IPv4"],
            "PreferDualStack",
        ),
    ],
)
def test_families_where_ipv6_comes_first(
    tmp_path: Path, spec: dict[str, Any], families: list[str], policy: str
) -> None:
    async def test(client: Client) -> None:
        found = (await client.create(SERVICES, service(**spec)))["spec"]
        assert (found["ipFamilies"], found["ipFamilyPolicy"]) == (families, policy)
        if spec.get("clusterIP") != "None":
            assert [6 if ":" in a else 4 for a in found["clusterIPs"]] == [int(f[-1]) for f in families]
            assert set(found["clusterIPs"]) < set(await addresses(client))

    with_server(tmp_path, test, service_cidrs=("fd00::/112", "10.96.0.0/16"))


def test_an_ipv6_address_in_a_long_form_is_kept_as_written_and_reserved_in_its_canonical_form(
    tmp_path: Path,
) -> None:
    async def test(client: Client) -> None:
        made = await client.create(SERVICES, service(clusterIP="FD00::0077"))
        assert made["spec"]["clusterIPs"] == ["FD00::0077"]
        assert any("RFC 5952" in warning for warning in client.warnings)
        assert "fd00::77" in await addresses(client)
        status, _ = await client.ask("POST", SERVICES, service("twin", clusterIP="fd00::77"))
        assert status == 422
        await client.ask("DELETE", f"{SERVICES}/web")
        assert "fd00::77" not in await addresses(client)

    with_server(tmp_path, test, service_cidrs=("fd00::/112",))


def test_warnings_are_headers_of_accepted_writes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        deprecated = (
            '299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"'
        )
        await client.create(SERVICES, service(externalIPs=["198.51.100.1"]))
        assert client.warnings == [deprecated]
        await client.patch(f"{SERVICES}/web", {"metadata": {"labels": {"a": "b"}}})
        assert client.warnings == [deprecated]
        await client.get(f"{SERVICES}/web")
        assert client.warnings == []
        await client.ask("POST", SERVICES, service("bad", externalIPs=["198.51.100.1"], type="Cluster"))
        assert client.warnings == []
        await client.get("/api/v1/namespaces/default/endpoints")
        assert client.warnings == [
            '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
        ]

    with_server(tmp_path, test)


def test_put_makes_a_service(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status, made = await client.ask("PUT", f"{SERVICES}/web", service())
        assert (status, made["spec"]["clusterIP"] in await addresses(client)) == (201, True)

    with_server(tmp_path, test)


def test_the_service_of_the_api(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        own = await client.get(f"{SERVICES}/kubernetes")
        assert (own["spec"]["clusterIP"], own["spec"]["ports"][0]["port"]) == ("10.96.0.1", 443)
        endpoints = await client.get("/api/v1/namespaces/default/endpoints/kubernetes")
        assert endpoints["subsets"][0]["addresses"] == [{"ip": "192.168.1.1"}]

    with_server(tmp_path, test, advertise_address="192.168.1.1")
