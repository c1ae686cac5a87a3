"""Nodes that come and go while a lab runs: stopped as by a power cut, started, added, removed.

A command writes the list of nodes (`members`), tells the supervisor to look, and does the rest itself: the network,
what ran on the node, its objects in the API. Each may be killed at any instant, and finishes when it is called again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.client.outage import Unreachable
from fairlead.lab import addons, credentials, execution, members, processes, topology
from fairlead.lab.members import Member
from fairlead.lab.network import Refused
from fairlead.lab.state import NoLab, Record, StateDirectory
from fairlead.node import runtime, strays, trees
from fairlead.objects.resources import LEASES, NODES
from fairlead.objects.scalars import microtime
from fairlead.objects.status import StatusError

SECONDS = 60.0
"""How long the supervisor, or a node, may take to follow."""

_LEASES = "kube-node-lease"


def stop(directory: StateDirectory, name: str) -> None:
    """Ends everything on a node at once, and its network: what a power cut leaves of a machine is its disk.

    The API is told nothing. Raises Refused, or NoLab.
    """
    record = directory.read()
    with members.changing(directory) as now:
        members.write(directory, members.stopped(now, name))
        _forget_links(directory, name)
        _follow(directory, name, runs=False)
        execution.inside(record, lambda: _power_off(directory, name))


def start(directory: StateDirectory, name: str) -> None:
    """Starts a node that was stopped; returns when it is ready. Raises Refused, or NoLab."""
    record = directory.read()
    with members.changing(directory) as now:
        _run(directory, record, members.started(now, name), name)


def add(directory: StateDirectory, name: str = "", zone: str = "") -> Member:
    """Makes another node, by default of the lowest free number; returns when it is ready. Raises Refused, or NoLab."""
    record = directory.read()
    with members.changing(directory) as now:
        then, new = members.added(now, name, zone, record.zones)
        node = topology.node(new.number, new.zone, record.families)
        credentials.make_node(directory.path, node, record.families)
        _run(directory, record, then, new.name)
    return new


def remove(directory: StateDirectory, name: str) -> None:
    """Takes a node away for good, with its pods and its objects. Raises Refused, or NoLab."""
    record = directory.read()
    with members.changing(directory) as now:
        left = members.without(now, name)
        known = left != now or directory.network.path(name).exists()
        members.write(directory, left)
        _forget_links(directory, name)
        _follow(directory, name, runs=False)
        execution.inside(record, lambda: _take_away(directory, record, left, name))
        credentials.Credentials(directory.path).kubeconfig(name).unlink(missing_ok=True)
        if not asyncio.run(_forget(directory, record, left, name)) and not known:
            members.member(left, name)  # says that there is none


def _run(directory: StateDirectory, record: Record, then: Sequence[Member], name: str) -> None:
    """Lets a node run that is one of `then`: its network first, so that its processes find it."""
    begun = microtime(time.time())
    try:
        execution.inside(record, lambda: _power_on(directory, record, then, name))
        members.write(directory, then)
        _follow(directory, name, runs=True)
        asyncio.run(_until_ready(directory, record, name, begun))
    except (Refused, NoLab, FileNotFoundError):
        if not (directory.path / "state.json").exists():
            # The lab was removed meanwhile, perhaps before the node's network was made; an ordinary user's went
            # with its namespaces.
            directory.network.remove_node(name)
            directory.read()  # says that there is none
        raise


def _power_off(directory: StateDirectory, name: str) -> None:
    _end_pods(directory, name)
    path = directory.network.path(name)
    with contextlib.suppress(FileNotFoundError):
        there = path.stat()

        def lives_there(process: Path) -> bool:
            found = (process / "ns/net").stat()
            return (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)

        processes.stop(processes.find(lives_there), grace_seconds=0)
    directory.network.remove_node(name)


def _end_pods(directory: StateDirectory, name: str) -> None:
    state = directory.path / "nodes" / name
    for path in (state / "pods").glob("*"):
        runtime.end(path)
    strays.end(state)


def _power_on(directory: StateDirectory, record: Record, then: Sequence[Member], name: str) -> None:
    nodes = members.planned(then, record.families)
    running = {each.name for each in then if not each.stopped}
    whole = topology.plan(nodes, record.families, record.loadbalancer)
    _power_off(directory, name)  # what is left of one that a killed command made
    directory.network.make(topology.joining(whole, name, running))


def _take_away(directory: StateDirectory, record: Record, left: Sequence[Member], name: str) -> None:
    _power_off(directory, name)
    gone = topology.node(members.number_of(name), "", record.families)
    running = [each.name for each in left if not each.stopped]
    directory.network.forget_routes(running, gone.pod_cidrs)
    runtime.remove_all(directory.path / "nodes" / name)
    trees.remove(directory.path / "nodes" / name)


def _forget_links(directory: StateDirectory, name: str) -> None:
    members.write_link(directory, f"node/{name}", None)
    for target, how in members.links(directory).items():
        if how.uid and (directory.path / "nodes" / name / "pods" / how.uid).exists():
            members.write_link(directory, target, None)


def _follow(directory: StateDirectory, name: str, *, runs: bool) -> None:
    """Waits until the supervisor runs the node's process, or runs it no more."""
    deadline = time.monotonic() + SECONDS
    while True:
        record = directory.read()
        found = next((process for process in record.components if process.name == name), None)
        if (found is not None and found.identity.is_alive()) == runs and (runs or found is None):
            return
        if time.monotonic() > deadline:
            raise Refused(f"the lab's supervisor does not follow; see {directory.log('supervisor')}")
        pair = [process for process in (record.supervisor, record.keeper) if process is not None]
        if not any(process.identity.is_alive() for process in pair):
            raise Refused(
                f"the lab {record.name!r} does not run; 'fairlead lab down{directory.option}' removes what is left"
            )
        # Again and again: the one that was told may have been killed, and its successor have read the list before.
        if record.supervisor is not None:
            record.supervisor.identity.send(signal.SIGUSR1)
        time.sleep(0.02)


def _administrator(directory: StateDirectory, record: Record) -> kubeconfig.Config:
    """The administrator's, by the address that the host has of the server."""
    found = kubeconfig.load(credentials.Credentials(directory.path).kubeconfig(credentials.ADMIN))
    return replace(found, server=record.url)


async def _until_ready(directory: StateDirectory, record: Record, name: str, begun: str) -> None:
    """Waits until the node's agent has renewed its Lease since, and the Node is ready."""
    try:
        async with asyncio.timeout(SECONDS), Api(_administrator(directory, record)) as api:
            while not await _is_ready(api, name, begun):
                directory.read()  # says that there is none, if the lab is removed meanwhile
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Refused(
            f"{name} runs, but was not ready within {SECONDS:.0f} s; see {directory.log(name)}"
        ) from None


async def _is_ready(api: Api, name: str, begun: str) -> bool:
    try:
        lease = await api.get(LEASES, name, _LEASES)
        node = await api.get(NODES, name)
    except (StatusError, Unreachable):
        return False
    renewed = lease.spec.renewTime if lease.spec is not None else None
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    return ready and bool(renewed) and str(renewed) >= begun


async def _forget(directory: StateDirectory, record: Record, left: Sequence[Member], name: str) -> bool:
    """Deletes the node's objects, and makes again what the cluster has lost with it; whether there was a Node."""
    try:
        async with asyncio.timeout(SECONDS), Api(_administrator(directory, record)) as api:
            there = True
            try:
                await api.get(NODES, name)
            except StatusError:
                there = False
            await addons.forget(api, frozenset(each.name for each in left))
            return there
    except (TimeoutError, Unreachable, StatusError) as error:
        raise Refused(
            f"{name} is gone, but its objects cannot be deleted: {error or 'no answer'}; "
            "the same command tries again"
        ) from error
