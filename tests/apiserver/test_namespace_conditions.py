"""What the status of a namespace says of what is left in it, as a table."""

from __future__ import annotations

import pytest

from fairlead.apiserver.namespaceconditions import Remains, conditions
from fairlead.objects.core_v1 import NamespaceCondition

CONTENT, FINALIZERS, FAILURE = (
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
    "NamespaceDeletionContentFailure",
)
FINE = {
    "NamespaceDeletionDiscoveryFailure": "ResourcesDiscovered: All resources successfully discovered",
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions: All legacy kube types successfully parsed"
    ),
    FAILURE: "ContentDeleted: All content successfully deleted, may be waiting on finalization",
    CONTENT: "ContentRemoved: All content successfully removed",
    FINALIZERS: "ContentHasNoFinalizers: All content-preserving finalizers finished",
}


def remains(*left: tuple[str, str, tuple[str, ...]], failures: tuple[str, ...] = ()) -> Remains:
    found = Remains(failures=list(failures))
    for resource, group, finalizers in left:
        found.add(resource, group, finalizers)
    return found


@pytest.mark.parametrize(
    ("left", "wrong"),
    [
        pytest.param(remains(), {}, id="nothing"),
        pytest.param(
            remains(("pods", "", ()), ("pods", "", ())),
            {CONTENT: "SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances"},
            id="pods that end",
        ),
        pytest.param(
            remains(
                ("widgets", "example.com", ("example.com/hold", "example.com/also")),
                ("services", "", ("example.com/hold",)),
            ),
            {
                CONTENT: "SomeResourcesRemain: Some resources are remaining: services. has 1 resource instances, "
                "widgets.example.com has 1 resource instances",
                FINALIZERS: "SomeFinalizersRemain: Some content in the namespace has finalizers remaining: "
                "example.com/also in 1 resource instances, example.com/hold in 2 resource instances",
            },
            id="finalizers hold",
        ),
        pytest.param(
            remains(("pods", "", ()), failures=("b is full", "a is full")),
            {
                CONTENT: "SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances",
                FAILURE: "ContentDeletionFailed: Failed to delete all resource types, 2 remaining: "
                "a is full, b is full",
            },
            id="what cannot be deleted",
        ),
    ],
)
def test_what_is_said_of_what_is_left(left: Remains, wrong: dict[str, str]) -> None:
    told = conditions((), left, "2026-01-01T00:00:00Z")
    assert {c.type: f"{c.reason}: {c.message}" for c in told} == FINE | wrong
    assert {c.type for c in told if c.status == "True"} == set(wrong)
    assert conditions(told, left, "2027-01-01T00:00:00Z") == told, "nothing is written without a change"


def test_times_tell_when_the_status_changed_and_conditions_of_others_stay() -> None:
    other = NamespaceCondition(type="Example", status="True", reason="Why", message="because")
    first = conditions((other,), remains(("pods", "", ()), ("pods", "", ())), "then")
    less = conditions(first, remains(("pods", "", ())), "later")
    last = conditions(less, remains(), "at last")
    assert first[0] == less[0] == last[0] == other
    times = {c.type: c.lastTransitionTime for c in less}
    assert times[CONTENT] == "then"
    assert {c.type: c.lastTransitionTime for c in last if c.type != "Example"} == {
        kind: "at last" if kind == CONTENT else "then" for kind in FINE
    }
