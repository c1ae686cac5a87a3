"""Moments in bodies: the forms that clients write, and the one that is stored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects import schema
from fairlead.objects.moments import NoMoment, checked, in_usual_form, usual


@pytest.mark.parametrize(
    ("written", "micro", "stored"),
    [
        ("2026-01-02T03:04:05Z", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+00:00", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05-01:30", False, "2026-01-02T04:34:05Z"),
        ("2026-01-02T03:04:05.678Z", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02t03:04:05z", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.6+00:00", True, "2026-01-02T03:04:05.600000Z"),
        ("2026-01-02T03:04:05Z", True, "2026-01-02T03:04:05.000000Z"),
    ],
)
def test_forms(written: str, micro: bool, stored: str) -> None:
    assert usual(written, micro=micro) == stored


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "",
        "2026-02-31T03:04:05+00:00",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:60Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(NoMoment, match="parsing time"):
        usual(text)


WRITTEN, STORED = "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("kind", "written", "stored"),
    [
        (
            "core.v1.Pod",
            {"metadata": {"creationTimestamp": WRITTEN}},
            {"metadata": {"creationTimestamp": STORED}},
        ),
        (
            "core.v1.Pod",
            {"status": {"conditions": [{"lastProbeTime": WRITTEN}, {"lastProbeTime": None}]}},
            {"status": {"conditions": [{"lastProbeTime": STORED}, {"lastProbeTime": None}]}},
        ),
        (
            "policy.v1.PodDisruptionBudget",
            {"status": {"disruptedPods": {"web": WRITTEN}}},
            {"status": {"disruptedPods": {"web": STORED}}},
        ),
        (
            "coordination.v1.Lease",
            {"spec": {"renewTime": WRITTEN, "acquireTime": "2026-01-02T03:04:05.123456Z"}},
            {
                "spec": {
                    "renewTime": "2026-01-02T03:04:05.000000Z",
                    "acquireTime": "2026-01-02T03:04:05.123456Z",
                }
            },
        ),
        # Only where the type has a moment.
        ("core.v1.ConfigMap", {"data": {"when": WRITTEN}}, {"data": {"when": WRITTEN}}),
        (
            "core.v1.Pod",
            {"unknown": {"creationTimestamp": WRITTEN}},
            {"unknown": {"creationTimestamp": WRITTEN}},
        ),
        ("core.v1.Pod", {"metadata": WRITTEN}, {"metadata": WRITTEN}),
    ],
)
def test_in_objects(kind: str, written: Any, stored: Any) -> None:
    of = schema.type_named(f"k8s.io.api.{kind}")
    found = in_usual_form(msgspec.json.encode(written), of)
    assert msgspec.json.decode(found) == stored


@pytest.mark.parametrize(
    "text", [b"{}", b'{"metadata":{"creationTimestamp":"2026-01-02T03:04:05Z"}}', b'["-01T00:00:00+']
)
def test_others_are_left_as_they_are(text: bytes) -> None:
    of = schema.type_named("k8s.io.api.core.v1.Pod")
    assert of is not None
    assert in_usual_form(text, of) is text
    assert checked(text, of) == text
