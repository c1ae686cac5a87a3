"""What a lab leaves on disk, as those read it who come while it changes."""

from __future__ import annotations

import shutil

import pytest

from fairlead.lab import members
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory
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
