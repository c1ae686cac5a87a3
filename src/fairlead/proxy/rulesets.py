"""Rulesets as text into the kernel (`libnftables`); what goes wrong is what goes wrong with a dataplane."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fairlead import libnftables
from fairlead.proxy.dataplane import Refused, Unusable


class KernelWithout(Unusable):
    """The kernel has no nf_tables, and so nothing in them."""


class Context:
    """As `libnftables.Context`; raises `dataplane.Unusable` or `dataplane.Refused`."""

    def __init__(self) -> None:
        with _told():
            self._context = libnftables.Context()

    def close(self) -> None:
        """Frees it. Idempotent."""
        self._context.close()

    def run(self, commands: str) -> str:
        """Runs commands of the nft language as one transaction, in about a millisecond; gives their output."""
        with _told():
            return self._context.run(commands)


def run(commands: str) -> str:
    """Runs commands once, in this thread's network namespace; as `Context.run`."""
    with _told():
        return libnftables.run(commands)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except libnftables.KernelWithout as error:
        raise KernelWithout(str(error)) from error
    except libnftables.Unusable as error:
        raise Unusable(str(error)) from error
    except libnftables.Refused as error:
        raise Refused(str(error)) from error
