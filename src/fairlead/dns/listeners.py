"""The sockets of a server with the zone that they answer from."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from itertools import chain

from fairlead.dns import wire
from fairlead.dns.answers import Answers
from fairlead.dns.config import DnsConfig
from fairlead.dns.edns import Cookies
from fairlead.dns.forward import Forwarder
from fairlead.dns.responder import Beyond, Responder
from fairlead.dns.tcp import TcpServer, tcp_socket
from fairlead.dns.udp import UdpLoop, udp_socket
from fairlead.dns.zone import Rcode, Zone

log = logging.getLogger("fairlead.dns")


ATTEMPTS = 16
"""To find a port that is free for both protocols, where any will do."""


class Listeners:
    """All that one process answers with. Whoever has the data feeds the zone, by `responder.change`."""

    def __init__(self, config: DnsConfig) -> None:
        """Binds the sockets. Raises OSError with the address in it."""
        zone = Zone(config.domain, config.ttl, pods=config.pods, nameserver=config.nameserver)
        self.forwarder = Forwarder(config.upstreams, zone.is_cluster_address)
        self.responder = Responder(
            zone,
            Answers(config.answers, max(1, config.answers // 8)),
            Cookies(config.cookie_secret),
            forwards=bool(config.upstreams),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        pairs: list[tuple[socket.socket, socket.socket]] = []
        try:
            for address, port in config.listen:
                pairs.append(_sockets(address, port))
        except OSError:
            for sock in chain.from_iterable(pairs):
                sock.close()
            raise
        self._udp = [UdpLoop(udp, self.responder, self._from_udp) for udp, _ in pairs]
        self._tcp = [TcpServer(tcp, self.responder, self._resolve) for _, tcp in pairs]

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Where it answers; the port is the real one where 0 was asked for."""
        return [loop.socket.getsockname()[:2] for loop in self._udp]

    async def start(self) -> None:
        """Answers from now on; SERVFAIL for the cluster's names until `responder.synced()`."""
        self._loop = asyncio.get_running_loop()
        for tcp in self._tcp:
            await tcp.start()
        for udp in self._udp:
            udp.start()

    async def stop(self) -> None:
        """Answers no more; what is on its way is dropped."""
        for udp in self._udp:
            udp.stop()
        for tcp in self._tcp:
            await tcp.stop()
        for task in self._tasks:
            task.cancel()

    def _from_udp(self, beyond: Beyond, sock: socket.socket, client: tuple[str, int]) -> None:
        """Hands a question from a UDP thread to the loop that asks other servers."""
        assert self._loop is not None
        if self.forwarder.comes_from_us(client):
            refusal = wire.answer(beyond.query, Rcode.REFUSED, authoritative=False, limit=beyond.limit)
            sock.sendto(beyond.query.id + refusal, client)
            return
        self._loop.call_soon_threadsafe(self._ask, beyond, sock, client)

    def _ask(self, beyond: Beyond, sock: socket.socket, client: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._forward(beyond, sock, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, beyond: Beyond, sock: socket.socket, client: tuple[str, int]) -> None:
        answer = await self._resolve(beyond)
        try:
            sock.sendto(answer, client)
        except OSError as error:
            log.debug("UDP: %s", error)

    async def _resolve(self, beyond: Beyond) -> bytes:
        answer = await self.forwarder.resolve(beyond)
        self.responder.count(beyond.protocol, beyond.query.type, answer[3] & 15)
        return answer


def _sockets(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port."""
    for attempt in range(ATTEMPTS):
        udp = udp_socket(address, port)
        try:
            return udp, tcp_socket(address, udp.getsockname()[1])
        except OSError:
            udp.close()
            if port or attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError
