from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.objects.core_v1 import Pod
from fairlead.objects.labels import from_map
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.workloads.claiming import claim
from tests.workloads.objects import LABELS, pod, reference

OTHER = {"app": "other"}


@pytest.mark.parametrize(
    ("case", "candidate", "ending", "expected"),
    [
        ("its own", pod("a", owner="rs"), False, "owned"),
        ("its own, being deleted", pod("a", owner="rs", deleted=True), False, "owned"),
        ("its own, not selected any more", pod("a", owner="rs", labels=OTHER), False, "release"),
        ("another's", pod("a", owner="other"), False, ""),
        ("nobody's", pod("a"), False, "adopt"),
        ("nobody's, not selected", pod("a", labels=OTHER), False, ""),
        ("nobody's, being deleted", pod("a", deleted=True), False, ""),
        ("its own, the owner goes", pod("a", owner="rs"), True, "owned"),
        ("nobody's, the owner goes", pod("a"), True, ""),
        ("not selected any more, the owner goes", pod("a", owner="rs", labels=OTHER), True, ""),
    ],
)
def test_what_an_owner_may_claim(case: str, candidate: Pod, ending: bool, expected: str) -> None:
    owner = ObjectMeta(name="web", uid="rs", deletionTimestamp="2026-11-23T09:00:00Z" if ending else None)
    found = claim(owner, from_map(LABELS), [candidate])
    places = {"owned": found.owned, "adopt": found.adopt, "release": found.release}
    assert {name for name, held in places.items() if held} == ({expected} if expected else set()), case


def test_an_owner_that_does_not_control_leaves_the_pod_to_be_adopted() -> None:
    candidate = pod("a")
    owned = (reference("x", controller=False),)
    candidate = replace(candidate, metadata=replace(candidate.metadata, ownerReferences=owned))
    assert claim(ObjectMeta(uid="rs"), from_map(LABELS), [candidate]).adopt == (candidate,)
