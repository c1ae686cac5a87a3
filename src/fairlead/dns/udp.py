"""The loop that answers UDP: receive, look up, send, in a thread of its own."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from fairlead.dns.message import HEADER
from fairlead.dns.observer import Observer
from fairlead.dns.responder import Beyond, Responder

log = logging.getLogger("fairlead.dns")

LARGEST_QUERY = 4096
BUFFER = 4 << 20
"""Bytes of queries that wait in the kernel while the loop is busy."""

Elsewhere = Callable[[Beyond, socket.socket, tuple[str, int]], None]


def udp_socket(address: str, port: int) -> socket.socket:
    """A UDP socket whose port other processes may share (each client's queries go to one of them).

    Raises OSError with the address in it.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot answer DNS on {address} port {port}: {error.strerror}") from error
    return sock


class UdpLoop:
    """Answers what comes to one socket until it is stopped.

    `elsewhere` gets the questions that need another server; it is called in the loop's thread and must not block.
    """

    def __init__(
        self, sock: socket.socket, responder: Responder, elsewhere: Elsewhere, observer: Observer
    ) -> None:
        self.socket = sock
        self._observer = observer
        self._responder = responder
        self._elsewhere = elsewhere
        self._running = True
        self._thread = Thread(target=self._run, name="dns-udp", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes nothing more; what came before is answered. The socket stays open for answers from elsewhere."""
        self._running = False
        with suppress(OSError):  # the kernel says that it is not connected, and wakes the reader all the same
            self.socket.shutdown(socket.SHUT_RD)
        self._thread.join(1)

    def _run(self) -> None:
        while self._running:
            try:
                self._serve()
            except OSError as error:
                # A client that cannot be reached; a socket that is being closed.
                log.debug("UDP: %s", error)
            except Exception:
                log.exception("a query failed")

    def _serve(self) -> None:
        sock = self.socket
        receive, send, find = sock.recvfrom, sock.sendto, self._responder.answers.ready.get
        observer = self._observer
        left = observer.period
        while True:
            query, client = receive(LARGEST_QUERY)
            entry = find(query[2:])
            if entry is None:
                self._complete(query, client)
                if not self._running:
                    return
            else:
                entry.sent += 1
                send(query[:2] + next(entry.variants), client)
            left -= 1
            if left <= 0:
                left = observer.period
                if left and len(query) > HEADER:
                    observer.note(query, entry.subject[1] if entry else -1, client[0])

    def _complete(self, query: bytes, client: tuple[str, int]) -> None:
        if not query:
            return
        answer = self._responder.respond(query, client[0])
        if isinstance(answer, Beyond):
            self._elsewhere(answer, self.socket, client)
        elif isinstance(answer, bytes):
            self.socket.sendto(answer, client)
