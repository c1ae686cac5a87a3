"""Which nodes a lab has, and what was done to its links: files that the commands write and the supervisor reads.

    nodes.json        the nodes, by number; a node that was stopped is still one
    links.json        the links that are cut or bad, by target: node/NAME or pod/NAMESPACE/NAME
    nodes.lock        held by the one command that changes them

What a command does is planned here, purely: `added`, `stopped`, `started`, `without`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from fairlead import files
from fairlead.lab import topology
from fairlead.lab.addressing import Family
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory

T = TypeVar("T")

_NAME = re.compile(r"node([1-9]\d{0,5})")


class Member(msgspec.Struct, frozen=True):
    """A node of a lab: its number, from which its name and its addresses follow."""

    number: int
    zone: str = ""
    stopped: bool = False

    @property
    def name(self) -> str:
        """The node's name."""
        return f"node{self.number}"


class Impairment(msgspec.Struct, frozen=True):
    """How bad a link is, in each direction: the share of packets lost, from 0 to 1, and the delay in seconds."""

    loss: float = 0.0
    delay: float = 0.0
    uid: str = ""
    """Of the pod, if it is one's: a later one of the same name has another link."""

    def __str__(self) -> str:
        """As `lab status` says it."""
        if self.loss >= 1:
            return "cut"
        said = [f"{self.loss:.4%}".rstrip("0%").rstrip(".") + " % lost"] if self.loss else []
        said += [f"{self.delay * 1000:g} ms late"] if self.delay else []
        return ", ".join(said)


def number_of(name: str) -> int:
    """The number in a node's name. Raises Refused with a sentence."""
    found = _NAME.fullmatch(name)
    if found is None or not 1 <= int(found[1]) <= topology.MAX_NODES:
        raise Refused(
            f"{name!r} cannot be the name of a node: a lab's nodes are node1 to node{topology.MAX_NODES}, "
            "and the number gives the addresses"
        )
    return int(found[1])


def first(count: int, zones: Sequence[str]) -> tuple[Member, ...]:
    """The nodes that a lab begins with, in the zones by turns."""
    return tuple(Member(node.number, node.zone) for node in topology.plan_nodes(count, zones))


def member(members: Sequence[Member], name: str) -> Member:
    """The node of that name. Raises Refused."""
    number = number_of(name)
    for each in members:
        if each.number == number:
            return each
    raise Refused(f"there is no node {name!r} in the lab; its nodes are {', '.join(m.name for m in members)}")


def added(
    members: Sequence[Member], name: str = "", zone: str = "", zones: Sequence[str] = ()
) -> tuple[tuple[Member, ...], Member]:
    """The nodes with one more, and that one: by default the lowest free number, a zone by turns. Raises Refused."""
    taken = {each.number for each in members}
    free = next((n for n in range(1, topology.MAX_NODES + 1) if n not in taken), 0)
    if not free:
        raise Refused(f"the lab has {topology.MAX_NODES} nodes, and there cannot be more")
    number = number_of(name) if name else free
    if number in taken:
        raise Refused(f"there is a node {name!r} in the lab already; node{free} is free")
    if zone:
        try:
            topology.check_zone(zone)
        except ValueError as error:
            raise Refused(str(error)) from error
    new = Member(number, zone or (zones[(number - 1) % len(zones)] if zones else ""))
    return tuple(sorted((*members, new), key=lambda each: each.number)), new


def stopped(members: Sequence[Member], name: str) -> tuple[Member, ...]:
    """The nodes once this one has been stopped. Raises Refused."""
    return _with(members, replace(member(members, name), stopped=True))


def started(members: Sequence[Member], name: str) -> tuple[Member, ...]:
    """The nodes once this one runs. Raises Refused if it does already."""
    found = member(members, name)
    if not found.stopped:
        raise Refused(f"{name} is running; 'fairlead lab node stop' stops it")
    return _with(members, replace(found, stopped=False))


def without(members: Sequence[Member], name: str) -> tuple[Member, ...]:
    """The nodes without this one, whether or not it was there. Raises Refused for the last one."""
    number = number_of(name)
    left = tuple(each for each in members if each.number != number)
    if not left:
        raise Refused(f"{name} is the lab's last node; 'fairlead lab down' removes the lab")
    return left


def _with(members: Sequence[Member], changed: Member) -> tuple[Member, ...]:
    return tuple(changed if each.number == changed.number else each for each in members)


def planned(members: Sequence[Member], families: Sequence[Family]) -> tuple[topology.Node, ...]:
    """The nodes with their addresses."""
    return tuple(topology.node(each.number, each.zone, families) for each in members)


def read(directory: StateDirectory) -> tuple[Member, ...]:
    """The nodes there are now; none where the lab is being removed."""
    return _read(directory, "nodes.json", tuple[Member, ...], ())


def write(directory: StateDirectory, members: Sequence[Member]) -> None:
    """Replaces the list of nodes at once."""
    _write(directory, "nodes.json", members)


def links(directory: StateDirectory) -> Mapping[str, Impairment]:
    """The links that are cut or bad; those of pods that are gone are not."""
    found = _read(directory, "links.json", dict[str, Impairment], {})
    return {target: how for target, how in found.items() if not how.uid or _exists(directory, how.uid)}


def _exists(directory: StateDirectory, uid: str) -> bool:
    return any(path.name == uid for path in directory.pods())


def write_link(directory: StateDirectory, target: str, how: Impairment | None) -> None:
    """Notes how bad a link is; None or a perfect one: not at all."""
    found = {name: each for name, each in links(directory).items() if name != target}
    if how is not None and (how.loss or how.delay):
        found[target] = how
    _write(directory, "links.json", found)


@contextlib.contextmanager
def changing(directory: StateDirectory) -> Iterator[tuple[Member, ...]]:
    """Runs the block while no other command changes the nodes; gives the nodes there are. Raises Refused."""
    try:
        fd = os.open(directory.path / "nodes.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise Refused(_none(directory)) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield read(directory)
    except FileNotFoundError:
        if (directory.path / "state.json").exists():
            raise
        raise Refused(_none(directory)) from None  # it was removed meanwhile
    finally:
        os.close(fd)


def _none(directory: StateDirectory) -> str:
    return f"there is no lab named {directory.name!r}"


def _read(directory: StateDirectory, name: str, kind: type[T], default: T) -> T:
    try:
        return msgspec.json.decode((directory.path / name).read_bytes(), type=kind)
    except FileNotFoundError:
        return default


def _write(directory: StateDirectory, name: str, value: object) -> None:
    files.replace(directory.path / name, msgspec.json.encode(value))
