"""What the configuration says of answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fairlead.dns.hosts import Hosts


def everybody(_: str) -> bool:
    """Any client, any name."""
    return True


def nobody(_: str) -> bool:
    """No client, no name."""
    return False


class Policy(NamedTuple):
    """What the configuration says of answers: fields that may change while the server runs.

    `takes` says of a name whether somebody can be asked about it, `recursion` of a client's address whether that is
    done for it, and `transfer` whether it may have the whole zone; `hosts` has names of its own; `autopath` answers a
    pod's search at its first question; `alone` says that names of others do not exist.
    """

    takes: Callable[[str], bool] = nobody
    recursion: Callable[[str], bool] = everybody
    transfer: Callable[[str], bool] = nobody
    hosts: Hosts = Hosts({})
    autopath: bool = False
    alone: bool = False
