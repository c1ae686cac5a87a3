"""ServiceCIDRs: the default one, more of them, and the end of one that is in use."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

from tests.apiserver.serving import Client, service, with_server

CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SERVICES = "/api/v1/namespaces/default/services"
EVENTS = "/api/v1/namespaces/default/events"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"


def cidr(name: str, *cidrs: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }


def condition(answer: Any) -> tuple[str, str]:
    [said] = answer.get("status", {}).get("conditions") or [{"status": "", "reason": ""}]
    return said["status"], said["reason"]


def ready(status: int, answer: Any) -> bool:
    return status == 200 and condition(answer)[0] == "True"


def blocked(status: int, answer: Any) -> bool:
    return status == 200 and condition(answer) == ("False", "Terminating")


def gone(status: int, _: Any) -> bool:
    return status == 404


async def make(client: Client, name: str, *cidrs: str) -> None:
    made = await client.create(CIDRS, cidr(name, *cidrs))
    assert made["metadata"]["finalizers"] == [FINALIZER]
    await client.until(f"{CIDRS}/{name}", ready)


def test_the_default_one_is_made_from_the_flags(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        own = await client.get(f"{CIDRS}/kubernetes")
        assert own["spec"] == {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}
        assert own["metadata"]["finalizers"] == [FINALIZER]
        [said] = own["status"]["conditions"]
        assert (said["type"], said["status"], said["message"]) == (
            "Ready",
            "True",
            "Kubernetes Service CIDR is ready",
        )
        assert said["lastTransitionTime"]
        assert (await client.get(f"{SERVICES}/kubernetes"))["spec"]["clusterIPs"] == ["10.96.0.1"]
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        _, shown = await client.ask("GET", CIDRS, headers=table)
        assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "CIDRs", "Age"]
        assert shown["rows"][0]["cells"][:2] == ["kubernetes", "10.96.0.0/16,fd00:10:96::/112"]

    with_server(tmp_path, test, service_cidrs=("10.96.0.0/16", "fd00:10:96::/112"))


def test_a_cluster_becomes_dual_stack_by_its_flags(tmp_path: Path) -> None:
    async def single(client: Client) -> None:
        await client.create(SERVICES, service())
        await client.create(SERVICES, service("prefers", ipFamilyPolicy="PreferDualStack"))

    async def dual(client: Client) -> None:
        own = await client.get(f"{CIDRS}/kubernetes")
        assert own["spec"]["cidrs"] == ["10.96.0.0/16", "fd00::/112"]
        prefers = await client.get(f"{SERVICES}/prefers")
        _, same = await client.ask("PUT", f"{SERVICES}/prefers", prefers)
        assert same["spec"]["ipFamilies"] == ["IPv4"], "a Service is not upgraded by itself"
        status, changed = await client.patch(
            f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}
        )
        assert (status, changed["spec"]["ipFamilies"]) == (200, ["IPv4", "IPv6"])
        assert ipaddress.ip_address(changed["spec"]["clusterIPs"][1]) in ipaddress.ip_network("fd00::/112")

    with_server(tmp_path, single, service_cidrs=("10.96.0.0/16",))
    with_server(tmp_path, dual, service_cidrs=("10.96.0.0/16", "fd00::/112"))


def test_flags_that_say_otherwise_are_reported_and_change_nothing(tmp_path: Path) -> None:
    async def first(client: Client) -> None:
        await client.get(f"{CIDRS}/kubernetes")

    async def second(client: Client) -> None:
        assert (await client.get(f"{CIDRS}/kubernetes"))["spec"]["cidrs"] == ["10.96.0.0/16"]
        said = [event for event in (await client.get(EVENTS))["items"] if event["count"]]
        assert [event["reason"] for event in said] == ["KubernetesDefaultServiceCIDRInconsistent"]
        assert said[0]["message"] == (
            "The default ServiceCIDR [10.96.0.0/16] does not match the controller flag configurations [10.0.0.0/16]"
        )

    with_server(tmp_path, first, service_cidrs=("10.96.0.0/16",))
    with_server(tmp_path, second, service_cidrs=("10.0.0.0/16",))


def test_another_one_gives_addresses_when_the_first_is_full(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await asyncio.gather(*(client.create(SERVICES, service(f"s{i}")) for i in range(5)))
        status, said = await client.ask("POST", SERVICES, service("more"))
        assert (status, said["message"]) == (
            500,
            "Internal error occurred: failed to allocate a serviceIP: range is full",
        )
        await make(client, "more", "10.112.0.0/28")
        made = await client.create(SERVICES, service("more"))
        assert ipaddress.ip_address(made["spec"]["clusterIP"]) in ipaddress.ip_network("10.112.0.0/28")
        free = next(one for one in ("10.112.0.14", "10.112.0.13") if one != made["spec"]["clusterIP"])
        asked = await client.create(SERVICES, service("asked", clusterIP=free))
        assert asked["spec"]["clusterIP"] == free

    with_server(tmp_path, test, service_cidrs=("10.96.0.0/29",))


def test_one_in_use_is_held_until_its_last_address_is_gone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await make(client, "more", "10.112.0.0/28")
        for i in (1, 2):
            await client.create(SERVICES, service(f"s{i}", clusterIP=f"10.112.0.{i}"))
        status, marked = await client.ask("DELETE", f"{CIDRS}/more")
        assert (status, bool(marked["metadata"]["deletionTimestamp"])) == (200, True)
        await client.until(f"{CIDRS}/more", blocked)
        status, said = await client.ask("POST", SERVICES, service("late", clusterIP="10.112.0.3"))
        assert (status, "does not match the current range" in said["message"]) == (422, True)
        await client.ask("DELETE", f"{SERVICES}/s1")
        assert blocked(*await client.ask("GET", f"{CIDRS}/more"))
        await client.ask("DELETE", f"{SERVICES}/s2")
        await client.until(f"{CIDRS}/more", gone)

    with_server(tmp_path, test)


def test_one_that_is_in_use_may_go_where_another_covers_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await make(client, "small", "10.112.0.0/28")
        await client.create(SERVICES, service(clusterIP="10.112.0.5"))
        await client.ask("DELETE", f"{CIDRS}/small")
        await client.until(f"{CIDRS}/small", blocked)
        await make(client, "large", "10.112.0.0/24")
        await client.until(f"{CIDRS}/small", gone)
        await client.ask("DELETE", f"{CIDRS}/large")
        await client.until(f"{CIDRS}/large", blocked)

    with_server(tmp_path, test)


def test_two_that_cover_each_other_do_not_both_go(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await make(client, "one", "10.112.0.0/28")
        await make(client, "two", "10.112.0.0/28")
        await client.create(SERVICES, service(clusterIP="10.112.0.5"))
        await asyncio.gather(*(client.ask("DELETE", f"{CIDRS}/{name}") for name in ("one", "two")))
        held = await client.until(
            CIDRS, lambda status, answer: any(blocked(200, item) for item in answer["items"])
        )
        assert {item["metadata"]["name"] for item in held["items"]} & {"one", "two"}
        await client.ask("DELETE", f"{SERVICES}/web")
        for name in ("one", "two"):
            await client.until(f"{CIDRS}/{name}", gone)

    with_server(tmp_path, test)


def test_addresses_of_others_hold_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await make(client, "more", "10.112.0.0/28")
        parent = {"group": "gateway.networking.k8s.io", "resource": "gateways", "namespace": "a", "name": "b"}
        foreign = {"metadata": {"name": "10.112.0.5"}, "spec": {"parentRef": parent}}
        await client.create(ADDRESSES, foreign)
        status, said = await client.ask("POST", SERVICES, service(clusterIP="10.112.0.5"))
        assert (status, "provided IP is already allocated" in said["message"]) == (422, True)
        await client.ask("DELETE", f"{CIDRS}/more")
        await client.until(f"{CIDRS}/more", gone)
        await client.get(f"{ADDRESSES}/10.112.0.5")

    with_server(tmp_path, test)


def test_creates_that_race_with_a_deletion_leave_no_address_without_a_network(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for turn in range(5):
            await make(client, "more", "10.112.0.0/24")

            async def create(i: int, turn: int = turn) -> None:
                await client.ask("POST", SERVICES, service(f"s{turn}-{i}", clusterIP=f"10.112.0.{i + 1}"))

            await asyncio.gather(
                *(create(i) for i in range(8)),
                client.ask("DELETE", f"{CIDRS}/more"),
                *(create(i) for i in range(8, 16)),
            )
            held = [
                item["metadata"]["name"]
                for item in (await client.get(ADDRESSES))["items"]
                if item["metadata"]["name"].startswith("10.112.")
            ]
            await client.until(f"{CIDRS}/more", blocked if held else gone)
            for item in (await client.get(SERVICES))["items"]:
                if item["spec"]["clusterIP"].startswith("10.112."):
                    await client.ask("DELETE", f"{SERVICES}/{item['metadata']['name']}")
            await client.until(f"{CIDRS}/more", gone)

    with_server(tmp_path, test)


def test_its_status_is_a_part_of_its_own(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await make(client, "more", "10.112.0.0/28")
        at = f"{CIDRS}/more"
        body = {
            "spec": {"cidrs": ["10.0.0.0/8"]},
            "status": {"conditions": []},
            "metadata": {"labels": {"a": "b"}},
        }
        status, answer = await client.patch(f"{at}/status", body)
        assert status == 200
        assert (answer["spec"]["cidrs"], "labels" in answer["metadata"]) == (["10.112.0.0/28"], False)
        await client.until(at, ready)
        _, answer = await client.patch(at, {"status": {"conditions": []}, "metadata": {"labels": {"a": "b"}}})
        assert (answer["metadata"]["labels"], condition(answer)[0]) == ({"a": "b"}, "True")
        await client.patch(at, {"metadata": {"finalizers": []}})
        await client.until(at, lambda _, found: found["metadata"].get("finalizers") == [FINALIZER])

    with_server(tmp_path, test)
