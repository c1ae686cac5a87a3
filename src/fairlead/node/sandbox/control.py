"""The socket over which the agent asks a sandbox for things, and the connections on it.

Each message is a line of JSON (`records`), and descriptors may come along with it. Whoever connects is told first what
is known of the containers, and then of every change.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.node import records
from fairlead.node.records import Message, Request

MOST_DESCRIPTORS = 8
"""Descriptors that come with one message."""


def control_socket(directory: Path, *, listen: bool) -> socket.socket:
    """The sandbox's socket, listening or connected. By way of /proc, since a socket's path has 107 bytes at most."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{fd}/control"
        if listen:
            (directory / "control").unlink(missing_ok=True)
            sock.bind(path)
            sock.listen(8)
        else:
            sock.connect(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(fd)
    sock.setblocking(False)
    return sock


@dataclass(eq=False)
class Peer:
    """A connection from the agent."""

    sock: socket.socket
    received: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    """Those that came along, for the next request."""

    def take(self) -> list[int]:
        """The descriptors that have come along; they are the caller's now."""
        taken, self.descriptors = self.descriptors, []
        return taken


class Connections:
    """The agents that are connected: `greeting` is for a new one; `answer` gets the requests, `gone` those who left."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        greeting: Callable[[], Message],
        answer: Callable[[Peer, Request], None],
        gone: Callable[[Peer], None],
    ) -> None:
        self._selector = selector
        self._listener = listener
        self._greeting = greeting
        self._answer = answer
        self._gone = gone
        self._peers: set[Peer] = set()
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def send(self, peer: Peer, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends or drops the connection: an agent that does not read must not stop the pod."""
        data = records.encode(message) + b"\n"
        try:
            if socket.send_fds(peer.sock, [data], descriptors) != len(data):
                raise BlockingIOError
        except OSError:
            self._drop(peer)

    def tell(self, message: Message) -> None:
        """Sends a message to everyone who is connected."""
        for peer in tuple(self._peers):
            self.send(peer, message)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        peer = Peer(sock)
        self._peers.add(peer)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._receive(peer))
        self.send(peer, self._greeting())

    def _receive(self, peer: Peer) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                peer.sock, 65536, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        peer.descriptors += descriptors
        if not data:
            self._drop(peer)
            return
        *lines, peer.received = (peer.received + data).split(b"\n")
        for line in lines:
            self._answer(peer, records.decode_request(line))

    def _drop(self, peer: Peer) -> None:
        if peer in self._peers:
            self._peers.discard(peer)
            self._selector.unregister(peer.sock)
            peer.sock.close()
            for fd in peer.take():
                os.close(fd)
            self._gone(peer)
