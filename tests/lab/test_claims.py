"""Which claims a lab binds, and to what."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.lab.claims import bound
from fairlead.objects import codec
from fairlead.objects.core_v1 import PersistentVolumeClaim

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
STATUS = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}


@pytest.mark.parametrize(
    ("phase", "metadata", "status"),
    [
        ("Pending", {}, STATUS),
        ("Bound", {}, None),
        ("Lost", {}, None),
        ("Pending", {"deletionTimestamp": "2026-01-01T00:00:00Z"}, None),
    ],
)
def test_a_claim_is_bound_once(phase: str, metadata: dict[str, Any], status: dict[str, Any] | None) -> None:
    body = {"metadata": {"name": "c", **metadata}, "spec": SPEC, "status": {"phase": phase}}
    assert bound(codec.decode(PersistentVolumeClaim, codec.encode(body))) == status
