from __future__ import annotations

import pytest
from msgspec.structs import replace

from fairlead.objects.core_v1 import PodSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.workloads.podcontrol import pod_from
from tests.workloads.objects import replica_set, template


def test_a_pod_is_what_its_template_says_and_its_owners() -> None:
    owner = replica_set(uid="1234")
    wanted = replace(
        template({"app": "web"}),
        metadata=ObjectMeta(
            name="ignored",
            labels={"app": "web"},
            annotations={"note": "x"},
            finalizers=("example.com/wait",),
            uid="ignored",
        ),
    )
    made = pod_from(wanted, owner)
    meta = made.metadata
    assert (meta.name, meta.generateName, meta.namespace, meta.uid) == ("", "web-", "default", "")
    assert (meta.labels, meta.annotations, meta.finalizers) == (
        {"app": "web"},
        {"note": "x"},
        ("example.com/wait",),
    )
    (reference,) = meta.ownerReferences
    assert (reference.apiVersion, reference.kind, reference.name, reference.uid) == (
        "apps/v1",
        "ReplicaSet",
        "web",
        "1234",
    )
    assert (reference.controller, reference.blockOwnerDeletion) == (True, True)
    assert made.spec == wanted.spec != PodSpec()


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [("web", "web-0", ("web-0", "")), ("web", "", ("", "web-")), ("w.x", "", ("", "w.x-"))],
)
def test_a_pod_has_the_name_that_is_given_or_the_owners(
    owner: str, name: str, expected: tuple[str, str]
) -> None:
    meta = pod_from(template(), replica_set(name=owner), name).metadata
    assert (meta.name, meta.generateName) == expected
