"""The sockets of a server with the zone that they answer from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from fairlead.dns import wire
from fairlead.dns.answers import Answers
from fairlead.dns.config import DnsConfig, within
from fairlead.dns.datagrams import Client
from fairlead.dns.edns import Cookies
from fairlead.dns.forward import ALL_TRIES, Forwarder
from fairlead.dns.hosts import Hosts
from fairlead.dns.message import HEADER
from fairlead.dns.observer import Observer, asked
from fairlead.dns.policy import Policy
from fairlead.dns.responder import Beyond, Responder
from fairlead.dns.tcp import TcpServer, tcp_socket
from fairlead.dns.udp import UdpLoop, udp_socket
from fairlead.dns.zone import Rcode, Zone

log = logging.getLogger("fairlead.dns")


FIXED = ("listen", "domain", "workers", "pods", "answers", "cookie_secret")
"""What of a configuration cannot change while the server runs."""

DRAIN = 2.0
"""Seconds that clients have at the end to get their answers."""

ATTEMPTS = 16
"""To find a port that is free for both protocols, where any will do."""


class Listeners:
    """All that one process answers with. Whoever has the data feeds the zone, by `responder.change`."""

    def __init__(self, config: DnsConfig) -> None:
        """Binds the sockets. Raises OSError with the address in it."""
        zone = Zone(config.domain, config.ttl, pods=config.pods, nameserver=config.nameserver)
        self.config = config
        self.forwarder = self._forwarder(config, zone)
        self.observer = Observer(zone, config.sample, config.log)
        self.responder = Responder(
            zone,
            Answers(config.answers, max(1, config.answers // 8)),
            Cookies(config.cookie_secret),
            policy(config, self.forwarder),
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
        self._udp = [UdpLoop(udp, self.responder, self._from_udp, self.observer) for udp, _ in pairs]
        self._tcp = [TcpServer(tcp, self.responder, self._resolve, self.observer) for _, tcp in pairs]

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Where it answers; the port is the real one where 0 was asked for."""
        return [loop.socket.getsockname()[:2] for loop in self._udp]

    @staticmethod
    def _forwarder(config: DnsConfig, zone: Zone) -> Forwarder:
        return Forwarder(
            config.upstreams,
            zone.is_cluster_address,
            stubs=config.stubs,
            limits=config.cache,
            trusted=config.trusted,
        )

    def follows(self, config: DnsConfig) -> bool:
        """Whether all is as in this configuration that can change while the server runs."""
        return config == replace(self.config, **{name: getattr(config, name) for name in FIXED})

    def reconfigure(self, config: DnsConfig) -> tuple[str, ...]:
        """Answers by another configuration from now on, in the loop; gives the fields that need a restart.

        No query is lost: what waits for another server gets its answer from there. Raises OSError or ValueError,
        and leaves everything as it was, where certificates cannot be read.
        """
        zone, before = self.responder.zone, self.config
        fixed = tuple(name for name in FIXED if getattr(config, name) != getattr(before, name))
        forwarder = self._forwarder(config, zone)
        leaving, self.forwarder = self.forwarder, forwarder
        self.config = replace(config, **{name: getattr(before, name) for name in FIXED})

        def set_fields(zone: Zone) -> set[str]:
            return zone.configure(config.ttl, config.nameserver)

        self.responder.change(set_fields)
        self.responder.configure(policy(self.config, forwarder))
        self.observer.configure(config.sample, config.log)
        asyncio.get_running_loop().call_later(2 * ALL_TRIES, leaving.close)
        return fixed

    async def start(self) -> None:
        """Answers from now on; SERVFAIL for the cluster's names until `responder.synced()`."""
        self._loop = asyncio.get_running_loop()
        for tcp in self._tcp:
            await tcp.start()
        for udp in self._udp:
            udp.start()

    async def stop(self) -> None:
        """Takes no more queries; what has come is answered, from other servers too, within `DRAIN` seconds."""
        streams = asyncio.gather(*(tcp.stop(DRAIN) for tcp in self._tcp))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.gather(*(udp.stop() for udp in self._udp))
                # What the threads handed over is among the tasks: that came to this loop before their end did.
                if self._tasks:
                    await asyncio.wait(self._tasks)
        await streams
        for task in self._tasks:
            task.cancel()
        for udp in self._udp:
            udp.socket.close()
        self.forwarder.close()

    def _from_udp(self, beyond: Beyond, client: Client, sampled: bool) -> None:
        """Hands a question from a UDP thread to the loop that asks other servers."""
        assert self._loop is not None
        if self.forwarder.comes_from_us(client.address):
            refusal = wire.answer(beyond.query, Rcode.REFUSED, authoritative=False, limit=beyond.limit)
            self._answered(beyond, beyond.query.id + refusal, client, sampled)
            client.send(beyond.query.id + refusal)
            return
        kept = self._kept(beyond)
        if kept is not None:
            self._answered(beyond, kept, client, sampled)
            client.send(kept)
            return
        self._loop.call_soon_threadsafe(self._ask, beyond, client, sampled)

    def _ask(self, beyond: Beyond, client: Client, sampled: bool) -> None:
        task = asyncio.ensure_future(self._forward(beyond, client, sampled))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, beyond: Beyond, client: Client, sampled: bool) -> None:
        answer = await self.forwarder.resolve(beyond)
        self._answered(beyond, answer, client, sampled)
        try:
            client.send(answer)
        except OSError as error:
            log.debug("UDP: %s", error)

    def _kept(self, beyond: Beyond) -> bytes | None:
        """An answer that is kept; the next who ask the same get it from the responder."""
        found = self.forwarder.kept(beyond)
        if found is None:
            return None
        self.responder.remember(beyond, *found)
        return found[0]

    async def _resolve(self, beyond: Beyond) -> bytes:
        answer = self._kept(beyond) or await self.forwarder.resolve(beyond)
        self.responder.count(beyond.protocol, beyond.query.type, answer[3] & 15)
        return answer

    def _answered(self, beyond: Beyond, answer: bytes, client: Client, sampled: bool) -> None:
        """Counts an answer from elsewhere over UDP."""
        rcode = answer[3] & 15
        self.responder.count(beyond.protocol, beyond.query.type, rcode)
        if sampled:
            name, kind = asked(beyond.query.id + bytes(HEADER - 2) + beyond.query.asked)
            self.observer.note(name, kind, rcode, client.address[0])


def policy(config: DnsConfig, forwarder: Forwarder) -> Policy:
    """What the configuration says of answers."""
    return Policy(
        takes=forwarder.takes,
        recursion=within(config.recursion),
        transfer=within(config.transfer),
        hosts=Hosts(config.hosts),
        autopath=config.autopath,
        alone=config.alone,
    )


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
