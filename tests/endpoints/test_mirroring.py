from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.endpoints.mirroring import LAST_APPLIED, LEADER, SKIP, complaints, plan_mirror
from fairlead.endpoints.slices import MANAGED_BY, SERVICE_NAME
from fairlead.objects.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service
from fairlead.objects.discovery_v1 import EndpointConditions
from fairlead.objects.meta_v1 import ObjectMeta

from .objects import Stored, service

DATABASE = service("external-database", selector={})


def subset(*ips: str, port: int = 5432, not_ready: tuple[str, ...] = ()) -> EndpointSubset:
    return EndpointSubset(
        addresses=tuple(EndpointAddress(ip=ip) for ip in ips),
        notReadyAddresses=tuple(EndpointAddress(ip=ip) for ip in not_ready),
        ports=(EndpointPort(port=port, protocol="TCP"),),
    )


def handmade(
    *subsets: EndpointSubset, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> Endpoints:
    return Endpoints(
        metadata=ObjectMeta(
            name="external-database",
            namespace="default",
            uid="uid-e",
            labels=labels or {},
            annotations=annotations or {},
        ),
        subsets=subsets,
    )


TWO = handmade(subset("192.168.1.100", "192.168.1.101"))


def mirrored(endpoints: Endpoints = TWO) -> Stored:
    stored = Stored()
    stored.apply(plan_mirror(endpoints, DATABASE, []).plan)
    return stored


def test_the_seeds_external_database() -> None:
    (piece,) = mirrored().all
    assert [e.addresses for e in piece.endpoints] == [("192.168.1.100",), ("192.168.1.101",)]
    assert all(e.conditions == EndpointConditions(ready=True) for e in piece.endpoints)
    assert [(p.name, p.port, p.protocol) for p in piece.ports] == [("", 5432, "TCP")]
    assert piece.metadata.labels == {
        SERVICE_NAME: "external-database",
        MANAGED_BY: "endpointslicemirroring-controller.k8s.io",
    }
    (owner,) = piece.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.uid) == ("Endpoints", "external-database", "uid-e")


def test_the_plan_of_a_plan_is_empty() -> None:
    assert not plan_mirror(TWO, DATABASE, mirrored().all).plan


def test_an_update_keeps_the_name() -> None:
    stored = mirrored()
    names = list(stored.slices)
    for newer in (handmade(subset("192.168.1.102")), handmade(subset("192.168.1.102", port=5433))):
        plan = plan_mirror(newer, DATABASE, stored.all).plan
        assert (len(plan), len(plan.update)) == (1, 1)
        stored.apply(plan)
        assert list(stored.slices) == names
    assert stored.addresses() == ["192.168.1.102"]


def test_not_ready_addresses_are_not_ready() -> None:
    stored = mirrored(handmade(subset("192.168.1.100", not_ready=("192.168.1.101",))))
    assert [e.conditions and e.conditions.ready for e in stored.endpoints()] == [True, False]


def test_each_subset_and_family_has_a_slice() -> None:
    stored = mirrored(handmade(subset("192.168.1.100", "fd00::1"), subset("192.168.1.100", port=5433)))
    found = sorted((s.addressType, s.ports[0].port, s.endpoints[0].addresses[0]) for s in stored.all)
    assert found == [
        ("IPv4", 5432, "192.168.1.100"),
        ("IPv4", 5433, "192.168.1.100"),
        ("IPv6", 5432, "fd00::1"),
    ]


def test_the_same_addresses_under_two_ports_are_one_mirror() -> None:
    stored = mirrored(handmade(subset("192.168.1.100"), subset("192.168.1.100", port=5433)))
    (piece,) = stored.all
    assert [p.port for p in piece.ports] == [5432, 5433]
    assert stored.addresses() == ["192.168.1.100"]


def test_an_address_ready_here_and_not_ready_there_is_not_ready() -> None:
    stored = mirrored(handmade(subset("192.168.1.100"), subset(not_ready=("192.168.1.100",))))
    assert [e.conditions and e.conditions.ready for e in stored.endpoints()] == [False]


def test_addresses_in_an_old_form_are_mirrored_in_the_usual_one() -> None:
    """Go once read leading zeros so, and the API still takes them in Endpoints."""
    stored = mirrored(handmade(subset("192.168.001.100", "FD00::0:1")))
    assert stored.addresses() == ["192.168.1.100", "fd00::1"]


def test_a_mirror_that_another_controller_wrote_in_its_order_is_right() -> None:
    (piece,) = mirrored().all
    assert not plan_mirror(TWO, DATABASE, [replace(piece, endpoints=piece.endpoints[::-1])]).plan


def test_labels_and_annotations_are_carried_over() -> None:
    stored = mirrored(
        replace(
            TWO, metadata=replace(TWO.metadata, labels={"a": "b"}, annotations={"c": "d", LAST_APPLIED: "{}"})
        )
    )
    (piece,) = stored.all
    assert piece.metadata.labels["a"] == "b"
    assert piece.metadata.annotations == {"c": "d"}


@pytest.mark.parametrize(
    ("case", "endpoints", "database"),
    [
        ("the Endpoints are gone", None, DATABASE),
        ("the Service is gone", TWO, None),
        ("the Service has a selector now", TWO, service("external-database")),
        ("they ask to be skipped", handmade(subset("192.168.1.100"), labels={SKIP: "true"}), DATABASE),
        ("they elect a leader", handmade(subset("192.168.1.100"), annotations={LEADER: "{}"}), DATABASE),
        ("they are empty", handmade(), DATABASE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mirrors_go_when(case: str, endpoints: Endpoints | None, database: Service | None) -> None:
    stored = mirrored()
    stored.apply(plan_mirror(endpoints, database, stored.all).plan)
    assert stored.all == [], case
    assert not plan_mirror(endpoints, database, []).plan


def test_what_a_mirror_leaves_out_is_counted_and_told() -> None:
    mirror = plan_mirror(
        handmade(subset("192.168.1.1", "no-address", "192.168.1.2", "192.168.1.3")), DATABASE, [], limit=2
    )
    assert (mirror.invalid, mirror.surplus, mirror.plan.added) == (1, 1, 2)
    assert complaints(mirror, 2) == [
        ("InvalidIPAddress", "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"),
        (
            "TooManyAddressesToMirror",
            "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset."
            " 2 addresses were skipped",
        ),
    ]


def test_a_mirror_counts_what_it_changes() -> None:
    stored = mirrored()
    mirror = plan_mirror(
        handmade(subset("192.168.1.102", not_ready=("192.168.1.100",))), DATABASE, stored.all
    )
    assert (mirror.plan.added, mirror.updated, mirror.plan.removed) == (1, 1, 1)
