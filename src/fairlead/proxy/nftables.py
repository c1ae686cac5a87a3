"""The nftables dataplane: one table, adopted as it is found, changed by differences, mended when others harm it."""

from __future__ import annotations

import itertools
import logging
import struct
import time
from collections import Counter
from collections.abc import Mapping

from fairlead.proxy import libnftables
from fairlead.proxy.chains import chain_removed, map_removed, pick_made, pick_remade
from fairlead.proxy.dataplane import Everything, Selected
from fairlead.proxy.elements import (
    SETS,
    Applied,
    Desired,
    Elements,
    Frontend,
    Transaction,
    chain_of,
    diff,
    render,
)
from fairlead.proxy.encoding import Encoder, count_of, keys, routes_of, set_named, verdicts
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.netlink import (
    GETCHAIN,
    GETGEN,
    GETRULE,
    GETSET,
    GETSETELEM,
    GETTABLE,
    Link,
    attribute,
    attributes,
)
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.selection import Verdict
from fairlead.proxy.skeleton import ENDPOINTS, FRONTENDS, PICK, TABLE, declarations, larger, rules
from fairlead.proxy.wanted import Wanted

log = logging.getLogger("fairlead.proxy")

SMALLEST = 1 << 16
"""Slots of the first map of endpoints: 1 MiB of the kernel's memory."""
CHAIN_REST = 10.0
"""Seconds for which a chain that nothing leads to is kept: endpoints that come and go do not make it anew."""

READ_AT_MOST = 100_000
"""Slots that are read when a table is taken over. The kernel's dump of a map is quadratic: it walks to where it
stopped each time, which takes 0.2 s for this many and 20 s for a million. Beyond, the map is filled anew beside
the old one, which takes microseconds a slot, and the chains are turned to it."""

_TABLE_NAME = attribute(1, TABLE.encode() + b"\0")


class Nftables:
    """One family's table in the network namespace of the thread that made this.

    `applied` is what the kernel holds as far as we know. After any exception of `commit` that is uncertain.
    """

    def __init__(self, options: ProxyOptions, family: Family = IPV4) -> None:
        self.family = family
        self.applied = Applied()
        self.last = Transaction()
        """What the last `rebuild` or `commit` took."""
        self._options = options
        self._wanted = Wanted()
        self._ported: dict[str, Selected] = {}
        """The Services with node ports, which follow the node's addresses."""
        self._addresses: tuple[bytes, ...] = ()
        self._nft = libnftables.Context()
        self._link = Link(family.number)
        self._encoder = Encoder(family)
        self._endpoints = ""
        self._used = 0
        self._uses: Counter[str] = Counter()
        self._chains: dict[str, float] = {}
        """The chains that draw a slot, each with the time at which its last frontend left it."""
        self._unread: dict[Frontend, str] | None = None
        """Frontends and their chains in a table that was taken over without reading its slots."""
        self._generation = 0
        self._marks: tuple[bytes, ...] = ()

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        self._link.close()
        self._nft.close()

    def rebuild(self, everything: Everything) -> None:
        """Takes over what is in the kernel and brings it to `everything`, changing only the difference.

        Raises `libnftables.NftablesMissing` where nftables cannot be used at all, `libnftables.RulesetRefused`,
        OSError.
        """
        self._ported.clear()
        selected = [(key, self._rendered(key, one)) for key, one in everything()]
        self.adopt(sum(elements.slots() for _, elements in selected))
        self._apply(self._wanted.everything(selected, self.applied))

    def commit(self, changes: Mapping[str, Selected]) -> None:
        """Brings what the Services that changed want into the kernel, in one atomic batch.

        Where the send buffer is limited (user namespaces) a big change takes several batches in an order in
        which no packet meets a half. Raises OSError or `libnftables.RulesetRefused`.
        """
        self._apply(self._wanted.changes([(key, self._rendered(key, one)) for key, one in changes.items()]))

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        """The node's primary addresses, where node ports are open."""
        if addresses != self._addresses:
            self._addresses = addresses
            self.commit(dict(self._ported))

    def _rendered(self, key: str, selected: Selected) -> Elements:
        if any(selection.node_port for selection in selected):
            self._ported[key] = selected
        else:
            self._ported.pop(key, None)
        return render(selected, self._addresses)

    def adopt(self, expected: int = 0) -> None:
        """Makes the table, or takes over the one that is there with all its elements, and reads them.

        `expected` is the number of slots that will be needed. Costs about a microsecond a slot that is there.
        Raises `libnftables.NftablesMissing` where nftables cannot be used at all, OSError.
        """
        try:
            sets = self._sets()
        except PermissionError as error:
            raise libnftables.NftablesMissing(libnftables.NO_RIGHTS) from error
        maps = sorted((name for name in sets if name.startswith(ENDPOINTS)), key=_capacity)
        # A second one was being filled to take the first one's place when somebody killed us.
        leftover = maps[1:]
        self._endpoints = maps[0] if maps else f"{ENDPOINTS}{_enough(expected)}"
        counts = sorted(filter(None, map(count_of, self._pick_chains())))
        try:
            self._make_skeleton()
        except libnftables.RulesetRefused:
            # Another version's sets may have other types. Connections stay: the kernel tracks them apart.
            log.warning("the nftables table of another version does not fit; making it anew")
            cleanup(self.family)
            leftover, counts = [], []
            self._endpoints = f"{ENDPOINTS}{_enough(expected)}"
            self._make_skeleton()
        steps = [pick_remade(count, self._endpoints, self.family) for count in counts]
        self._link.commit(steps + [map_removed(name) for name in leftover])
        self._chains = {f"{PICK}{count}": time.monotonic() for count in counts}
        self._read()
        self._remember()

    def _make_skeleton(self) -> None:
        fresh = not self._current_marks()
        self._nft.run(declarations(self._endpoints, self.family))
        self._nft.run(
            rules(
                fresh=fresh,
                cluster_cidrs=self._options.local_pods.networks(self.family),
                service_cidrs=self.family.only(self._options.service_cidrs),
                family=self.family,
            )
        )

    def _read(self) -> None:
        led = dict(verdicts(self._elements(FRONTENDS)))
        members = {(name, key) for name in SETS for key in keys(self._elements(name))}
        self._unread = led if sum(map(count_of, led.values())) > READ_AT_MOST else None
        if self._unread is None:
            slots = self._encoder.slots(self._elements(self._endpoints))
            self.applied, cleaning = routes_of(led.items(), slots)
            if cleaning.routed or cleaning.emptied:
                self._link.commit(self._encoder.steps(cleaning, self._endpoints))
        else:
            self.applied = Applied()
        self.applied.members = members
        self._count()

    def _count(self) -> None:
        self._uses.clear()
        self._used = 0
        width = self.family.size + 4
        for route in self.applied.routes.values():
            self._uses[chain_of(route, self.family)] += 1
            self._used += 0 if isinstance(route, Verdict) else len(route) // width

    def _apply(self, desired: Desired) -> None:
        todo = diff(desired, self.applied, self.family)
        self.last = todo
        if self._unread is not None:
            self._replace(todo, self._unread)
            return
        if not todo:
            return
        room = sum(len(run.targets) for run in todo.filled)
        if self._used + room > _capacity(self._endpoints):
            self._grow(self._used + room)
        new = self._missing_chains(todo)
        chains = [pick_made(count_of(name), self._endpoints, self.family) for name in new]
        self._link.commit(itertools.chain(chains, self._encoder.steps(todo, self._endpoints)))
        todo.apply(self.applied)
        self._used += todo.slots()
        now = time.monotonic()
        self._chains.update(dict.fromkeys(new, now))
        for _, before, after in todo.routed:
            self._uses[before] -= 1
            self._uses[after] += 1
        for _, before, _ in todo.routed:
            if before in self._chains and not self._uses[before]:
                self._chains[before] = now
        if new:
            self._remember()

    def _missing_chains(self, todo: Transaction) -> list[str]:
        return sorted({after for _, _, after in todo.routed if count_of(after)} - self._chains.keys())

    def _grow(self, needed: int) -> None:
        """Copies all slots into a larger map."""
        after = self._another(needed)
        self._link.commit(self._encoder.endpoints(self.applied.routes.items(), after))
        self._turn(after)
        self._remember()

    def _replace(self, todo: Transaction, led: dict[Frontend, str]) -> None:
        """Takes over a table whose slots were not read: everything into another map, then all chains to it.

        `todo` is the way from a table without frontends; the one there has those that `led` says.
        """
        after = self._another(todo.slots())
        wanted = {key: chain for key, _, chain in todo.routed}
        todo.routed = [
            (key, led.get(key, ""), chain) for key, chain in wanted.items() if led.get(key) != chain
        ]
        todo.routed += [(key, chain, "") for key, chain in led.items() if key not in wanted]
        self._link.commit(self._encoder.steps(Transaction(joined=todo.joined, filled=todo.filled), after))
        self._turn(after)
        new = self._missing_chains(todo)
        chains = [pick_made(count_of(name), after, self.family) for name in new]
        rest = self._encoder.steps(Transaction(routed=todo.routed, left=todo.left), after)
        self._link.commit(itertools.chain(chains, rest))
        todo.apply(self.applied)
        self._unread = None
        self._chains.update(dict.fromkeys(new, time.monotonic()))
        self._count()
        self._remember()

    def _another(self, slots: int) -> str:
        """A new map of endpoints for so many slots, next to the one in use, which has a smaller number."""
        name = f"{ENDPOINTS}{max(_enough(slots), _capacity(self._endpoints) + 1)}"
        self._nft.run(larger(name, self.family))
        return name

    def _turn(self, after: str) -> None:
        """Lets all chains draw from another map at once, and removes the one before."""
        turned = [
            request for chain in self._chains for request in pick_remade(count_of(chain), after, self.family)
        ]
        self._link.commit([(*turned, *map_removed(self._endpoints))])
        self._endpoints = after

    def tidy(self) -> None:
        """Removes chains that nothing has led to for `CHAIN_REST` seconds.

        Long after the transaction that took their last frontend away: before Linux 6.2 a chain cannot go in the
        same one.
        """
        now = time.monotonic()
        idle = [
            name for name, since in self._chains.items() if not self._uses[name] and now - since > CHAIN_REST
        ]
        if idle:
            self._link.commit(chain_removed(name) for name in idle)
            for name in idle:
                del self._chains[name]
            self._remember()

    def harmed(self) -> bool:
        """Whether somebody else removed or changed our table's rules since we last looked. Costs 20 microseconds.

        The kernel can also tell of changes by itself, but it would make a message of every element that we
        change, for us alone: eight gigabytes for a million. So we ask for its generation instead.
        """
        generation = self._current_generation()
        if generation == self._generation:
            return False
        self._generation = generation
        return self._marks != self._current_marks()

    def _remember(self) -> None:
        self._generation = self._current_generation()
        self._marks = self._current_marks()

    def _current_generation(self) -> int:
        answer = dict(attributes(self._link.dump(GETGEN, b"", every=False)[0]))
        return int(struct.unpack("!I", answer[1])[0])

    def _current_marks(self) -> tuple[bytes, ...]:
        """The handles of our table and of its rules, which the kernel gives only once."""
        try:
            table = self._link.dump(GETTABLE, _TABLE_NAME, every=False)
        except FileNotFoundError:
            return ()
        marks = [bytes(dict(attributes(answer))[4]) for answer in table]
        for answer in self._link.dump(GETRULE, _TABLE_NAME):
            rule = dict(attributes(answer))
            if bytes(rule[1]) == TABLE.encode() + b"\0":
                marks.append(bytes(rule[3]))
        return tuple(marks)

    def _elements(self, name: str) -> list[memoryview]:
        return self._link.dump(GETSETELEM, set_named(name))

    def _sets(self) -> list[str]:
        return self._names(GETSET, 2)

    def _pick_chains(self) -> list[str]:
        return [name for name in self._names(GETCHAIN, 3) if name.startswith(PICK)]

    def _names(self, kind: int, at: int) -> list[str]:
        try:
            answers = self._link.dump(kind, _TABLE_NAME)
        except FileNotFoundError:
            return []
        found = []
        for answer in answers:
            parts = dict(attributes(answer))
            if bytes(parts[1]) == TABLE.encode() + b"\0":
                found.append(bytes(parts[at]).rstrip(b"\0").decode())
        return found


def cleanup(family: Family = IPV4) -> None:
    """Removes the table, if it is there. Connections that it translated go on."""
    table = f"{family.table} {TABLE}"
    # Adding first makes deleting a table that is not there no error.
    libnftables.run(f"add table {table}\ndelete table {table}\n")


def _capacity(name: str) -> int:
    size = name.removeprefix(ENDPOINTS)
    return int(size) if size.isdecimal() else 0


def _enough(slots: int) -> int:
    """A capacity for that many slots and a quarter more, a power of two."""
    return max(SMALLEST, 1 << (slots + slots // 4).bit_length())
