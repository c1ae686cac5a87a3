"""Histories of templates, as ControllerRevisions."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.writer import Writer
from fairlead.objects.apps_v1 import ControllerRevision, DaemonSet, StatefulSet
from fairlead.objects.resources import REPLICASETS
from fairlead.workloads import revisions
from fairlead.workloads.revisions import HASH, create, equal, find_equal, in_order, next_revision, revision_of
from tests.client.cluster import with_server
from tests.workloads.objects import replica_set

OWNER = replica_set(uid="owner")


def revision(data: Any, number: int, collisions: int | None = None) -> ControllerRevision:
    return revision_of(OWNER, {"app": "web"}, data, number, collisions)


def test_the_name_says_the_contents() -> None:
    made, again, other = revision({"a": 1}, 1), revision({"a": 1}, 2), revision({"a": 2}, 1)
    assert made.metadata.name == again.metadata.name != other.metadata.name
    assert made.metadata.name == f"web-{made.metadata.labels[HASH]}"
    assert made.metadata.labels["app"] == "web"
    assert equal(made, again)
    assert not equal(made, other)
    assert revision({"a": 1}, 1, 1).metadata.name != made.metadata.name


@pytest.mark.parametrize(
    ("owner", "label"),
    [
        (StatefulSet(metadata=OWNER.metadata), "controller.kubernetes.io/hash"),
        (DaemonSet(metadata=OWNER.metadata), "controller-revision-hash"),
    ],
)
def test_the_label_with_the_hash_is_called_as_upstream_does_for_the_kind(
    owner: StatefulSet | DaemonSet, label: str
) -> None:
    made = revision_of(owner, {"app": "web"}, {"a": 1}, 1, None)
    assert made.metadata.labels == {"app": "web", label: made.metadata.name.removeprefix("web-")}


def test_long_names_of_owners_leave_room_for_the_hash() -> None:
    owner = replica_set(name="a" * 253)
    assert len(revision_of(owner, {}, {}, 1, None).metadata.name) <= 253


def test_history_is_in_the_order_of_numbers() -> None:
    history = [revision({"a": n}, n) for n in (3, 1, 2)]
    assert [each.revision for each in in_order(history)] == [1, 2, 3]
    assert next_revision(history) == 4
    assert next_revision([]) == 1
    assert find_equal(history, revision({"a": 2}, 9)) == (history[2],)


@pytest.mark.parametrize(
    ("limit", "live", "expected"),
    [(10, (), []), (2, (), [1, 2]), (2, (1,), [2]), (0, (4,), [1, 2, 3]), (0, (1, 2, 3, 4), [])],
)
def test_the_oldest_that_nobody_uses_go(limit: int, live: tuple[int, ...], expected: list[int]) -> None:
    history = [revision({"a": n}, n) for n in (4, 2, 1, 3)]
    names = {each.metadata.name for each in history if each.revision in live}
    assert [each.revision for each in revisions.superfluous(history, names, limit)] == expected


def test_a_name_that_is_taken_is_a_collision_unless_it_is_ours() -> None:
    async def told(api: Api) -> None:
        owner, stranger = [
            await api.create(REPLICASETS, replica_set(name=name, uid="")) for name in ("web", "web-2")
        ]
        # the names of revisions begin with their owner's: this is another owner of the same name
        stranger = replace(stranger, metadata=replace(stranger.metadata, name="web"))
        writer, wanted = Writer(api), revision_of(owner, {"app": "web"}, {"a": 1}, 1, 0)
        made, collisions = await create(writer, owner, wanted, {"app": "web"}, 0)
        assert (made.revision, collisions) == (1, 0)
        again, collisions = await create(writer, owner, wanted, {"app": "web"}, 0)
        assert (again.metadata.uid, collisions) == (made.metadata.uid, 0)
        other, collisions = await create(writer, stranger, wanted, {"app": "web"}, 0)
        assert (other.metadata.name != made.metadata.name, collisions) == (True, 1)
        renumbered = await revisions.renumber(writer, made, 7)
        assert (renumbered.revision, renumbered.data) == (7, {"a": 1})
        assert await revisions.renumber(writer, renumbered, 7) is renumbered

    with_server(told)
