"""What all Services together want of the kernel, which several of them may want of one element."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from fairlead.proxy.nftables.difference import Applied, Desired
from fairlead.proxy.nftables.elements import Elements, Frontend, Member, Name

_Held = tuple[Collection[Frontend], Collection[Name], frozenset[Member]]


class Wanted:
    """The elements that each Service wants, without their data."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._counts: Counter[Member] = Counter()

    def everything(self, services: Iterable[tuple[str, Elements]], applied: Applied) -> Desired:
        """What has to be in a kernel that holds `applied`, and what has to go from it."""
        self._held.clear()
        self._counts.clear()
        desired = Desired(
            dict.fromkeys(applied.ways),
            dict.fromkeys((*applied.slots, *applied.sticky)),
            dict.fromkeys(applied.members, False),
        )
        self._enter(services, desired)
        return desired

    def changes(self, services: Iterable[tuple[str, Elements]]) -> Desired:
        """What may have to change when these Services want something else than before."""
        services = list(services)
        desired = Desired()
        # One may take over what another one lets go of: first all that goes, then all that comes.
        for key, _ in services:
            self._leave(key, desired)
        self._enter(services, desired)
        return desired

    def _leave(self, key: str, desired: Desired) -> None:
        frontends, names, members = self._held.pop(key, ((), (), frozenset()))
        desired.ways.update(dict.fromkeys(frontends))
        desired.backings.update(dict.fromkeys(names))
        for member in members:
            self._counts[member] -= 1
            if not self._counts[member]:
                del self._counts[member]
                desired.members[member] = False

    def _enter(self, services: Iterable[tuple[str, Elements]], desired: Desired) -> None:
        counts = self._counts
        for key, elements in services:
            if not elements.ways and not elements.members:
                continue
            self._held[key] = tuple(elements.ways), tuple(elements.backings), elements.members
            desired.ways.update(elements.ways)
            desired.backings.update(elements.backings)
            for member in elements.members:
                # Not `+=`: a Counter asks Python for each that it does not have.
                counts[member] = counts.get(member, 0) + 1
                desired.members[member] = True
