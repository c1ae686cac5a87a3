"""What we wrote of Services, until the informer has heard of it: a decision is made on what is there, not on a copy."""

from __future__ import annotations

from fairlead.client.informer import Informer, key_of
from fairlead.objects.core_v1 import Service


class Written:
    """The Services as they were after our last writes.

    One that the informer has heard of is let go when the Service is asked for, which it is after each of its changes,
    that by our write among them.
    """

    def __init__(self, informer: Informer[Service]) -> None:
        self._informer = informer
        self._written: dict[str, Service] = {}

    def put(self, service: Service) -> None:
        """The server's answer to a write."""
        self._written[key_of(service)] = service

    def newest(self, key: str) -> Service | None:
        """The Service as far as it is known; None where there is none."""
        seen, written = self._informer.items.get(key), self._written.get(key)
        if written is None:
            return seen
        if seen is None or self._informer.has_seen(written):
            del self._written[key]
            return seen
        return written
