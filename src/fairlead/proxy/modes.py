"""The proxy's modes by name. One that is not asked for is not imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fairlead.proxy.dataplane import Dataplane
from fairlead.proxy.family import Family
from fairlead.proxy.options import ProxyOptions


class Mode(NamedTuple):
    """What a mode offers, in the network namespace of the thread that calls."""

    dataplane: Callable[[ProxyOptions, Family], Dataplane]
    """Makes one. Raises `dataplane.Unusable`, here or at the first `rebuild`, where the mode cannot work."""
    cleanup: Callable[[Family], None]
    """Removes every trace of the mode. Raises `dataplane.Unusable` where it may not."""


def _nftables() -> Mode:
    from fairlead.proxy.nftables import Nftables, cleanup

    return Mode(Nftables, cleanup)


def _iptables() -> Mode:
    from fairlead.proxy.iptables.dataplane import Iptables, cleanup

    return Mode(Iptables, cleanup)


_LOADERS: dict[str, Callable[[], Mode]] = {"nftables": _nftables, "iptables": _iptables}

MODES = tuple(_LOADERS)
"""Their names, the default first."""


def load(name: str) -> Mode:
    """The mode of that name, one of `MODES`."""
    return _LOADERS[name]()
