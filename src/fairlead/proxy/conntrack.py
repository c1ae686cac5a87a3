"""Which connections the kernel has to forget: of UDP, because what they lead to does not serve them any more.

UDP has no end that the kernel could see: a client that goes on sending keeps its entry, and with it the endpoint that
the entry leads to. So an entry of a Service's frontend is removed when the endpoint serves no more, or on another
port, or was never one. Entries of terminating endpoints that serve stay, as TCP's would; and nothing is removed while a
Service has no endpoint at all (kube-proxy 1.36: pkg/proxy/conntrack). Independent of the mode.

Of TCP and SCTP, those that began while there were no rules: the kernel decides about translation once for each entry,
so that a client which repeats its first packet would go astray until the entry expires, two minutes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from socket import IPPROTO_UDP

from fairlead.proxy.dataplane import Everything, Selected
from fairlead.proxy.selection import Selection, Target

Frontend = tuple[bytes, int]
"""Address and port; the address of a node port is empty."""

Serving = frozenset[Target]


@dataclass(frozen=True, slots=True)
class Flow:
    """One entry of the kernel's table, in one direction."""

    destination: bytes
    """The address that the client sent to, and the port."""
    port: int
    answering: Target
    """Who answers: what the kernel made of the destination, if it made something of it."""
    protocol: int = IPPROTO_UDP
    answered: bool = False
    """Whether somebody did."""


class UdpFrontends:
    """What serves each UDP frontend, as of the last look at its Service."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Frontend, Serving]] = {}

    def forget(self) -> None:
        """From now on every frontend is a new one."""
        self._known.clear()

    def changed(self, changes: Mapping[str, Selected]) -> dict[Frontend, Serving]:
        """The frontends that may have entries which lead to nobody now, and what serves them.

        Those are frontends that are new, that had nobody, or that lost somebody. Cost: linear in the endpoints
        of the UDP ports among `changes`.
        """
        doubtful: dict[Frontend, Serving] = {}
        for key, selected in changes.items():
            now = dict(_served(selected))
            before = self._known.get(key, {})
            for frontend, serving in now.items():
                had = before.get(frontend)
                if serving and (not had or not had <= serving):
                    doubtful[frontend] = serving
            if now:
                self._known[key] = now
            else:
                self._known.pop(key, None)
        return doubtful


def noting(everything: Everything, noted: dict[str, Selected]) -> Everything:
    """The same, but what passes through and has UDP ports is noted, for `UdpFrontends`."""

    def passing() -> Iterator[tuple[str, Selected]]:
        noted.clear()
        for key, selected in everything():
            for selection in selected:
                if selection.protocol == IPPROTO_UDP:
                    noted[key] = selected
                    break
            yield key, selected

    return passing


def stale(flow: Flow, doubtful: Mapping[Frontend, Serving]) -> bool:
    """Whether the kernel has to forget the flow."""
    for frontend in ((flow.destination, flow.port), (b"", flow.port)):
        serving = doubtful.get(frontend)
        if serving is not None:
            return flow.answering not in serving
    return False


def astray(flow: Flow) -> bool:
    """Whether it went where the client said, translated by nobody, and nobody answered."""
    return not flow.answered and flow.answering == flow.destination + flow.port.to_bytes(2, "big") + b"\0\0"


def _served(selected: Iterable[Selection]) -> Iterator[tuple[Frontend, Serving]]:
    for selection in selected:
        if selection.protocol == IPPROTO_UDP:
            serving = frozenset(selection.serving)
            for frontend in (*selection.cluster_frontends, *selection.external_frontends):
                yield frontend, serving
            if selection.node_port:
                yield (b"", selection.node_port), serving
