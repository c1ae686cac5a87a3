"""The catalog: the kinds that are served at this moment.

Those of the table (`kinds.py`) are always in it. Definitions add families while the server runs, change them and take
them away again (`definitions.py`). Whoever needs a kind asks here each time, and whoever keeps something made from the
kinds makes it again when `revision` has grown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import KINDS


@dataclass(frozen=True, eq=False)
class Family:
    """A collection of the store with all versions that it is served in."""

    stored: Kind
    """The kind in the version that is stored; it need not be served."""
    served: tuple[Kind, ...]
    """One kind a version, the preferred version first."""


Told = Callable[[Family | None, Family | None], None]
"""Is told of a family before and after a change; None where there was or is none."""


class Catalog:
    """The kinds that are served, by what requests, stored keys and references call them."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self.revision = 0
        """Grows with every change."""
        self._fixed = tuple(kinds)
        self._families = _families(self._fixed)
        self._built_in = frozenset(self._families)
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_name: dict[tuple[str, str], Kind] = {}
        self._told: list[Told] = []
        for family in self._families.values():
            self._enter(family)

    def __iter__(self) -> Iterator[Kind]:
        """All that are served: those of the table in its order, then the others by group and plural."""
        yield from self._fixed
        added = sorted(self._families.keys() - self._built_in, key=_by_group)
        for prefix in added:
            yield from self._families[prefix].served

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind whose collection has this path."""
        return self._by_path.get((group, version, plural))

    def named(self, api_version: str, kind: str) -> Kind | None:
        """The kind that references mean by these names."""
        return self._by_name.get((api_version, kind))

    def keeper(self, key: str) -> Kind | None:
        """The kind, in its stored version, of the object at a key of the store; None for keys that are no objects."""
        family = self._families.get(key[: key.find("/", 1) + 1])
        return family.stored if family is not None else None

    def collections(self) -> list[Kind]:
        """Every collection of the store once, by the kind that it is stored as."""
        return [family.stored for family in self._families.values() if family.stored.kept]

    def built_in(self, prefix: str) -> bool:
        """Whether a collection of the store belongs to the table."""
        return prefix in self._built_in

    def follow(self, told: Told) -> None:
        """From now on every change is told, after it was made."""
        self._told.append(told)

    def put(self, family: Family) -> None:
        """Serves a family, in place of the one with the same collection if there is one."""
        self._change(family.stored.prefix, family)

    def drop(self, prefix: str) -> None:
        """Serves the family of a collection no more."""
        self._change(prefix, None)

    def _change(self, prefix: str, after: Family | None) -> None:
        if prefix in self._built_in:
            raise ValueError(f"{prefix} is a collection of the table of kinds")
        before = self._families.pop(prefix, None)
        if before is None and after is None:
            return
        for kind in before.served if before is not None else ():
            del self._by_path[_path(kind)]
            if self._by_name.get(_name(kind)) is kind:
                del self._by_name[_name(kind)]
        if after is not None:
            self._families[prefix] = after
            self._enter(after)
        self.revision += 1
        for told in self._told:
            told(before, after)

    def _enter(self, family: Family) -> None:
        for kind in family.served:
            self._by_path[_path(kind)] = kind
            self._by_name.setdefault(_name(kind), kind)


def _families(kinds: Iterable[Kind]) -> dict[str, Family]:
    """The kinds by the prefix of their collection; those that are stored as another one are in its family."""
    found: dict[str, Family] = {}
    for kind in sorted(kinds, key=lambda one: one.conversion is not None):
        family = found.get(kind.prefix, Family(kind, ()))
        found[kind.prefix] = Family(family.stored, (*family.served, kind))
    return found


def _path(kind: Kind) -> tuple[str, str, str]:
    return kind.resource.group, kind.resource.version, kind.plural


def _name(kind: Kind) -> tuple[str, str]:
    return kind.resource.api_version, kind.resource.kind


def _by_group(prefix: str) -> tuple[str, str]:
    plural, _, group = prefix.strip("/").partition(".")
    return group, plural
