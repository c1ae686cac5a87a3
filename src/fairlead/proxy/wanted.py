"""What all Services together want of the kernel, which several of them may want of one element."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from fairlead.proxy.elements import Applied, Desired, Elements, Frontend, Member


class Wanted:
    """The elements that each Service wants, without their data."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Collection[Frontend], frozenset[Member]]] = {}
        self._counts: Counter[Member] = Counter()

    def everything(self, services: Iterable[tuple[str, Elements]], applied: Applied) -> Desired:
        """What has to be in a kernel that holds `applied`, and what has to go from it."""
        self._held.clear()
        self._counts.clear()
        desired = Desired(dict.fromkeys(applied.routes), dict.fromkeys(applied.members, False))
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
        frontends, members = self._held.pop(key, ((), frozenset()))
        desired.routes.update(dict.fromkeys(frontends))
        for member in members:
            self._counts[member] -= 1
            if not self._counts[member]:
                del self._counts[member]
                desired.members[member] = False

    def _enter(self, services: Iterable[tuple[str, Elements]], desired: Desired) -> None:
        for key, elements in services:
            if not elements.routes and not elements.members:
                continue
            self._held[key] = tuple(elements.routes), elements.members
            desired.routes.update(elements.routes)
            for member in elements.members:
                self._counts[member] += 1
                desired.members[member] = True
