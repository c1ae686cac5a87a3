"""The loop that answers UDP: receive what is there, look it up, send it, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread

from fairlead.dns.datagrams import SIZE, Client, batch
from fairlead.dns.message import HEADER
from fairlead.dns.observer import Observer, Sampler, asked, rcode_of
from fairlead.dns.responder import Beyond, Responder

log = logging.getLogger("fairlead.dns")

BUFFER = 4 << 20
"""Bytes of queries that wait in the kernel while the loop is busy."""

TOGETHER = 4
"""Answers that are computed before the first of them is sent: each takes 20 µs, and a system call of its own 1."""

Elsewhere = Callable[[Beyond, Client, bool], None]
"""Gets a question, the client that its answer goes to, and whether it belongs to the sample."""


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
        self._batch = batch(sock)
        self._observer = observer
        self._responder = responder
        self._elsewhere = elsewhere
        self._running = True
        self._ended: asyncio.Event | None = None

    def start(self) -> None:
        """Starts the thread."""
        loop, self._ended = asyncio.get_running_loop(), asyncio.Event()

        def run(ended: asyncio.Event) -> None:
            try:
                self._run()
            finally:
                with suppress(RuntimeError):  # the event loop has not waited for us
                    loop.call_soon_threadsafe(ended.set)

        Thread(target=run, args=(self._ended,), name="dns-udp", daemon=True).start()

    async def stop(self) -> None:
        """Takes nothing more; returns when what came before is answered, or in the hands of `elsewhere`.

        The socket stays open for answers from there.
        """
        self._running = False
        with suppress(OSError):  # the kernel says that it is not connected, and wakes the reader all the same
            self.socket.shutdown(socket.SHUT_RD)
        if self._ended is not None:
            await self._ended.wait()

    def _run(self) -> None:
        sampler = Sampler(self._observer)
        while True:
            try:
                received = self._batch.receive()
            except OSError as error:
                log.debug("UDP: %s", error)
                if not self._running:
                    return
                continue
            sample = sampler.due(len(received))
            try:
                self._answer(received, sample)
                for slot in sample:
                    self._note(slot, received[slot])
            except Exception:
                log.exception("a query failed")
            if not self._running and 0 in received:
                return

    def _answer(self, received: Sequence[int], sample: Sequence[int]) -> None:
        """Answers a batch: for what is ready, a lookup and a copy; nothing that is ready waits for what is not.

        What is not ready is sent a few at a time.
        """
        slots = self._batch
        buffer, view, lengths, send = slots.buffer, slots.view, slots.lengths, slots.send
        find, ready = self._responder.answers.ready.get, self._responder.ready
        first, urgent = 0, False
        for slot, length in enumerate(received):
            at = slot * SIZE
            entry = find(view[at + 2 : at + length].tobytes())
            if entry is not None:
                entry.sent.udp += 1
                answer = entry.answer if entry.variants is None else next(entry.variants)
                lengths[slot] = length = len(answer) + 2
                buffer[at + 2 : at + length] = answer
                urgent = True
                continue
            query = view[at : at + length].tobytes()
            whole = ready(query, slots.host(slot))
            if whole is not None:
                urgent = True
            else:
                if urgent or slot - first >= TOGETHER:
                    send(first, slot)
                    first, urgent = slot, False
                whole = self._complete(query, slot, slot in sample)
            if whole is None:
                send(first, slot)
                first = slot + 1
                lengths[slot] = 0
                continue
            lengths[slot] = length = len(whole)
            buffer[at : at + length] = whole
        send(first, len(received))

    def _complete(self, query: bytes, slot: int, sampled: bool) -> bytes | None:
        """The answer to what is not ready; None where there is none, or it comes from elsewhere."""
        try:
            answer = self._responder.compute(query, self._batch.host(slot))
            if isinstance(answer, Beyond):
                self._elsewhere(answer, self._batch.client(slot), sampled)
        except OSError as error:
            log.debug("UDP: %s", error)  # a client that cannot be reached
            return None
        except Exception:
            log.exception("a query failed")
            return None
        return answer if isinstance(answer, bytes) else None

    def _note(self, slot: int, length: int) -> None:
        """Shows a query that was answered here to the observer; its question stands in its answer too."""
        at, answered = slot * SIZE, self._batch.lengths[slot]
        if answered and length >= HEADER:
            answer = self._batch.view[at : at + answered].tobytes()
            name, kind = asked(self._batch.view[at : at + length].tobytes())
            self._observer.note(name, kind, rcode_of(answer), self._batch.host(slot))
