from __future__ import annotations

from itertools import permutations

from msgspec.structs import replace

from fairlead.endpoints.endpoints import MANAGED_BY, OVER_CAPACITY, plan_endpoints
from fairlead.endpoints.roster import CAPACITY, Roster, repack
from fairlead.endpoints.slices import HEADLESS, TRIGGER_TIME
from fairlead.objects.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Pod,
    Service,
    ServicePort,
)

from .objects import pod, service
from .test_slices import HTTP, named


def planned(web: Service, *pods: Pod) -> Endpoints:
    wanted = again(None, *pods, web=web)
    assert wanted is not None
    return wanted


def again(
    current: Endpoints | None, *pods: Pod, web: Service | None = None, at: str = ""
) -> Endpoints | None:
    """The plan for these pods, given what there is."""
    web = web or service()
    return plan_endpoints(web, Roster.of(web, pods), current, triggered=at)


def ips(addresses: tuple[EndpointAddress, ...]) -> list[str]:
    return [address.ip for address in addresses]


def test_not_ready_pods_stand_under_not_ready_addresses() -> None:
    """The example of the seed: three pods of my-service, the third not ready."""
    wanted = planned(
        service("my-service", replace(HTTP, targetPort=8080)),
        pod("my-pod-1", "10.244.1.2", node="node1"),
        pod("my-pod-3", "10.244.3.4", node="node3", ready=False),
        pod("my-pod-2", "10.244.2.3", node="node2"),
    )
    (subset,) = wanted.subsets
    assert [(a.ip, a.nodeName, a.targetRef and a.targetRef.name) for a in subset.addresses] == [
        ("10.244.1.2", "node1", "my-pod-1"),
        ("10.244.2.3", "node2", "my-pod-2"),
    ]
    assert [(a.ip, a.nodeName) for a in subset.notReadyAddresses] == [("10.244.3.4", "node3")]
    assert subset.ports == (EndpointPort(name="http", port=8080, protocol="TCP"),)
    assert (wanted.metadata.name, wanted.metadata.namespace) == ("my-service", "default")


def test_labels_are_the_services_and_ours() -> None:
    assert planned(service(labels={"team": "shop"})).metadata.labels == {
        "team": "shop",
        MANAGED_BY: "endpoint-controller",
    }
    assert planned(service(clusterIP="None")).metadata.labels[HEADLESS] == ""


def test_who_is_left_out() -> None:
    pods = (
        pod("ready", "10.0.0.1"),
        pod("terminating", "10.0.0.2", deleted=True),
        pod("succeeded", "10.0.0.3", phase="Succeeded"),
        pod("no address"),
        pod("not ready", "10.0.0.4", ready=False),
        pod("on an unknown node", "10.0.0.5", node="gone"),
    )
    (subset,) = planned(service(), *pods).subsets
    assert (ips(subset.addresses), ips(subset.notReadyAddresses)) == (["10.0.0.1", "10.0.0.5"], ["10.0.0.4"])
    (subset,) = planned(service(publishNotReadyAddresses=True), *pods).subsets
    assert ips(subset.addresses) == ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5"]
    assert subset.notReadyAddresses == ()


def test_no_pods_no_subsets() -> None:
    assert planned(service()).subsets == ()


def test_a_headless_service_without_ports_has_a_subset_without_ports() -> None:
    headless = replace(service(), spec=replace(service().spec, clusterIP="None", ports=()))
    (subset,) = planned(headless, pod("a", "10.0.0.1")).subsets
    assert (ips(subset.addresses), subset.ports) == (["10.0.0.1"], ())


def test_a_headless_service_whose_named_port_no_pod_has_has_no_subset() -> None:
    """Only a Service that asks for no port is content without one."""
    assert planned(service("web", HTTP, clusterIP="None"), pod("a", "10.0.0.1")).subsets == ()


def test_ports_that_all_pods_share_stand_in_one_subset() -> None:
    web = service("web", HTTP, ServicePort(name="metrics", protocol="TCP", port=9100, targetPort=9100))
    pods = [pod("a", "10.0.0.1", ports=[named(8080)]), pod("b", "10.0.0.2", ports=[named(9090)])]
    found = {tuple(p.port for p in s.ports): ips(s.addresses) for s in planned(web, *pods).subsets}
    assert found == {(8080,): ["10.0.0.1"], (9090,): ["10.0.0.2"], (9100,): ["10.0.0.1", "10.0.0.2"]}


def test_the_order_of_the_pods_does_not_show() -> None:
    pods = [pod(name, f"10.0.0.{n}", ports=[named(8080 + n % 2)]) for n, name in enumerate("abcd", 1)]
    assert len({planned(service("web", HTTP), *order).subsets for order in permutations(pods)}) == 1


def test_an_address_not_ready_anywhere_is_not_ready() -> None:
    address, port = EndpointAddress(ip="10.0.0.1"), EndpointPort(port=80)
    (subset,) = repack(
        [
            EndpointSubset(addresses=(address,), ports=(port,)),
            EndpointSubset(notReadyAddresses=(address,), ports=(port,)),
        ]
    )
    assert (subset.addresses, subset.notReadyAddresses) == ((), (address,))


def test_no_write_without_a_change() -> None:
    pods = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ready=False)]
    current = again(None, *pods, at="2026-11-23T09:00:00Z")
    assert current is not None
    assert (
        plan_endpoints(
            service(), Roster.of(service(), reversed(pods)), current, triggered="2026-11-23T09:30:00Z"
        )
        is None
    )


def test_a_write_keeps_what_others_noted() -> None:
    current = planned(service(), pod("a", "10.0.0.1"))
    meta = replace(
        current.metadata,
        resourceVersion="7",
        annotations={"mine": "stays", TRIGGER_TIME: "2026-11-23T08:00:00Z"},
    )
    wanted = plan_endpoints(
        service(), Roster.of(service(), []), replace(current, metadata=meta), triggered="2026-11-23T09:00:00Z"
    )
    assert wanted is not None
    assert wanted.metadata.annotations == {"mine": "stays", TRIGGER_TIME: "2026-11-23T09:00:00Z"}
    assert wanted.metadata.resourceVersion == "7"


def test_over_a_thousand_the_ready_ones_come_first() -> None:
    pods = [pod(f"p{n}", f"10.{n // 250}.0.{n % 250 + 1}", ready=n % 3 > 0) for n in range(1200)]
    wanted = planned(service(), *pods)
    (subset,) = wanted.subsets
    assert (len(subset.addresses), len(subset.notReadyAddresses)) == (800, 200)
    assert wanted.metadata.annotations == {OVER_CAPACITY: "truncated"}
    assert again(wanted, *pods) is None
    (subset,) = planned(service(), *(replace_ready(p) for p in pods)).subsets
    assert (len(subset.addresses), len(subset.notReadyAddresses)) == (CAPACITY, 0)


def replace_ready(one: Pod) -> Pod:
    return pod(one.metadata.name, one.status.podIP)
