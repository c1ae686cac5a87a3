"""Heartbeats of speakers on the network: sent and heard by multicast, on each link."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import socket
import struct
import time
from collections.abc import Callable, Sequence

from fairlead.loadbalancer import speakermetrics
from fairlead.loadbalancer.layer2 import members
from fairlead.loadbalancer.layer2.link import Link
from fairlead.loadbalancer.layer2.members import Heartbeat, Members

log = logging.getLogger("fairlead.loadbalancer")

PORT = 7945
"""UDP."""
GROUP = "224.0.0.254"
"""RFC 4727: for experiments. Groups of 224.0.0.0/24 stay on the link and reach all of it, whatever switches snoop."""
GROUP_6 = "ff02::114"
"""RFC 4727, too; where the link has no IPv4 address."""
_HOPS = 255
"""RFC 5082: what comes with less has passed a router."""
_IP_RECVTTL = 12
_AT_A_TIME, _MOST_ROUNDS = 64, 64
"""Datagrams that are read at a time, and how often that at most before somebody is taken for dead."""


class Heartbeats:
    """Says that this node lives, and hears who else does.

    `is_known` tells whether a node of that name and uid is in the cluster; `changed` is called with whether a node has
    come when there is another set of living ones. Raises OSError where a link has no address of either family.
    """

    def __init__(
        self,
        node: str,
        links: Sequence[Link],
        is_known: Callable[[str, str], bool],
        changed: Callable[[bool], None],
    ) -> None:
        self._node = node
        self._hardware = tuple(link.hardware for link in links)
        self._sockets = [_socket(link) for link in links]
        self._is_known = is_known
        self._changed = changed
        self.members = Members(node)

    async def run(self, uid: Callable[[], str], ready: asyncio.Event) -> None:
        """Hears for as long as a node may be silent, sets `ready`, and goes on until cancelled; then takes leave.

        Nothing is said before: the others would leave addresses to one that does not know yet who lives.
        """
        loop = asyncio.get_running_loop()
        for sock, _ in self._sockets:
            loop.add_reader(sock, self._read, sock)
        try:
            await self._listen(members.DEAD_AFTER)
            ready.set()
            speakermetrics.lives(len(self.members.alive))
            while True:
                self._send(members.write(self._node, uid(), self._hardware))
                await self._listen(members.BEAT)
        finally:
            if ready.is_set():
                self._send(members.write(self._node, uid(), self._hardware, leaves=True))
            for sock, _ in self._sockets:
                loop.remove_reader(sock)
            self.close()

    def close(self) -> None:
        """Closes the sockets, as `run` does at its end."""
        for sock, _ in self._sockets:
            sock.close()

    async def _listen(self, seconds: float) -> None:
        """Waits, and looks often enough for who has become silent."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, members.BEAT))
            self._look()

    def _look(self) -> None:
        """Who is silent is dead; but not who was not listened to, while this process was stopped or busy."""
        for sock, _ in self._sockets:
            for _ in range(_MOST_ROUNDS):
                if not self._read(sock):
                    break
        dead = self.members.expire(time.monotonic())
        if dead:
            log.info("not heard of any more: %s", ", ".join(sorted(dead)))
            speakermetrics.lives(len(self.members.alive))
            self._changed(False)

    def _send(self, data: bytes) -> None:
        for sock, to in self._sockets:
            with contextlib.suppress(OSError):  # the link is down, or full: the next one is soon
                sock.sendto(data, to)

    def _read(self, sock: socket.socket) -> bool:
        """Takes up what waits; whether there may be more, for who floods us must not stop us."""
        for _ in range(_AT_A_TIME):
            try:
                data, ancillary, _, _ = sock.recvmsg(members.MAX_SIZE + 1, 64)
            except BlockingIOError:
                return False
            except OSError as error:
                log.debug("heartbeats: %s", error)
                return False
            hops = [struct.unpack("i", value[:4])[0] for _, _, value in ancillary]
            if hops != [_HOPS]:
                continue
            heartbeat = members.read(data)
            if heartbeat is not None and self._is_known(heartbeat.node, heartbeat.uid):
                self._hear(heartbeat)
        return True

    def _hear(self, heartbeat: Heartbeat) -> None:
        if self.members.hear(heartbeat, time.monotonic()):
            log.info("%s %s", heartbeat.node, "takes its leave" if heartbeat.leaves else "is heard of")
            speakermetrics.lives(len(self.members.alive))
            self._changed(not heartbeat.leaves)


def _socket(link: Link) -> tuple[socket.socket, tuple[str, int]]:
    """A socket of the link alone, and where to send: by IPv4, or by IPv6 where the link has no IPv4 address."""
    try:
        return _opened(link, socket.AF_INET), (GROUP, PORT)
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.EADDRNOTAVAIL):
            raise
    return _opened(link, socket.AF_INET6), (GROUP_6, PORT)


def _opened(link: Link, family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode())
        if family == socket.AF_INET:
            _address_of(link)
            level, index = (
                socket.IPPROTO_IP,
                struct.pack("@4s4si", socket.inet_aton(GROUP), bytes(4), link.index),
            )
            sock.setsockopt(level, socket.IP_MULTICAST_IF, index)
            sock.setsockopt(level, socket.IP_ADD_MEMBERSHIP, index)
            sock.setsockopt(level, socket.IP_MULTICAST_TTL, _HOPS)
            sock.setsockopt(level, socket.IP_MULTICAST_LOOP, 0)
            sock.setsockopt(level, _IP_RECVTTL, 1)
            sock.bind((GROUP, PORT))
        else:
            group = socket.inet_pton(family, GROUP_6) + struct.pack("@I", link.index)
            level = socket.IPPROTO_IPV6
            sock.setsockopt(level, socket.IPV6_MULTICAST_IF, link.index)
            sock.setsockopt(level, socket.IPV6_JOIN_GROUP, group)
            sock.setsockopt(level, socket.IPV6_MULTICAST_HOPS, _HOPS)
            sock.setsockopt(level, socket.IPV6_MULTICAST_LOOP, 0)
            sock.setsockopt(level, socket.IPV6_RECVHOPLIMIT, 1)
            sock.bind((GROUP_6, PORT, 0, link.index))
    except OSError:
        sock.close()
        raise
    return sock


def _address_of(link: Link) -> None:
    """Raises OSError with EADDRNOTAVAIL where the link has no IPv4 address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # SIOCGIFADDR, netdevice(7)
        fcntl.ioctl(sock, 0x8915, struct.pack("16s24x", link.name.encode()))
