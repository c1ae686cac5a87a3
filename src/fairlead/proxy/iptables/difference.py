"""What iptables-restore has to be told, in an order in which no packet meets a half. Pure.

A section, from `*table` to `COMMIT`, is one transaction. A small change is one section of the table nat; endpoints
that are all gone, or come back, need one of the table filter before it or after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fairlead.proxy.iptables.names import FILTER, NAT, Chain
from fairlead.proxy.iptables.rendering import ServiceRules

MANY = 20
"""Rules that leave a shared chain one by one, each of which has to be sought: beyond, the chain is written anew."""

_Unit = tuple[str, Sequence[str]]
"""A table, and lines that have to be in one transaction."""


@dataclass(slots=True)
class Difference:
    """The way from one set of rules to another, gathered Service by Service."""

    written: dict[Chain, Sequence[str]] = field(default_factory=dict)
    """Chains to make, or to empty and fill; each after those that it leads to."""
    dead: dict[Chain, None] = field(default_factory=dict)
    """Chains that nothing leads to any more."""
    added: dict[Chain, dict[str, None]] = field(default_factory=dict)
    removed: dict[Chain, dict[str, None]] = field(default_factory=dict)
    """Rules of the chains that Services share."""
    whole: dict[Chain, Sequence[str]] = field(default_factory=dict)
    """Shared chains that are written anew, with all their rules."""
    jumps: list[tuple[Chain, str]] = field(default_factory=list)
    """Rules for the heads of chains that are not ours."""
    unjumped: list[tuple[Chain, str]] = field(default_factory=list)
    """Rules to take from there."""
    total: Counter[str] = field(default_factory=Counter)
    """How many rules of each table are ours afterwards; where what was there is known, how many more."""

    def __bool__(self) -> bool:
        return any((self.written, self.dead, self.added, self.removed, self.whole, self.jumps, self.unjumped))

    def told(self) -> Counter[str]:
        """How many rules it writes or removes in each table."""
        found = Counter[str]()
        for anew in (self.written, self.whole):
            for chain, rules in anew.items():
                found[chain.table] += len(rules)
        for one_by_one in (self.added, self.removed):
            for chain, some in one_by_one.items():
                found[chain.table] += len(some) if chain not in self.whole else 0
        found.update(chain.table for chain, _ in (*self.jumps, *self.unjumped))
        return found

    def change(self, old: ServiceRules, new: ServiceRules) -> None:
        """What one Service had becomes what it wants."""
        self.total.update(new.counts())
        self.total.subtract(old.counts())
        for name, rules in new.chains.items():
            if old.chains.get(name) != rules:
                self.written[Chain(NAT, name)] = rules
        self.dead |= {Chain(NAT, name): None for name in old.chains if name not in new.chains}
        if old.portals != new.portals:
            before, after = dict.fromkeys(old.portals), dict.fromkeys(new.portals)
            self.portals([p for p in before if p not in after], [p for p in after if p not in before])

    def portals(self, gone: Iterable[tuple[Chain, str]], come: Iterable[tuple[Chain, str]]) -> None:
        """Rules that leave shared chains, and rules that join them."""
        for chain, rule in gone:
            self.removed.setdefault(chain, {})[rule] = None
        for chain, rule in come:
            self.added.setdefault(chain, {})[rule] = None

    def crowded(self) -> list[Chain]:
        """The shared chains that are better written anew."""
        return [chain for chain, rules in self.removed.items() if len(rules) > MANY]

    def text(self, limit: int, most: int) -> str:
        """The input of iptables-restore, in sections of about `limit` lines, and of `most` at the utmost.

        A chain with more rules than that is written from its end, so that it leads somewhere at any time.
        """
        return "".join(_sections(self._units(most), limit))

    def _units(self, most: int) -> Iterator[_Unit | None]:
        """In the order of commits; None where a section has to end."""
        yield from self._written(most, nat=False)
        # What refuses stands before the way to the endpoints goes, and goes when it is there.
        for chain, rules in self.added.items():
            if chain.table == FILTER:
                yield from ((FILTER, [f"-I {chain.name} {rule}"]) for rule in rules)
        yield from self._written(most, nat=True)
        yield from self._shared(NAT, most)
        for chain, rule in self.jumps:
            yield chain.table, [f"-I {chain.name} {rule}"]
        yield from self._shared(FILTER, most)
        for chain, rule in self.unjumped:
            yield chain.table, [f"-D {chain.name} {rule}"]
        if self.dead:
            if any(chain.table == NAT for chain in self.added.keys() - self.removed.keys()):
                # Apart: with a chain that goes, iptables reads the rules of all chains that its section names.
                yield None
            yield from ((table, [f":{name} - [0:0]"]) for table, name in self.dead)
            yield from ((table, [f"-X {name}"]) for table, name in self.dead)

    def _written(self, most: int, *, nat: bool) -> Iterator[_Unit]:
        for chain, rules in self.written.items():
            if (chain.table == NAT) == nat:
                yield from _anew(chain, rules, most)

    def _shared(self, table: str, most: int) -> Iterator[_Unit]:
        for chain, rules in self.whole.items():
            if chain.table == table:
                yield from _anew(chain, rules, most)
        for chain in {**self.removed, **self.added}:
            if chain.table == table and chain not in self.whole:
                if chain in self.removed:
                    yield table, [f"-D {chain.name} {rule}" for rule in self.removed[chain]]
                if table == NAT:
                    yield from ((NAT, [f"-I {chain.name} {rule}"]) for rule in self.added.get(chain, ()))


def _anew(chain: Chain, rules: Sequence[str], most: int) -> Iterator[_Unit]:
    first = max(0, len(rules) - most + 1)
    yield chain.table, [f":{chain.name} - [0:0]", *(f"-A {chain.name} {rule}" for rule in rules[first:])]
    yield from ((chain.table, [f"-I {chain.name} {rule}"]) for rule in reversed(rules[:first]))


def _sections(units: Iterable[_Unit | None], limit: int) -> Iterator[str]:
    table, lines = "", list[str]()
    for unit in (*units, None):
        if lines and (unit is None or unit[0] != table or len(lines) + len(unit[1]) > limit):
            yield "\n".join((f"*{table}", *lines, "COMMIT", ""))
            lines = []
        if unit is not None:
            table = unit[0]
            lines += unit[1]
