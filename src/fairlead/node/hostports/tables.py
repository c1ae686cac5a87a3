"""The host ports of all pods of a node: what is held, and the kernel's tables that say the same.

Cost of a pod that comes or goes: its own ports, in one transaction. What the kernel holds outlives the agent; each
pod's directory remembers its ports, so that the next agent's first transaction puts all of them in place of what is
there, and no packet meets a table without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fairlead.node import namespaces, network
from fairlead.node.hostports import flows, nft, ruleset
from fairlead.node.hostports.mappings import Key, Ports, Target, on_loopback, taken

log = logging.getLogger("fairlead.node")

FILE = "hostports.json"


class HostPorts:
    """The node's host ports. One change at a time."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """`addresses` are the node's own."""
        self._addresses = tuple(addresses)
        self._held: dict[str, Ports] = {}
        self._holders: dict[Key, str] = {}
        self._tables: set[int] = set()
        self._known = False
        self._lock = asyncio.Lock()

    def adopt(self, uid: str, directory: Path) -> None:
        """Remembers the ports that an earlier agent opened for the pod; `settle` has to follow."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            ports = _read(directory / FILE)
            self._hold(uid, {k: t for k, t in ports.items() if k not in self._holders})

    def holds(self, uid: str) -> bool:
        """Whether ports of the pod are open."""
        return uid in self._held

    async def settle(self) -> None:
        """Makes the kernel's tables say what is held, after all pods of an earlier agent have been adopted.

        A kernel that refuses is complained of when a pod needs it.
        """
        async with self._lock:
            try:
                await asyncio.to_thread(self._run, "")
            except nft.NftFailed as error:
                log.log(logging.WARNING if self._held else logging.DEBUG, "host ports: %s", error)

    async def open(self, uid: str, directory: Path, wanted: Ports) -> dict[Key, str]:
        """Opens the pod's ports, instead of those it had. Gives those that another pod has, with its uid.

        Raises `NftFailed` where the kernel does not take them; then none is open.
        """
        async with self._lock:
            refused = taken(wanted, self._holders, uid)
            ports = {key: target for key, target in wanted.items() if key not in refused}
            before = self._held.get(uid, {})
            if ports != before or not self._known:
                await self._change(uid, directory, before, ports)
            return refused

    async def close(self, uid: str, directory: Path) -> None:
        """Closes the pod's ports: what is sent there finds nobody, and UDP flows are forgotten."""
        async with self._lock:
            before = self._held.get(uid)
            if before:
                try:
                    await self._change(uid, directory, before, {})
                except nft.NftFailed as error:
                    log.warning("host ports of the pod %s cannot be closed: %s", uid, error)

    async def _change(self, uid: str, directory: Path, before: Ports, ports: Ports) -> None:
        await asyncio.to_thread(_write, directory / FILE, ports)
        self._release(uid)
        self._hold(uid, ports)
        text = (ruleset.removals(before) if before else "") + (ruleset.additions(ports) if ports else "")
        try:
            await asyncio.to_thread(self._run, text)
        except nft.NftFailed:
            self._release(uid)
            await asyncio.to_thread(_write, directory / FILE, {})
            raise
        await asyncio.to_thread(_follow_up, uid, before, ports)

    def _hold(self, uid: str, ports: Ports) -> None:
        if ports:
            self._held[uid] = ports
            self._holders.update(dict.fromkeys(ports, uid))

    def _release(self, uid: str) -> None:
        for key in self._held.pop(uid, {}):
            del self._holders[key]

    def _run(self, change: str) -> None:
        """Takes the change to the kernel; all that is held, where it is not known what the kernel has. Blocks."""
        needed = set(ruleset.families(self._holders))
        if self._known and needed == self._tables:
            text = change
        else:
            text = "".join(ruleset.skeleton(family, self._addresses) for family in sorted(needed))
            text += "".join(ruleset.removal(family) for family in ruleset.FAMILIES if family not in needed)
            text += "".join(ruleset.additions(ports) for ports in self._held.values())
        self._known = False
        if text:
            nft.run(text)
        self._known, self._tables = True, needed


def _follow_up(uid: str, before: Ports, ports: Ports) -> None:
    """What the tables need besides: the pod's link lets loopback addresses through, old flows are forgotten."""
    try:
        link = network.host_interface(uid)
        if on_loopback(ports):
            namespaces.set_sysctl(f"net/ipv4/conf/{link}/route_localnet", 1)
        flows.forget({k: t for k, t in before.items() if ports.get(k) != t}, opened=False)
        flows.forget({k: t for k, t in ports.items() if before.get(k) != t}, opened=True)
    except OSError as error:
        log.warning("host ports of the pod %s: %s", uid, error)


def _read(path: Path) -> dict[Key, Target]:
    return dict(msgspec.json.decode(path.read_bytes(), type=list[tuple[Key, Target]]))


def _write(path: Path, ports: Ports) -> None:
    if not ports:
        path.unlink(missing_ok=True)
    elif path.parent.is_dir():
        path.write_bytes(msgspec.json.encode(list(ports.items())))
