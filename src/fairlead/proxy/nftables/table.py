"""The nftables dataplane: one table, adopted as it is found, changed by differences, mended when others harm it."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from fairlead import libnftables
from fairlead.proxy import rulesets
from fairlead.proxy.dataplane import Everything, Refused, Selected, Unusable
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.netlink import KernelRefused, Link, Step
from fairlead.proxy.nftables.chains import chain_emptied, chain_made, chain_remade, chain_removed, map_removed
from fairlead.proxy.nftables.difference import Applied, Desired, Transaction, diff
from fairlead.proxy.nftables.dumps import drawn, found, slots
from fairlead.proxy.nftables.elements import Elements, Way, render
from fairlead.proxy.nftables.encoding import Encoder, strays
from fairlead.proxy.nftables.inventory import Inventory
from fairlead.proxy.nftables.names import (
    CONSTANT,
    ENDPOINTS,
    NODE_ADDRESSES,
    TABLE,
    Chain,
    Learner,
    chain_named,
)
from fairlead.proxy.nftables.ownership import Ownership, refuse_owned
from fairlead.proxy.nftables.skeleton import CHAINS, declarations, declaring, rules, ruling, slots_map
from fairlead.proxy.nftables.wanted import Wanted
from fairlead.proxy.nftables.watch import Watch
from fairlead.proxy.options import ProxyOptions

log = logging.getLogger("fairlead.proxy")

SMALLEST = 1 << 16
"""Slots of the first map of slots: 1 MiB of the kernel's memory."""
CHAIN_REST = 10.0
"""Seconds for which a chain that nothing leads to is kept: endpoints that come and go do not make it anew."""

READ_AT_MOST = 100_000
"""Slots that are read when a table is taken over. The kernel's dump of a map is quadratic: it walks to where it
stopped each time, which takes 0.2 s for this many and 20 s for a million. Beyond, the map is filled anew beside
the old one, which takes microseconds a slot, and the chains are turned to it."""

_THE_NODE = ""
"""What wants the node's addresses in the kernel, next to the Services."""


class Nftables:
    """One family's table in the network namespace of the thread that made this: a `dataplane.Dataplane`.

    `applied` is what the kernel holds as far as we know. After any exception of `commit` that is uncertain.
    """

    def __init__(self, options: ProxyOptions, family: Family = IPV4) -> None:
        self.family = family
        self.applied = Applied()
        self.last = Transaction()
        """What the last `rebuild` or `commit` took."""
        self._options = options
        self._addresses: tuple[bytes, ...] = ()
        self._nft = rulesets.Context()
        self._link = Link(family.number)
        self._inventory = Inventory(self._link)
        self._watch = Watch(self._link, self._inventory, family)
        self._ownership = Ownership(self._link, family, wanted=options.own_table)
        self._encoder = Encoder(family)
        self._wanted = Wanted()
        self._endpoints = ""
        """The map of slots in use."""
        self._unread = ""
        """The map of slots in use of a table that was taken over without reading it; `_endpoints` is to be filled."""
        self._used = 0
        self._uses: Counter[str] = Counter()
        self._chains: dict[str, float] = {}
        """The chains that draw a slot, each with the time at which its last frontend left it."""

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        self._link.close()
        self._nft.close()

    def rebuild(self, everything: Everything) -> None:
        """Takes over what is in the kernel and brings it to `everything`, changing only the difference.

        Raises `dataplane.Unusable` where nftables cannot be used at all, `dataplane.Refused`,
        OSError. Costs about a microsecond a slot.
        """
        services = [(key, render(selected, self.family)) for key, selected in everything()]
        leftovers = self.adopt(sum(elements.slots() for _, elements in services))
        services.append((_THE_NODE, self._of_node()))
        self._apply(self._wanted.everything(services, self.applied))
        self._remove(leftovers)
        self._ownership.claim()
        self._watch.remember()

    def commit(self, changes: Mapping[str, Selected]) -> None:
        """Brings what the Services that changed want into the kernel, in one atomic batch.

        Where the send buffer is limited (user namespaces) a big change takes several batches in an order in
        which no packet meets a half. Raises OSError or `dataplane.Refused`.
        """
        services = [(key, render(selected, self.family)) for key, selected in changes.items()]
        self._apply(self._wanted.changes(services))

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        """The node's primary addresses, where node ports are open unless the options name others. One transaction."""
        self._addresses = addresses
        if self._endpoints:
            self._apply(self._wanted.changes([(_THE_NODE, self._of_node())]))

    def _of_node(self) -> Elements:
        return Elements({}, {}, frozenset((NODE_ADDRESSES, address) for address in self._addresses))

    def adopt(self, expected: int = 0) -> list[Step]:
        """Makes the table, or takes over the one that is there with all its elements, and reads them.

        `expected` is the number of slots that will be needed. Gives what to do when its frontends lead to chains
        of this version: the removal of what others left.
        """
        try:
            sets, chains = self._inventory.sets(), self._inventory.chains()
        except PermissionError as error:
            raise Unusable(libnftables.NO_RIGHTS) from error
        self._ownership.give_up()
        maps = sorted((name for name in sets if _capacity(name)), key=_capacity)
        # A second one was being filled to take the first one's place when somebody killed us.
        self._endpoints = maps[0] if maps else f"{ENDPOINTS}{_enough(expected)}"
        try:
            self._make_skeleton()
        except Refused:
            # Another version's sets may have other types. Connections stay: the kernel tracks them apart.
            log.warning("the nftables table of another version does not fit; making it anew")
            cleanup(self.family)
            sets, chains, maps = [], [], []
            self._endpoints = f"{ENDPOINTS}{_enough(expected)}"
            self._make_skeleton()
        drawing = [chain for chain in map(chain_named, chains) if chain is not None]
        remade = [chain_remade(chain, self._endpoints, self.family) for chain in drawing]
        self._link.commit(remade + [map_removed(name) for name in maps[1:]])
        self._chains = {chain.name: time.monotonic() for chain in drawing}
        self._read(expected)
        return _strangers(sets, chains)

    def _make_skeleton(self) -> None:
        fresh = not self._inventory.marks()
        if fresh:
            self._ownership.make(self._nft)
        self._nft.run(declaring(declarations(self._endpoints, self.family), self.family))
        self._nft.run(ruling(rules(self._options, self.family), fresh=fresh, family=self.family))

    def _read(self, expected: int) -> None:
        there = found(self._inventory.elements, self.family)
        self.applied = there.applied
        self._unread = ""
        self._link.commit(strays(there.strays))
        try:
            if drawn(self.applied.ways) > READ_AT_MOST:
                raise ValueError("too many slots to read")
            self.applied.slots, beyond = slots(self._inventory.elements(self._endpoints), self._encoder)
            self._link.commit(self._encoder.rest(Transaction(emptied=beyond), self._endpoints))
        except ValueError:
            self._unread, self._endpoints = self._endpoints, self._another(expected)
        self._uses = Counter(name for way in self.applied.ways.values() for name in way.chains())
        self._used = sum(map(len, self.applied.slots.values())) // (self.family.size + 4)

    def _apply(self, desired: Desired) -> None:
        todo = diff(desired, self.applied, self.family)
        self.last = todo
        if not todo and not self._unread:
            return
        room = sum(len(run.targets) for run in todo.filled)
        if self._used + room > _capacity(self._endpoints):
            self._grow(self._used + room)
        new = self._missing_chains(todo)
        made = (chain_made(chain, self._endpoints, self.family) for chain in new)
        if self._unread:
            self._link.commit(
                itertools.chain(
                    self._encoder.filling(todo, self._endpoints),
                    [self._turned(self._unread)],
                    made,
                    self._encoder.rest(todo, self._endpoints),
                )
            )
            self._unread = ""
        else:
            self._link.commit(itertools.chain(made, self._encoder.steps(todo, self._endpoints)))
        todo.apply(self.applied)
        self._used += todo.growth()
        self._count(todo.routed, {chain.name for chain in new})
        if new:
            self._watch.remember()

    def _missing_chains(self, todo: Transaction) -> list[Chain | Learner]:
        names = {name for _, _, way in todo.routed if way is not None for name in way.chains()}
        missing = map(chain_named, sorted(names - self._chains.keys()))
        return [chain for chain in missing if chain is not None]

    def _count(self, routed: Iterable[tuple[bytes, Way | None, Way | None]], new: Iterable[str]) -> None:
        """Keeps account of which chains are led to."""
        now = time.monotonic()
        uses = self._uses
        self._chains.update(dict.fromkeys(new, now))
        left: set[str] = set()
        for _, before, after in routed:
            if before is not None:
                for name in before.chains():
                    uses[name] -= 1
                    left.add(name)
            if after is not None:
                for name in after.chains():
                    uses[name] += 1
        self._chains.update({name: now for name in left if name in self._chains and not uses[name]})

    def _grow(self, needed: int) -> None:
        """Copies all slots into a larger map."""
        before, after = self._endpoints, self._another(needed)
        self._link.commit(self._encoder.copied(self.applied.slots.items(), after))
        self._endpoints = after
        self._link.commit([self._turned(before)])
        self._watch.remember()

    def _another(self, capacity: int) -> str:
        """A new map for so many slots, next to the one in use, which has a smaller number."""
        name = f"{ENDPOINTS}{max(_enough(capacity), _capacity(self._endpoints) + 1)}"
        with self._ownership.lent():
            self._nft.run(declaring([slots_map(name, self.family)], self.family))
        return name

    def _turned(self, before: str) -> Step:
        """Lets all chains draw from the map in use, all at once, and removes the one before."""
        chains = [chain for chain in map(chain_named, self._chains) if chain is not None]
        remade = (chain_remade(chain, self._endpoints, self.family) for chain in chains)
        return (*itertools.chain.from_iterable(remade), *map_removed(before))

    def _remove(self, leftovers: Iterable[Step]) -> None:
        try:
            self._link.commit(leftovers)
        except KernelRefused as error:
            log.warning("what somebody else left in the nftables table %s stays there: %s", TABLE, error)

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
            self._watch.remember()

    def harmed(self) -> bool:
        """Whether somebody else removed or changed our table's rules or elements; costs what `Watch.harmed` does."""
        return self._watch.harmed(self.applied, self._endpoints)


def cleanup(family: Family = IPV4) -> None:
    """Removes the table, if it is there. Connections that it translated go on.

    Raises `dataplane.Refused` where a proxy that runs owns it.
    """
    name = f"table {family.table} {TABLE}"
    if name not in rulesets.run("list tables\n").splitlines():
        return
    link = Link(family.number)
    try:
        refuse_owned(link, family)
    finally:
        link.close()
    rulesets.run(f"delete {name}\n")


def _strangers(sets: Iterable[str], chains: Iterable[str]) -> list[Step]:
    """The removal of chains and sets that this version knows nothing of, which no rule of its own asks for."""
    strange = [name for name in chains if name not in CHAINS and chain_named(name) is None]
    rules_gone = [chain_emptied(name) for name in strange]
    chains_gone = [chain_removed(name) for name in strange]
    sets_gone = [map_removed(name) for name in sets if name not in CONSTANT and not _capacity(name)]
    steps = rules_gone + chains_gone + sets_gone
    return [tuple(itertools.chain.from_iterable(steps))] if steps else []


def _capacity(name: str) -> int:
    size = name.removeprefix(ENDPOINTS)
    return int(size) if size != name and size.isdecimal() else 0


def _enough(slots: int) -> int:
    """A capacity for that many slots and a quarter more, a power of two."""
    return max(SMALLEST, 1 << (slots + slots // 4).bit_length())
