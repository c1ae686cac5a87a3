"""PriorityClasses: what is filled in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.objects import priorityclasses
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scheduling_v1 import PriorityClass


def made(name: str = "high", **fields: Any) -> PriorityClass:
    metadata = ObjectMeta(name=name, resourceVersion="1")
    return priorityclasses.default(PriorityClass(metadata=metadata, **{"value": 10, **fields}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (made(), ""),
        (made(value=-5, preemptionPolicy="Never", globalDefault=True), ""),
        (made(value=1_000_000_000), ""),
        (
            made(value=1_000_000_001),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (made("Big"), 'metadata.name: Invalid value: "Big"'),
        (made(preemptionPolicy="Sometimes"), 'preemptionPolicy: Unsupported value: "Sometimes"'),
        (
            made("system-mine"),
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved",
        ),
        (made("system-node-critical"), "value of system-node-critical PriorityClass must be 2000001000"),
        (
            made("system-cluster-critical", value=2_000_000_000, globalDefault=True),
            "globalDefault of system-cluster-critical PriorityClass must be false",
        ),
        *((priorityclasses.default(one), "") for one in priorityclasses.SYSTEM),
    ],
)
def test_what_is_refused(given: PriorityClass, said: str) -> None:
    errors = [str(error) for error in priorityclasses.validate(given)]
    assert len(errors) == bool(said)
    assert all(said in error for error in errors)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"description": "for the shop", "globalDefault": True}, ""),
        ({"value": 11}, "value: Forbidden: may not be changed in an update."),
        ({"preemptionPolicy": "Never"}, "preemptionPolicy: Invalid value"),
    ],
)
def test_what_cannot_be_changed(changed: dict[str, Any], said: str) -> None:
    errors = [str(error) for error in priorityclasses.validate(made(**changed), made())]
    assert len(errors) == bool(said)
    assert all(said in error for error in errors)


def test_a_class_has_pods_preempt_others_unless_it_says_otherwise() -> None:
    assert made().preemptionPolicy == "PreemptLowerPriority"
    assert made(preemptionPolicy="Never").preemptionPolicy == "Never"
