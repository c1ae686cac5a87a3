"""Which volume a lab's claim gets, and what becomes of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.lab import claims
from fairlead.objects import codec
from fairlead.objects.core_v1 import PersistentVolume, PersistentVolumeClaim
from fairlead.objects.storage_v1 import StorageClass

BY_HAND = {"slow": codec.decode(StorageClass, codec.encode({"provisioner": "kubernetes.io/no-provisioner"}))}


def claim(**spec: Any) -> PersistentVolumeClaim:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    body = {"metadata": {"name": "data", "namespace": "shop", "uid": "u1"}, "spec": asked}
    return codec.decode(PersistentVolumeClaim, codec.encode(body))


def volume(size: str = "1Gi", **fields: Any) -> PersistentVolume:
    labels = fields.pop("labels", {})
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/mnt"},
        **fields,
    }
    return codec.decode(PersistentVolume, codec.encode({"metadata": {"labels": labels}, "spec": spec}))


def kept(name: str = "data", uid: str = "") -> dict[str, str]:
    return {"namespace": "shop", "name": name, "uid": uid}


@pytest.mark.parametrize(
    ("asked", "volumes", "name"),
    [
        ({}, {}, None),
        ({}, {"a": volume("5Gi"), "b": volume("2Gi"), "c": volume("1Mi")}, "b"),
        ({}, {"a": volume(storageClassName="manual")}, None),
        ({"storageClassName": "manual"}, {"a": volume(storageClassName="manual"), "b": volume()}, "a"),
        ({"accessModes": ["ReadWriteMany"]}, {"a": volume()}, None),
        (
            {"selector": {"matchLabels": {"disk": "fast"}}},
            {"a": volume(), "b": volume(labels={"disk": "fast"})},
            "b",
        ),
        ({}, {"a": volume(claimRef=kept("other"))}, None),
        ({}, {"a": volume(), "b": volume("9Gi", claimRef=kept())}, "b"),
        ({}, {"a": volume(claimRef=kept(uid="u0"))}, None),
        ({"volumeName": "a"}, {"a": volume("1Mi"), "b": volume()}, "a"),
        ({"volumeName": "a"}, {"a": volume(claimRef=kept("other")), "b": volume()}, None),
        ({"volumeMode": "Block"}, {"a": volume()}, None),
    ],
)
def test_the_volume_for_a_claim(
    asked: dict[str, Any], volumes: dict[str, PersistentVolume], name: str | None
) -> None:
    found = claims.chosen(claim(**asked), volumes)
    assert found == (volumes[name] if name else None)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ({}, False),
        ({"storageClassName": ""}, True),
        ({"storageClassName": "slow"}, True),
        ({"storageClassName": "gp3"}, False),
    ],
)
def test_a_claim_waits_for_a_volume_that_only_people_make(asked: dict[str, Any], waits: bool) -> None:
    assert claims.waits(claim(**asked), BY_HAND) == waits


def test_a_folder_has_what_its_claim_asks_for() -> None:
    made = claims.folder(claim(storageClassName="gp3"), Path("/run/claims"), {})
    assert (made.metadata.name, made.spec.storageClassName) == ("pvc-u1", "gp3")
    assert made.spec.hostPath is not None
    assert made.spec.hostPath.path == "/run/claims/shop/data.u1"
    assert claims.suits(claim(storageClassName="gp3"), made)
    assert claims.bound(made) == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }


@pytest.mark.parametrize(
    ("ref", "there", "phase"),
    [
        (None, {}, "Available"),
        (kept(uid="u1"), {"shop/data": claim()}, "Bound"),
        (kept(uid="u1"), {}, "Released"),
        (kept(uid="u0"), {"shop/data": claim()}, "Released"),
        (kept(), {}, "Available"),
    ],
)
def test_the_phase_of_a_volume(
    ref: dict[str, str] | None, there: dict[str, PersistentVolumeClaim], phase: str
) -> None:
    assert claims.phase(volume(claimRef=ref), there) == phase
