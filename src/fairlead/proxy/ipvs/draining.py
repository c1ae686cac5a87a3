"""Real servers that get nothing new and wait for their last connection to end (graceful termination)."""

from __future__ import annotations

from collections.abc import Iterator
from socket import IPPROTO_UDP

from fairlead.proxy.ipvs.servers import Frontend, Load, Server
from fairlead.proxy.selection import Target

LOOK = 5.0
"""Seconds between looks at their connections (kube-proxy: a minute)."""


class Draining:
    """Which real servers do, by virtual server.

    None waits longer than the kernel keeps an idle connection: 15 minutes, unless the timeouts say otherwise.
    """

    def __init__(self) -> None:
        self._targets: dict[Frontend, set[Target]] = {}

    def __contains__(self, item: tuple[Frontend, Target]) -> bool:
        return item[1] in self._targets.get(item[0], ())

    def __iter__(self) -> Iterator[Frontend]:
        return iter(tuple(self._targets))

    def of(self, frontend: Frontend) -> tuple[Target, ...]:
        """Those of a virtual server."""
        return tuple(self._targets.get(frontend, ()))

    def add(self, frontend: Frontend, target: Target) -> None:
        """It has to go."""
        self._targets.setdefault(frontend, set()).add(target)

    def discard(self, frontend: Frontend, target: Target) -> None:
        """It is gone, or wanted again."""
        held = self._targets.get(frontend)
        if held is not None:
            held.discard(target)
            if not held:
                del self._targets[frontend]

    def forget(self, frontend: Frontend) -> None:
        """The virtual server went with all of them."""
        self._targets.pop(frontend, None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._targets.clear()

    def done(self, frontend: Frontend, loads: dict[Target, Load]) -> list[Target]:
        """Those of a virtual server that have no connection left, or are gone."""
        held = self._targets.get(frontend, ())
        return [target for target in held if (load := loads.get(target)) is None or not load.connections]


def lingers(frontend: Frontend, server: Server, target: Target) -> bool:
    """Whether a real server that gets nothing new keeps its clients.

    A UDP client that goes on sending would keep one for ever, so there only as long as it says that it serves.
    (kube-proxy removes it at once: pkg/proxy/ipvs/graceful_termination.go.)
    """
    return frontend.protocol != IPPROTO_UDP or target in server.serving
