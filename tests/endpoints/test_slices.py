from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from fairlead.endpoints.plan import Options, plan_slices
from fairlead.endpoints.slices import HEADLESS, MANAGED_BY, SERVICE_NAME, TRIGGER_TIME
from fairlead.objects.core_v1 import Container, ContainerPort, Pod, PodIP, Service, ServicePort
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointPort
from fairlead.objects.meta_v1 import OwnerReference

from .objects import WEB, Stored, nodes, pod, service


def made(web: Service, *pods: Pod, limit: int = 100, triggered: str = "") -> Stored:
    stored = Stored()
    stored.apply(plan_slices(web, pods, nodes(), [], Options(limit, triggered=triggered)))
    return stored


def only(web: Service, *pods: Pod) -> Endpoint:
    (endpoint,) = made(web, *pods).endpoints()
    return endpoint


def replace_reason(evicted: Pod) -> Pod:
    return replace(evicted, status=replace(evicted.status, reason="Evicted"))


READY = EndpointConditions(ready=True, serving=True, terminating=False)
NOT_READY = EndpointConditions(ready=False, serving=False, terminating=False)


@pytest.mark.parametrize(
    ("case", "web", "candidate", "conditions"),
    [
        ("a ready pod", service(), pod("a", "10.244.1.2"), READY),
        ("a pod that is not ready", service(), pod("a", "10.244.1.2", ready=False), NOT_READY),
        (
            "a terminating pod that still serves",
            service(),
            pod("a", "10.244.1.2", deleted=True),
            EndpointConditions(ready=False, serving=True, terminating=True),
        ),
        (
            "a terminating pod that serves no more",
            service(),
            pod("a", "10.244.1.2", deleted=True, ready=False),
            EndpointConditions(ready=False, serving=False, terminating=True),
        ),
        (
            "a pod that is not ready, published",
            service(publishNotReadyAddresses=True),
            pod("a", "10.244.1.2", ready=False),
            EndpointConditions(ready=True, serving=False, terminating=False),
        ),
        (
            "a terminating pod, published",
            service(publishNotReadyAddresses=True),
            pod("a", "10.244.1.2", deleted=True),
            EndpointConditions(ready=True, serving=True, terminating=True),
        ),
        ("a pod that pends with an address", service(), pod("a", "10.244.1.2", phase="Pending"), READY),
        ("a failed pod", service(), pod("a", "10.244.1.2", phase="Failed"), None),
        ("an evicted pod", service(), replace_reason(pod("a", "10.244.1.2", phase="Failed")), None),
        ("a pod that succeeded", service(), pod("a", "10.244.1.2", phase="Succeeded"), None),
        ("a pod without an address", service(), pod("a"), None),
        ("a pod of the other family", service(), pod("a", "fd00::2"), None),
        ("a pod on a node that is not known", service(), pod("a", "10.244.1.2", node="gone"), None),
        (
            "a pod on a node that is not known, published",
            service(publishNotReadyAddresses=True),
            pod("a", "10.244.1.2", node="gone"),
            READY,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conditions(case: str, web: Service, candidate: Pod, conditions: EndpointConditions | None) -> None:
    assert [e.conditions for e in made(web, candidate).endpoints()] == ([conditions] if conditions else []), (
        case
    )


def test_an_endpoint_tells_pod_node_and_zone() -> None:
    endpoint = only(service(), pod("a", "10.244.2.3", node="node2"))
    assert endpoint.addresses == ("10.244.2.3",)
    assert (endpoint.nodeName, endpoint.zone, endpoint.hostname) == ("node2", "b", None)
    target = endpoint.targetRef
    assert target
    assert (target.kind, target.namespace, target.name, target.uid) == ("Pod", "default", "a", "uid-a")


@pytest.mark.parametrize(("subdomain", "expected"), [("web", "mysql-0"), ("other", None), ("", None)])
def test_a_hostname_counts_under_the_pods_own_subdomain(subdomain: str, expected: str | None) -> None:
    assert (
        only(service(), pod("a", "10.244.1.2", hostname="mysql-0", subdomain=subdomain)).hostname == expected
    )


def test_a_slice_says_whose_it_is() -> None:
    web = service(labels={"team": "shop", MANAGED_BY: "me", HEADLESS: "", SERVICE_NAME: "other"})
    (piece,) = made(web, pod("a", "10.244.1.2"), triggered="2026-11-23T09:00:00Z").all
    meta = piece.metadata
    assert meta.labels == {
        "team": "shop",
        SERVICE_NAME: "web",
        MANAGED_BY: "endpointslice-controller.k8s.io",
    }
    assert meta.annotations == {TRIGGER_TIME: "2026-11-23T09:00:00Z"}
    assert meta.ownerReferences == (
        OwnerReference(
            apiVersion="v1",
            kind="Service",
            name="web",
            uid="uid-web",
            controller=True,
            blockOwnerDeletion=True,
        ),
    )
    assert (meta.namespace, meta.generateName, piece.addressType) == ("default", "web-", "IPv4")
    assert piece.ports == (EndpointPort(name="http", port=8080, protocol="TCP"),)


def test_a_service_of_another_proxy_says_so_in_its_slices() -> None:
    """A proxy leaves such slices alone, so the label has to be carried over."""
    label = {"service.kubernetes.io/service-proxy-name": "other"}
    (piece,) = made(service(labels=label), pod("a", "10.244.1.2")).all
    assert label.items() <= piece.metadata.labels.items()


def test_annotations_of_the_service_are_not_the_slices() -> None:
    (piece,) = made(service(annotations={"a": "b"}), pod("a", "10.244.1.2")).all
    assert piece.metadata.annotations == {}


def test_annotations_that_others_made_stay_and_the_trigger_time_goes() -> None:
    stored = made(service(), pod("a", "10.244.1.2"), triggered="2026-11-23T09:00:00Z")
    (name,) = stored.slices
    piece = stored.slices[name]
    annotations = {**piece.metadata.annotations, "mine": "stays"}
    stored.slices[name] = replace(piece, metadata=replace(piece.metadata, annotations=annotations))
    stored.apply(plan_slices(service(), [pod("a", "10.244.1.2", ready=False)], nodes(), stored.all))
    assert stored.slices[name].metadata.annotations == {"mine": "stays"}


def test_pods_of_the_host_network_share_an_address() -> None:
    """Two pods of one node have one address; each is an endpoint of its own."""
    first, second = (pod(name, "192.168.1.10", hostNetwork=True) for name in ("a", "b"))
    stored = made(service(), first, second)
    assert stored.addresses() == ["192.168.1.10", "192.168.1.10"]
    assert sorted(e.targetRef.name for e in stored.endpoints() if e.targetRef) == ["a", "b"]
    stored.apply(plan_slices(service(), [second], nodes(), stored.all))
    assert [e.targetRef and e.targetRef.name for e in stored.endpoints()] == ["b"]


def test_a_pod_that_takes_over_a_dead_pods_address_is_another_endpoint() -> None:
    stored = made(service(), pod("a", "10.244.1.2"))
    plan = plan_slices(service(), [pod("b", "10.244.1.2")], nodes(), stored.all)
    assert (len(plan), len(plan.update), plan.added, plan.removed) == (1, 1, 1, 1)


def test_a_pod_made_again_under_its_name_is_told_by_its_uid() -> None:
    stored = made(service(), pod("web-0", "10.244.1.2"))
    again = pod("web-0", "10.244.1.2")
    again = replace(again, metadata=replace(again.metadata, uid="uid-again"))
    plan = plan_slices(service(), [again], nodes(), stored.all)
    assert [e.targetRef and e.targetRef.uid for s in plan.update for e in s.endpoints] == ["uid-again"]


def test_what_does_not_fill_a_slice_goes_into_the_one_that_it_fills_best() -> None:
    stored = made(service(), *numbered(150))  # one slice is full, one half
    plan = plan_slices(service(), numbered(280), nodes(), stored.all)
    stored.apply(plan)
    assert sorted(len(s.endpoints) for s in stored.all) == [80, 100, 100]
    assert (len(plan.create), len(plan.update)) == (1, 1)


def test_a_headless_service_is_labelled_so() -> None:
    (piece,) = made(service(clusterIP="None"), pod("a", "10.244.1.2")).all
    assert piece.metadata.labels[HEADLESS] == ""


def test_a_headless_service_needs_no_ports() -> None:
    headless = replace(service(), spec=replace(service().spec, clusterIP="None", ports=()))
    (piece,) = made(headless, pod("a", "10.244.1.2")).all
    assert (piece.ports, piece.endpoints[0].addresses) == ((), ("10.244.1.2",))


def test_a_selector_that_matches_nothing_has_one_empty_slice_and_keeps_it() -> None:
    stored = made(service())
    (piece,) = stored.all
    assert (piece.endpoints, piece.ports) == ((), ())
    assert not plan_slices(service(), [], nodes(), stored.all)


def test_the_empty_slice_is_filled_and_emptied_under_its_name() -> None:
    stored = made(service())
    (name,) = stored.slices
    for pods in ([pod("a", "10.244.1.2")], []):
        plan = plan_slices(service(), pods, nodes(), stored.all)
        assert (len(plan), len(plan.update)) == (1, 1)
        stored.apply(plan)
        assert list(stored.slices) == [name]


def test_each_family_has_its_slices() -> None:
    both = pod("a", "10.244.1.2")
    both = replace(both, status=replace(both.status, podIPs=(PodIP(ip="10.244.1.2"), PodIP(ip="FD00:0::2"))))
    stored = made(service(ipFamilies=("IPv4", "IPv6")), both)
    assert {s.addressType: s.endpoints[0].addresses for s in stored.all} == {
        "IPv4": ("10.244.1.2",),
        "IPv6": ("fd00::2",),
    }
    plan = plan_slices(service(), [both], nodes(), stored.all)
    assert [s.addressType for s in plan.delete] == ["IPv6"], "the Service is of one family now"


def test_a_family_without_addresses_keeps_its_empty_slice() -> None:
    """A dual-stack Service on nodes of one family, as in the middle of a migration."""
    web = service(ipFamilies=("IPv4", "IPv6"))
    stored = made(web, pod("a", "10.244.1.2"))
    assert {s.addressType: (len(s.endpoints), s.ports) for s in stored.all} == {
        "IPv4": (1, (EndpointPort(name="http", port=8080, protocol="TCP"),)),
        "IPv6": (0, ()),
    }
    assert not plan_slices(web, [pod("a", "10.244.1.2")], nodes(), stored.all)


HTTP = ServicePort(name="http", protocol="TCP", port=80, targetPort="http")


def named(port: int, name: str = "http", protocol: str = "TCP") -> ContainerPort:
    return ContainerPort(name=name, containerPort=port, protocol=protocol)


@pytest.mark.parametrize(
    ("case", "ports", "candidate", "numbers"),
    [
        ("a number", [WEB], pod("a", "10.0.0.1"), [8080]),
        ("none: the Service's port", [ServicePort(port=80, protocol="TCP")], pod("a", "10.0.0.1"), [80]),
        ("a name", [HTTP], pod("a", "10.0.0.1", ports=[named(8080)]), [8080]),
        (
            "a name without protocol is TCP",
            [HTTP],
            pod("a", "10.0.0.1", ports=[named(8080, protocol="")]),
            [8080],
        ),
        ("a name of another protocol", [HTTP], pod("a", "10.0.0.1", ports=[named(8080, protocol="UDP")]), []),
        ("a name that the pod does not have", [HTTP, WEB], pod("a", "10.0.0.1"), [8080]),
        (
            "a sidecar's name",
            [HTTP],
            pod(
                "a",
                "10.0.0.1",
                initContainers=(Container(name="s", restartPolicy="Always", ports=(named(9090),)),),
            ),
            [9090],
        ),
        (
            "an init container's name",
            [HTTP],
            pod("a", "10.0.0.1", initContainers=(Container(name="s", ports=(named(9090),)),)),
            [],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_target_ports(case: str, ports: Sequence[ServicePort], candidate: Pod, numbers: list[int]) -> None:
    (piece,) = made(service("web", *ports), candidate).all
    assert [p.port for p in piece.ports] == numbers, case
    assert len(piece.endpoints) == 1


def test_named_ports_that_differ_from_pod_to_pod_have_a_slice_each() -> None:
    stored = made(
        service("web", HTTP),
        pod("a", "10.0.0.1", ports=[named(8080)]),
        pod("b", "10.0.0.2", ports=[named(9090)]),
        pod("c", "10.0.0.3", ports=[named(8080)]),
    )
    found = {s.ports[0].port: sorted(e.addresses[0] for e in s.endpoints) for s in stored.all}
    assert found == {8080: ["10.0.0.1", "10.0.0.3"], 9090: ["10.0.0.2"]}


def numbered(count: int) -> list[Pod]:
    return [pod(f"p{n}", f"10.244.{n // 250}.{n % 250 + 1}") for n in range(count)]


def test_a_slice_holds_a_hundred() -> None:
    stored = made(service(), *numbered(250))
    assert sorted(len(s.endpoints) for s in stored.all) == [50, 100, 100]


@pytest.mark.parametrize("change", ["ready", "gone", "added", "moved"])
def test_a_change_of_one_pod_is_one_write(change: str) -> None:
    pods = numbered(250)
    stored = made(service(), *pods)
    match change:
        case "ready":
            pods[7] = pod("p7", "10.244.0.8", ready=False)
        case "gone":
            del pods[7]
        case "added":
            pods.append(pod("new", "10.244.9.9"))
        case "moved":
            pods[7] = pod("p7", "10.244.9.9")
    plan = plan_slices(service(), pods, nodes(), stored.all)
    assert (len(plan), len(plan.update)) == (1, 1)


def test_a_rolling_update_of_a_whole_slice_is_one_write() -> None:
    stored = made(service(), *numbered(30))
    newer = [pod(f"new{n}", f"10.245.0.{n + 1}") for n in range(30)]
    plan = plan_slices(service(), newer, nodes(), stored.all)
    assert (len(plan), len(plan.update)) == (1, 1)


def test_changed_labels_of_the_service_reach_its_slices() -> None:
    stored = made(service(), *numbered(150))
    plan = plan_slices(service(labels={"team": "shop"}), numbered(150), nodes(), stored.all)
    assert len(plan.update) == len(plan) == 2
    assert all(s.metadata.labels["team"] == "shop" for s in plan.update)


def test_slices_of_an_earlier_service_of_the_name_go() -> None:
    stored = made(service(), pod("a", "10.244.1.2"))
    web = service()
    again = replace(web, metadata=replace(web.metadata, uid="uid-again"))
    plan = plan_slices(again, [pod("a", "10.244.1.2")], nodes(), stored.all)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (1, 0, 1)


def test_duplicates_left_by_a_crash_go() -> None:
    stored = made(service(), pod("a", "10.244.1.2"))
    stored.apply(plan_slices(service(), [pod("a", "10.244.1.2")], nodes(), []))
    stored.apply(plan_slices(service(), [pod("a", "10.244.1.2")], nodes(), stored.all))
    assert stored.addresses() == ["10.244.1.2"]


def test_a_service_that_is_being_deleted_gets_no_new_slices() -> None:
    web = service()
    web = replace(web, metadata=replace(web.metadata, deletionTimestamp="2026-11-23T10:00:00Z"))
    assert not plan_slices(web, [pod("a", "10.244.1.2")], nodes(), [])


@pytest.mark.parametrize(
    ("case", "ip", "ipv4", "ipv6"),
    [
        ("as usual", "10.0.0.1,fd00::1", ["10.0.0.1"], ["fd00::1"]),
        ("leading zeros", "010.000.0.1", ["10.0.0.1"], []),
        ("in full", "FD00:0:0:0:0:0:0:1", [], ["fd00::1"]),
        ("IPv4 within IPv6", "::ffff:10.0.0.1", ["10.0.0.1"], []),
        ("no address at all", "nowhere", [], []),
        ("one of a pair is none", "10.0.0.1,nowhere", ["10.0.0.1"], []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_addresses_are_read_as_go_reads_them(case: str, ip: str, ipv4: list[str], ipv6: list[str]) -> None:
    """What a foreign kubelet reports must never stop a Service's other pods from being endpoints."""
    stored = Stored()
    web = service(ipFamilies=("IPv4", "IPv6"))
    stored.apply(plan_slices(web, [pod("a", ip), pod("b", "10.0.0.9,fd00::9")], nodes(), []))
    found = {
        f: sorted(e.addresses[0] for s in stored.all if s.addressType == f for e in s.endpoints)
        for f in ("IPv4", "IPv6")
    }
    assert found == {"IPv4": sorted([*ipv4, "10.0.0.9"]), "IPv6": sorted([*ipv6, "fd00::9"])}, case


def test_pods_on_nodes_that_are_not_known_are_named() -> None:
    pods = [
        pod("a", "10.0.0.1", node="gone"),
        pod("b", "10.0.0.2"),
        pod("ended", "10.0.0.3", phase="Failed", node="gone"),
    ]
    assert plan_slices(service(), pods, nodes(), []).stranded == {("a", "gone")}
    assert not plan_slices(service(publishNotReadyAddresses=True), pods, nodes(), []).stranded
