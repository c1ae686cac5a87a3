"""Disorder between Services and what is reserved for them: what is found, said, and mended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from fairlead.apiserver.allocation import ports_of
from fairlead.apiserver.disorder import Finding, judge_address, judge_port, judge_reservation
from fairlead.objects.core_v1 import Service
from fairlead.objects.networking_v1 import IPAddress
from fairlead.store import Change, open_store
from tests.apiserver.serving import SECONDS, Client, service, with_server

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
EVENTS = "/api/v1/namespaces/default/events"
LABELS = {
    "ipaddress.kubernetes.io/ip-family": "IPv4",
    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
}
WEB = {"resource": "services", "namespace": "default", "name": "web"}
GATEWAY = {
    "group": "gateway.networking.k8s.io",
    "resource": "gateways",
    "namespace": "default",
    "name": "web",
}


def a_service(name: str = "web", address: str = "10.96.0.9", node_port: int = 0) -> Service:
    spec = {
        "type": "NodePort" if node_port else "ClusterIP",
        "clusterIP": address,
        "clusterIPs": [address],
        "ports": [{"port": 80, "nodePort": node_port}],
    }
    return msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": spec}, Service)


def held(
    parent: Mapping[str, str] = WEB, labels: Mapping[str, str] = LABELS, name: str = "10.96.0.9"
) -> IPAddress:
    return msgspec.convert(
        {"metadata": {"name": name, "labels": labels}, "spec": {"parentRef": parent}}, IPAddress
    )


OTHER = {**WEB, "name": "other"}
ELSEWHERE = a_service("other", "10.96.0.10")
SAME = a_service("other")


@pytest.mark.parametrize(
    ("about", "reservation", "other", "in_range", "expected"),
    [
        (a_service(), held(), None, True, None),
        (
            a_service(),
            None,
            None,
            True,
            Finding("ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.96.0.9 is not allocated; repairing"),
        ),
        (
            a_service(),
            held(GATEWAY, {}),
            None,
            True,
            Finding(
                "ClusterIPNotAllocated",
                "the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
            ),
        ),
        (
            a_service(),
            held(OTHER),
            None,
            True,
            Finding(
                "ClusterIPNotAllocated",
                "the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
            ),
        ),
        (
            a_service(),
            held(OTHER),
            ELSEWHERE,
            True,
            Finding(
                "ClusterIPNotAllocated",
                "the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
            ),
        ),
        (
            a_service(),
            held(OTHER),
            SAME,
            True,
            Finding(
                "ClusterIPAlreadyAllocated",
                "Cluster IP [IPv4]:10.96.0.9 was assigned to multiple services; please recreate service",
                mend=False,
            ),
        ),
        (a_service(), held(labels={}), None, True, Finding("", "")),
        (
            a_service(),
            held(labels=LABELS | {"ipaddress.kubernetes.io/ip-family": "IPv6"}),
            None,
            True,
            Finding("", ""),
        ),
        (
            a_service(),
            None,
            None,
            False,
            Finding(
                "ClusterIPOutOfRange",
                "Cluster IP [IPv4]: 10.96.0.9 is not within any configured Service CIDR; please recreate service",
                mend=False,
            ),
        ),
    ],
    ids=[
        "in order",
        "not reserved",
        "reserved for another kind",
        "reserved for a Service that is gone",
        "reserved for a Service with another address",
        "two Services have it",
        "without labels",
        "with the label of the other family",
        "out of every network",
    ],
)
def test_addresses_of_services(
    about: Service,
    reservation: IPAddress | None,
    other: Service | None,
    in_range: bool,
    expected: Finding | None,
) -> None:
    assert judge_address(about, "10.96.0.9", reservation, other, in_range=in_range) == expected


@pytest.mark.parametrize(
    ("reservation", "owner", "age", "reason"),
    [
        (held(), a_service(), 1.0, None),
        (held(), None, 59.0, None),
        (held(), None, 61.0, "IPAddressNotAllocated"),
        (held(), ELSEWHERE, 1.0, "IPAddressWrongReference"),
        (held(GATEWAY), None, 1.0, "IPAddressNotAllocated"),
        (held(GATEWAY, {}), None, 1e6, None),
        (held(labels={"ipaddress.kubernetes.io/managed-by": "example.com"}), None, 1e6, None),
    ],
    ids=[
        "in order",
        "young",
        "leaked",
        "of another address",
        "for another kind",
        "another's",
        "managed by another",
    ],
)
def test_reservations_of_addresses(
    reservation: IPAddress, owner: Service | None, age: float, reason: str | None
) -> None:
    found = judge_reservation(reservation, owner, age)
    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    ("number", "holder", "other", "expected"),
    [
        (30001, b"default/web", None, None),
        (30001, None, None, Finding("PortNotAllocated", "Port 30001 is not allocated; repairing")),
        (
            30001,
            b"default/other",
            None,
            Finding("PortNotAllocated", "Port 30001 is not allocated; repairing"),
        ),
        (
            30001,
            b"default/other",
            a_service("other", node_port=30001),
            Finding(
                "PortAlreadyAllocated",
                "Port 30001 was assigned to multiple services; please recreate service",
                mend=False,
            ),
        ),
        (
            80,
            b"default/web",
            None,
            Finding(
                "PortOutOfRange",
                "Port 80 is not within the port range 30000-32767; please recreate service",
                mend=False,
            ),
        ),
    ],
    ids=["in order", "not reserved", "of a Service that is gone", "two Services have it", "out of range"],
)
def test_node_ports_of_services(
    number: int, holder: bytes | None, other: Service | None, expected: Finding | None
) -> None:
    found = judge_port(a_service(node_port=number), number, holder, other, ports_of(30000, 32767))
    assert found == expected


# ---- with a server --------------------------------------------------------------------------------------------------


async def told(client: Client, *wanted: tuple[str, str]) -> None:
    """Waits for Events with these reasons about objects of these names."""

    def there(status: int, answer: Any) -> bool:
        found = {(item["reason"], item["involvedObject"]["name"]) for item in answer["items"]}
        return set(wanted) <= found

    await client.until(EVENTS, there)


def change(directory: Path, *changes: Change) -> None:
    """Writes into the store past the server, which does not run."""

    async def main() -> None:
        async with await open_store(f"sqlite:{directory / 'store.db'}") as store:
            await store.commit([], changes)

    uvloop.run(main())


def stored(**obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def an_address(name: str, parent: Mapping[str, str], made: str, labels: Mapping[str, str] = LABELS) -> Change:
    value = stored(
        kind="IPAddress",
        apiVersion="networking.k8s.io/v1",
        metadata={"name": name, "uid": name, "creationTimestamp": made, "labels": labels},
        spec={"parentRef": parent},
    )
    return Change(f"/ipaddresses.networking.k8s.io/{name}", value)


def test_what_is_in_disorder_at_the_start_is_mended_and_told(tmp_path: Path) -> None:
    held_before: dict[str, Any] = {}

    async def before(client: Client) -> None:
        spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30200}]}
        for name, address in (("web", "10.96.3.1"), ("twin", "10.96.3.2")):
            await client.create(SERVICES, service(name, clusterIP=address))
        await client.create(SERVICES, service("ports", clusterIP="10.96.3.3", **spec))
        held_before.update(await client.get(f"{SERVICES}/twin"))

    with_server(tmp_path, before)
    copy = json.loads(json.dumps(held_before))
    copy["metadata"] |= {"name": "copy", "uid": "copy"}
    del copy["metadata"]["resourceVersion"]
    stray = json.loads(json.dumps(copy))
    stray["metadata"] |= {"name": "stray", "uid": "stray"}
    stray["spec"] |= {"clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1"]}
    change(
        tmp_path,
        Change("/ipaddresses.networking.k8s.io/10.96.3.1", None),
        Change("/services/default/copy", stored(**copy)),
        Change("/services/default/stray", stored(**stray)),
        Change("/allocations/nodeports/30200", None),
        Change("/allocations/nodeports/30300", b"default/web"),
        an_address("10.96.9.1", {**WEB, "name": "gone"}, "2020-01-01T00:00:00Z"),
        an_address("10.96.9.2", WEB, "2020-01-01T00:00:00Z"),
        an_address("10.96.9.3", GATEWAY, "2020-01-01T00:00:00Z", {}),
    )

    async def after(client: Client) -> None:
        await told(
            client,
            ("ClusterIPNotAllocated", "web"),
            ("ClusterIPAlreadyAllocated", "copy"),
            ("ClusterIPOutOfRange", "stray"),
            ("PortNotAllocated", "ports"),
            ("IPAddressNotAllocated", "10.96.9.1"),
            ("IPAddressWrongReference", "10.96.9.2"),
        )
        names = {item["metadata"]["name"] for item in (await client.get(ADDRESSES))["items"]}
        assert names == {"10.96.0.1", "10.96.3.1", "10.96.3.2", "10.96.3.3", "10.96.9.3"}
        assert (await client.get(f"{ADDRESSES}/10.96.3.2"))["spec"]["parentRef"]["name"] == "twin"

        async with asyncio.timeout(SECONDS):
            while True:  # the pass comes to node ports last, and tells nobody of those that were leaked
                wanted = service("free", type="NodePort", ports=[{"port": 80, "nodePort": 30300}])
                if (await client.ask("POST", f"{SERVICES}?dryRun=All", wanted))[0] == 201:
                    break
                await asyncio.sleep(0.01)
        status, said = await client.ask(
            "POST", SERVICES, service("late", type="NodePort", ports=[{"port": 80, "nodePort": 30200}])
        )
        assert (status, "provided port is already allocated" in said["message"]) == (422, True)

    with_server(tmp_path, after)


def test_an_address_that_somebody_deletes_or_changes_comes_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(SERVICES, service())
        at = f"{ADDRESSES}/{made['spec']['clusterIP']}"
        first = await client.get(at)
        await client.ask("DELETE", at)
        again = await client.until(at, lambda status, _: status == 200)
        assert again["metadata"]["uid"] != first["metadata"]["uid"]
        assert (again["spec"], again["metadata"]["labels"]) == (first["spec"], first["metadata"]["labels"])
        await told(client, ("ClusterIPNotAllocated", "web"))
        await client.patch(
            at, {"metadata": {"labels": {"ipaddress.kubernetes.io/managed-by": "me", "a": "b"}}}
        )
        mended = await client.until(
            at, lambda _, found: found["metadata"]["labels"].get("ipaddress.kubernetes.io/managed-by") != "me"
        )
        assert mended["metadata"]["labels"] == {**first["metadata"]["labels"], "a": "b"}
        assert mended["metadata"]["uid"] == again["metadata"]["uid"]

    with_server(tmp_path, test)


def test_what_was_written_past_the_api_does_not_stop_the_server(tmp_path: Path) -> None:
    async def before(client: Client) -> None:
        await client.create(SERVICES, service(clusterIP="10.96.3.1"))

    with_server(tmp_path, before)
    cidr = stored(
        kind="ServiceCIDR",
        apiVersion="networking.k8s.io/v1",
        metadata={"name": "odd", "uid": "odd"},
        spec={"cidrs": ["10.0.0.1/8"]},
    )
    odd = stored(
        kind="Service",
        apiVersion="v1",
        metadata={"name": "odd", "namespace": "default", "uid": "odd"},
        spec={"type": "ClusterIP", "clusterIP": "nonsense", "clusterIPs": ["nonsense"]},
    )
    change(
        tmp_path,
        Change("/servicecidrs.networking.k8s.io/odd", cidr),
        Change("/services/default/odd", odd),
        Change("/ipaddresses.networking.k8s.io/10.96.3.1", None),
    )

    async def after(client: Client) -> None:
        await told(client, ("ClusterIPNotValid", "odd"), ("ClusterIPNotAllocated", "web"))
        await client.create(SERVICES, service("next"))

    with_server(tmp_path, after)
