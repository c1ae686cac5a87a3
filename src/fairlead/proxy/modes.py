"""The proxy's modes by name. One that is not asked for is not imported."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.proxy.dataplane import Dataplane, Selected
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.options import ProxyOptions


class Cleanup(Protocol):
    """Removes a mode's traces."""

    def __call__(self, family: Family, *, beside: str = "") -> None:
        """Removes every trace, but for what the mode `beside`, which has taken over, has under the same name.

        Costs next to nothing where there is no trace. Raises `dataplane.Unusable`, `dataplane.Refused`, OSError.
        """


@dataclass(frozen=True, slots=True)
class Mode:
    """What a mode offers, in the network namespace of the thread that calls."""

    dataplane: Callable[[ProxyOptions, Family], Dataplane]
    """Makes one. Raises `dataplane.Unusable`, here or at the first `rebuild`, where the mode cannot work."""
    cleanup: Cleanup
    check: Callable[[], None]
    """Raises `dataplane.Unusable` or `dataplane.Refused` where the mode cannot work, before anything is begun."""
    listing: Callable[[ProxyOptions, Family, tuple[bytes, ...], Sequence[Selected]], str]
    """The rules as text, from the node's primary addresses and what the Services want; asks no kernel."""
    available: Callable[[], object] = lambda: None
    """Raises `dataplane.Unusable` where programs are missing, or the kernel has no such thing; needs no right."""
    interval: Callable[[ProxyOptions], float] = lambda _: 0.0
    """Seconds that commits are apart where changes come all the time, because of what one costs by itself."""
    apart: bool = False
    """Whether a commit takes so long that the event loop has to go on meanwhile: it is made in a thread."""


def _nftables() -> Mode:
    from fairlead.proxy import rulesets
    from fairlead.proxy.nftables import Nftables, cleanup
    from fairlead.proxy.nftables.listing import listing

    def clean(family: Family, *, beside: str = "") -> None:
        with contextlib.suppress(rulesets.KernelWithout):
            cleanup(family)

    def check() -> None:
        rulesets.run("list tables")

    return Mode(Nftables, clean, check, listing)


def _iptables() -> Mode:
    from fairlead.proxy.iptables import commands
    from fairlead.proxy.iptables.dataplane import Iptables, cleanup
    from fairlead.proxy.iptables.listing import listing

    return Mode(
        Iptables,
        cleanup,
        lambda: commands.check(IPV4),
        listing,
        lambda: commands.find(IPV4),
        interval=lambda _: 1.0,
        apart=True,
    )


def _ipvs() -> Mode:
    from fairlead.proxy.ipvs.dataplane import IpvsDataplane, check, cleanup
    from fairlead.proxy.ipvs.listing import listing

    return Mode(
        IpvsDataplane,
        cleanup,
        check,
        listing,
        check,
        interval=lambda options: options.ipvs.min_sync_period,
    )


_LOADERS: dict[str, Callable[[], Mode]] = {"nftables": _nftables, "iptables": _iptables, "ipvs": _ipvs}

MODES = tuple(_LOADERS)
"""Their names, the default first."""


def load(name: str) -> Mode:
    """The mode of that name. Raises ValueError, with a sentence, where there is none."""
    if name not in _LOADERS:
        raise ValueError(f"there is no such mode; use {' or '.join(MODES)}")
    return _LOADERS[name]()
