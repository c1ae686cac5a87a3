"""Requests through the topology, and what became of them."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.proxy.conformance.cluster import Frontends
from tests.proxy.topology import KINDS, NODE_OF, NODES, Topology, owners
from tests.waiting import LIMIT

REFUSED, DROPPED = "refused", "dropped"

SILENCE = 0.2
"""Seconds without an answer that count as a drop. Whatever is slower than that is told by the other requests, which
wait as long as it takes."""
REFUSAL = LIMIT
"""Seconds within which a refusal must come."""
AT_LEAST, AT_MOST = 8, 120
"""How often a frontend is asked: until everybody who should answer has. Of five with equal shares, one is missed in
120 requests once in 10^11 runs; one that should not answer, and has a half of the traffic, in 8 once in 256."""


@dataclass(frozen=True)
class Ask:
    """One row of a table: who asks which frontend, who must answer, and whose address the endpoint sees then.

    `answer` has a letter for each pod, or is a node's name, `outside`, REFUSED or DROPPED. A pod that reaches itself is
    seen with its node's address, unless `sees` is a node; "" says nothing.
    """

    who: str
    frontend: str
    answer: str
    sees: str = ""

    @property
    def places(self) -> set[str]:
        """Who may answer; all of them must at some time."""
        return {self.answer} if self.answer in (*NODES, "outside") else set(self.answer)

    def __str__(self) -> str:
        return f"{self.who} to {self.frontend}"


def check(network: Topology, at: Frontends, asks: Iterable[Ask], protocol: str) -> None:
    """Makes the requests, and says all that came out otherwise."""
    __tracebackhide__ = True
    rows = list(asks)
    wrong: list[str] = []
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        # All at once: silence takes time, and so does a refusal that comes while the socket is still busy sending.
        failing = [
            (ask, stack.enter_context(_begun(network, ask, at, protocol)))
            for ask in rows
            if ask.answer in (REFUSED, DROPPED)
        ]
        for ask in rows:
            if ask.answer not in (REFUSED, DROPPED):
                wrong += _not_answered(network, ask, at, protocol)
        wrong += _not_failed(failing, began, protocol)
    assert not wrong, "\n".join(["", *wrong])


def answers(
    network: Topology, ask: tuple[str, tuple[str, int]], protocol: str, times: int
) -> Sequence[tuple[str, str]]:
    """Who answered how a place's requests to an address, each from a port of its own."""
    place, (address, port) = ask
    return [network.ask(place, address, port, KINDS[protocol]) for _ in range(times)]


@contextlib.contextmanager
def _begun(network: Topology, ask: Ask, at: Frontends, protocol: str) -> Iterator[socket.socket | None]:
    """A socket with a request under way; None where the place's own kernel did not let a datagram out."""
    with network.open(ask.who, KINDS[protocol], at.family) as sock:
        sock.setblocking(False)
        try:
            sock.connect(at[ask.frontend])
            sock.send(b"?")
        except (BlockingIOError, ConnectionRefusedError):
            pass
        except PermissionError:
            # That a rule of its own refuses or drops it is EPERM alike, as with kube-proxy.
            if protocol == "UDP":
                yield None
                return
            raise
        yield sock


def _not_failed(
    failing: Sequence[tuple[Ask, socket.socket | None]], began: float, protocol: str
) -> list[str]:
    wrong = []
    with selectors.DefaultSelector() as selector:
        for ask, sock in failing:
            if sock is not None:
                wait = selectors.EVENT_WRITE if protocol == "TCP" else selectors.EVENT_READ
                selector.register(sock, wait, ask)
        while selector.get_map():
            refusals = any(key.data.answer == REFUSED for key in selector.get_map().values())
            left = began + (REFUSAL if refusals else SILENCE) - time.monotonic()
            for key, _ in selector.select(max(0.0, left)):
                assert isinstance(key.fileobj, socket.socket)
                selector.unregister(key.fileobj)
                error = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                became = f"was told: {os.strerror(error)}" if error else "was answered"
                if key.data.answer == DROPPED or error != errno.ECONNREFUSED:
                    wrong.append(f"{key.data} {became}, and should have been {key.data.answer}")
            if left <= 0:
                late = [key.data for key in selector.get_map().values() if key.data.answer == REFUSED]
                return wrong + [f"{ask} was dropped, and should have been refused" for ask in late]
    return wrong


def _not_answered(network: Topology, ask: Ask, at: Frontends, protocol: str) -> list[str]:
    owned = owners(at.family)
    missing = set(ask.places)
    for number in range(AT_MOST):
        if number >= AT_LEAST and not missing:
            return []
        try:
            name, client = network.ask(ask.who, *at[ask.frontend], KINDS[protocol])
        except OSError as error:
            return [f"{ask} should have been answered by {ask.answer}: {error}"]
        if name not in ask.places:
            return [f"{ask} was answered by {name}, and should have been by {ask.answer}"]
        missing.discard(name)
        itself = name == ask.who and ask.sees not in NODES
        expected = NODE_OF.get(name, name) if itself else ask.sees
        if expected and owned.get(client) != expected:
            return [f"{ask}: {name} saw {client} ({owned.get(client)}), and should have seen {expected}"]
    return [f"{ask} was never answered by {', '.join(sorted(missing))}"]
