"""What the modes of the proxy have in common: one dataplane for each address family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from fairlead.proxy.family import Family
from fairlead.proxy.selection import Selection

Selected = tuple[Selection, ...]
"""What one Service wants on this node; () is nothing."""

Everything = Callable[[], Iterator[tuple[str, Selected]]]
"""Gives every Service's key with what it wants, each key once; may be called again."""


class Unusable(RuntimeError):
    """This mode can never work here: a program, a module or a right is missing. The text says what to do."""


class Refused(RuntimeError):
    """The kernel, or a program that we told, did not take what we wanted; the text is its own. Worth trying again."""


class Dataplane(Protocol):
    """The Services of one family in the kernel, in the network namespace of the thread that made it."""

    family: Family

    def rebuild(self, everything: Everything) -> None:
        """Takes over what is in the kernel, whoever left it, and changes only what differs from `everything`.

        Raises OSError and `Refused`, after which it may be called again, and `Unusable`.
        """

    def commit(self, changes: Mapping[str, Selected]) -> None:
        """One transaction for the Services that changed; work proportional to them. After an exception: `rebuild`."""

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        """The node's primary addresses of this family, where some modes open node ports; told before `rebuild` too."""

    def harmed(self) -> bool:
        """Whether somebody else touched what is ours since the last look. Cheap: asked twice a second and at each turn.

        Raises OSError, `Refused` or `Unusable` where it cannot be told.
        """

    def tidy(self) -> None:
        """Removes leftovers that need not go at once. Raises OSError, `Refused` or `Unusable`."""

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
