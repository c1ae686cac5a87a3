"""What a lab leaves on disk, as those read it who come while it changes."""

from __future__ import annotations

import os
import shutil

import msgspec
import pytest

from fairlead.lab import execution, members
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory
from fairlead.node.records import SandboxRecord, SandboxSpec, start_ticks
from tests.lab.conftest import record


def test_nodes_and_pods_that_go_while_one_looks_are_left_out(directory: StateDirectory) -> None:
    nodes = directory.path / "nodes"
    assert list(directory.pods()) == []
    for node in ("node1", "node2", "node3"):
        (nodes / node / "pods" / "one").mkdir(parents=True)
    (nodes / "node1" / "pods" / "file").touch()
    assert {path.parts[-3] for path in directory.pods()} == {"node1", "node2", "node3"}
    looking = directory.pods()
    found = next(looking)
    shutil.rmtree(nodes)
    assert list(looking) == []
    assert found.name == "one"


def test_of_two_pods_of_a_name_it_is_the_younger(directory: StateDirectory) -> None:
    """The machine's first process stands for the older one."""
    for node, uid, pid in (
        ("node1", "new", os.getpid()),
        ("node2", "old", 1),
        ("node3", "gone", os.getpid()),
    ):
        folder = directory.path / "nodes" / node / "pods" / uid
        folder.mkdir(parents=True)
        ticks = start_ticks(pid) + (uid == "gone")
        spec = SandboxSpec(uid=uid, namespace="default", name="web", hostname="web")
        made = SandboxRecord(pid=pid, ticks=ticks, created_at=0, spec=spec)
        (folder / "sandbox.json").write_bytes(msgspec.json.encode(made))
    assert execution.find_pod(directory, "default", "web").sandbox.spec.uid == "new"
    with pytest.raises(Refused, match="no running pod 'web' in namespace 'other'"):
        execution.find_pod(directory, "other", "web")


def test_a_change_of_a_lab_that_is_removed_meanwhile_says_so(directory: StateDirectory) -> None:
    directory.path.mkdir()
    directory.write(record())

    def change() -> None:
        with members.changing(directory):
            shutil.rmtree(directory.path)
            members.write(directory, ())

    with pytest.raises(Refused, match="there is no lab named 'test'"):
        change()


def test_what_else_is_missing_is_told_as_it_is(directory: StateDirectory) -> None:
    directory.path.mkdir()
    directory.write(record())
    with pytest.raises(FileNotFoundError, match="nothing"), members.changing(directory):
        (directory.path / "nothing").read_bytes()
