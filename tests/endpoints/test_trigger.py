"""The time of the change that led to a write (endpoints.kubernetes.io/last-change-trigger-time)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.endpoints.trigger import TriggerTimes
from fairlead.objects.core_v1 import Pod, Service

from .objects import pod, service

CREATED = "2026-11-23T08:00:00Z"


def web(created: str = CREATED) -> Service:
    made = service()
    return replace(made, metadata=replace(made.metadata, creationTimestamp=created))


def at(name: str, minute: int) -> Pod:
    return pod(name, "10.0.0.1", since=f"2026-11-23T09:{minute:02}:00Z")


def test_a_service_not_seen_before_is_triggered_by_its_creation() -> None:
    assert TriggerTimes().of(web(), [at("a", 5), at("b", 1)]) == CREATED


@pytest.mark.parametrize(
    ("case", "pods", "expected"),
    [
        ("nothing changed", [at("a", 1), at("b", 2)], ""),
        ("one pod changed", [at("a", 7), at("b", 2)], "2026-11-23T09:07:00Z"),
        ("of several the first", [at("a", 9), at("b", 8)], "2026-11-23T09:08:00Z"),
        ("a new pod", [at("a", 1), at("b", 2), at("c", 5)], "2026-11-23T09:05:00Z"),
        ("a pod went", [at("a", 1)], ""),
        ("a clock that went back", [at("a", 0), at("b", 2)], ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_new_since_the_last_look(case: str, pods: list[Pod], expected: str) -> None:
    whole, parts = TriggerTimes(), TriggerTimes()
    before = [at("a", 1), at("b", 2)]
    for times in (whole, parts):
        times.of(web(), before)
    assert whole.of(web(), pods) == expected, case
    names = {p.metadata.name: p for p in pods}
    assert parts.of_some(web(), {name: names.get(name) for name in ("a", "b", "c")}) == expected


def test_a_service_made_again_is_triggered_by_its_creation() -> None:
    times = TriggerTimes()
    times.of(web(), [])
    assert times.of(web("2026-11-23T12:00:00Z"), []) == "2026-11-23T12:00:00Z"
    times.forget("default/web")
    assert times.of(web(), []) == CREATED
