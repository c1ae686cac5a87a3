"""Which nodes a lab has after a command, which it refuses, and what a node that joins needs of the network."""

from __future__ import annotations

import pytest

from fairlead.lab import members, topology
from fairlead.lab.addressing import IPV4, IPV6
from fairlead.lab.members import Impairment, Member
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory

NOW = (Member(1, "a"), Member(2, "b"), Member(4, "b", stopped=True))


@pytest.mark.parametrize(
    ("name", "zone", "zones", "expected"),
    [
        ("", "", (), Member(3)),
        ("", "", ("a", "b"), Member(3, "a")),
        ("", "c", ("a", "b"), Member(3, "c")),
        ("node240", "", ("a", "b"), Member(240, "b")),
    ],
)
def test_a_node_is_added(name: str, zone: str, zones: tuple[str, ...], expected: Member) -> None:
    then, new = members.added(NOW, name, zone, zones)
    assert new == expected
    assert set(then) == {*NOW, expected}
    assert [each.number for each in then] == sorted(each.number for each in then)


def test_nodes_stop_start_and_go() -> None:
    assert members.stopped(NOW, "node2")[1] == Member(2, "b", stopped=True)
    assert members.stopped(NOW, "node4") == NOW
    assert members.started(NOW, "node4") == (*NOW[:2], Member(4, "b"))
    assert members.without(NOW, "node1") == NOW[1:]
    assert members.without(NOW, "node3") == NOW


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: members.added(NOW, "node2"), "there is a node 'node2' in the lab already; node3 is free"),
        (lambda: members.added(NOW, "worker"), "'worker' cannot be the name of a node"),
        (lambda: members.added(NOW, "node0"), "cannot be the name"),
        (lambda: members.added(NOW, "node01"), "cannot be the name"),
        (lambda: members.added(NOW, "node241"), "node1 to node240"),
        (lambda: members.added(NOW, "node3\n"), "cannot be the name"),
        (lambda: members.added(NOW, "", "a zone"), "'a zone' cannot be a zone"),
        (lambda: members.added([Member(n) for n in range(1, 241)]), "the lab has 240 nodes"),
        (
            lambda: members.stopped(NOW, "node3"),
            "there is no node 'node3' in the lab; its nodes are node1, node2",
        ),
        (lambda: members.started(NOW, "node1"), "node1 is running"),
        (lambda: members.without((Member(1),), "node1"), "node1 is the lab's last node"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(call: object, said: str) -> None:
    with pytest.raises(Refused, match=said):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Impairment(loss=1), "cut"),
        (Impairment(loss=0.1), "10 % lost"),
        (Impairment(loss=0.005), "0.5 % lost"),
        (Impairment(delay=0.05), "50 ms late"),
        (Impairment(0.25, 0.0015), "25 % lost, 1.5 ms late"),
    ],
)
def test_a_bad_link_is_named(how: Impairment, said: str) -> None:
    assert str(how) == said


def test_the_lists_outlive_the_process_that_writes_them(directory: StateDirectory) -> None:
    directory.path.mkdir()
    assert members.read(directory) == ()
    members.write(directory, NOW)
    assert members.read(directory) == NOW
    members.write_link(directory, "node/node1", Impairment(1))
    members.write_link(directory, "pod/default/web", Impairment(0.5))
    members.write_link(directory, "node/node1", None)
    assert members.links(directory) == {"pod/default/web": Impairment(0.5)}


def test_a_later_pod_of_the_same_name_has_a_link_that_is_well(directory: StateDirectory) -> None:
    there = directory.path / "nodes/node1/pods/one"
    there.mkdir(parents=True)
    how = Impairment(1, uid="one")
    members.write_link(directory, "pod/default/web", how)
    assert members.links(directory) == {"pod/default/web": how}
    there.rename(there.with_name("two"))
    assert members.links(directory) == {}


def test_a_lab_made_node_by_node_is_the_lab_made_at_once() -> None:
    families = (IPV6, IPV4)
    nodes = topology.plan_nodes(3, families=families)
    whole = topology.plan(nodes, families)
    first = topology.plan(nodes[:2], families)
    then = topology.joining(whole, "node3", {"node1", "node2"})
    for part in ("namespaces", "veths", "addresses", "routes", "sysctls", "masquerades"):
        made = (*getattr(first, part), *getattr(then, part))
        assert len(made) == len(set(made))
        assert set(made) == set(getattr(whole, part)), part


def test_a_node_that_is_stopped_learns_of_a_new_one_when_it_starts() -> None:
    whole = topology.plan(topology.plan_nodes(3))
    joined = topology.joining(whole, "node3", {"node1"})
    assert {route.namespace for route in joined.routes} == {"node3", "node1"}
    started = topology.joining(whole, "node2", {"node1", "node3"})
    assert "10.244.3.0/24" in {route.destination for route in started.routes if route.namespace == "node2"}
