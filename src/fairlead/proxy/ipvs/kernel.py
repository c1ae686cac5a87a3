"""IPVS in the kernel, by its generic netlink family (linux/ip_vs.h)."""

from __future__ import annotations

import errno
import socket
import struct

from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.family import Family
from fairlead.proxy.ipvs.channel import Channel, Request
from fairlead.proxy.ipvs.servers import HASHED, Frontend, Load, Traits
from fairlead.proxy.netlink import NESTED, attribute, attributes
from fairlead.proxy.selection import Target

NETLINK_GENERIC = 16
_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2

_NEW_SERVICE, _SET_SERVICE, _DEL_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_DEST, _SET_DEST, _DEL_DEST, _GET_DEST = 5, 6, 7, 8
_SET_CONFIG = 12
_SERVICE, _DEST, _TIMEOUT_TCP, _TIMEOUT_TCP_FIN, _TIMEOUT_UDP = 1, 2, 4, 5, 6
_AF, _PROTOCOL, _ADDRESS, _PORT, _SCHEDULER, _FLAGS, _TIMEOUT, _NETMASK = 1, 2, 3, 4, 6, 7, 8, 9
_D_ADDRESS, _D_PORT, _D_METHOD, _D_WEIGHT, _D_UPPER, _D_LOWER, _D_ACTIVE, _D_INACTIVE = range(1, 9)
_D_FAMILY = 11
_TRANSLATE = 0
"""Forwarding by translating the destination (IP_VS_CONN_F_MASQ)."""

_GENERAL = struct.Struct("=BBH")

MISSING = (
    "this kernel has no IPVS: load the module ip_vs (Debian's and most distributions' kernels have it), "
    "or use --proxy-mode nftables"
)


class Ipvs:
    """The virtual servers of one family, in the network namespace of the thread that made this."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._channel = Channel(NETLINK_GENERIC)
        try:
            # The kernel loads the module by itself where it has it.
            answer = self._channel.ask(
                _CONTROLLER,
                _GENERAL.pack(_GET_FAMILY, 1, 0) + attribute(_FAMILY_NAME, b"IPVS\0"),
                every=False,
            )
            self._kind = _number(dict(attributes(answer[0][4:]))[_FAMILY_ID])
            self._channel.ask(self._kind, _GENERAL.pack(_GET_SERVICE, 1, 0))
        except OSError as error:
            self._channel.close()
            if error.errno == errno.ENOENT:
                raise Unusable(MISSING) from error
            if error.errno == errno.EPERM:
                raise Unusable("IPVS may not be changed by this process: run it as root") from error
            raise

    def close(self) -> None:
        """Gives the socket back."""
        self._channel.close()

    def tell(self, requests: list[Request]) -> None:
        """Lets the kernel do them in order. Raises OSError, naming the first that it refused."""
        self._channel.tell(requests)

    def servers(self) -> dict[Frontend, Traits]:
        """All virtual servers of the family but those known by a mark."""
        found = {}
        for answer in self._channel.ask(self._kind, _GENERAL.pack(_GET_SERVICE, 1, 0)):
            parts = _nested(answer, _SERVICE)
            if _number(parts[_AF]) == self.family.number and _PROTOCOL in parts:
                found[self._frontend(parts)] = _traits(parts)
        return found

    def has(self, frontend: Frontend) -> bool:
        """Whether there is such a virtual server."""
        try:
            self._channel.ask(
                self._kind,
                _GENERAL.pack(_GET_SERVICE, 1, 0) + self._service(frontend),
                every=False,
            )
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENOENT):
                return False
            raise
        return True

    def real_servers(self, frontend: Frontend) -> dict[Target, Load]:
        """Those of one virtual server; none where there is no such one."""
        found = {}
        payload = _GENERAL.pack(_GET_DEST, 1, 0) + self._service(frontend)
        for answer in self._channel.ask(self._kind, payload):
            parts = _nested(answer, _DEST)
            target = bytes(parts[_D_ADDRESS][: self.family.size]) + bytes(parts[_D_PORT]) + b"\0\0"
            found[target] = Load(
                _number(parts[_D_WEIGHT]), _number(parts[_D_ACTIVE]) + _number(parts[_D_INACTIVE])
            )
        return found

    def timeouts(self, tcp: int, tcp_fin: int, udp: int) -> None:
        """Sets, in seconds, after how long the kernel forgets connections; 0 leaves it as it is."""
        kinds = ((_TIMEOUT_TCP, tcp), (_TIMEOUT_TCP_FIN, tcp_fin), (_TIMEOUT_UDP, udp))
        payload = b"".join(attribute(kind, struct.pack("=I", seconds)) for kind, seconds in kinds if seconds)
        if payload:
            self._channel.tell([self._request(_SET_CONFIG, payload, "setting the timeouts of IPVS")])

    def added(self, frontend: Frontend, how: Traits, *, changed: bool = False) -> Request:
        """A new virtual server, or one that exists with other traits."""
        verb = "changing" if changed else "adding"
        what = f"{verb} virtual server {frontend.text(self.family)}, scheduler {how.scheduler}"
        command = _SET_SERVICE if changed else _NEW_SERVICE
        return self._request(command, self._service(frontend, how), what)

    def removed(self, frontend: Frontend) -> Request:
        """A virtual server goes, with its real ones."""
        what = f"removing virtual server {frontend.text(self.family)}"
        return self._request(_DEL_SERVICE, self._service(frontend), what, ignored=(errno.ESRCH,))

    def joined(self, frontend: Frontend, target: Target) -> Request:
        """A real server is added."""
        return self._destination(_NEW_DEST, frontend, target, 1, ignored=(errno.EEXIST,))

    def weighed(self, frontend: Frontend, target: Target, weight: int) -> Request:
        """A real server gets new connections or, with 0, keeps only those it has."""
        return self._destination(_SET_DEST, frontend, target, weight)

    def left(self, frontend: Frontend, target: Target) -> Request:
        """A real server goes."""
        return self._destination(_DEL_DEST, frontend, target, 0, ignored=(errno.ENOENT, errno.ESRCH))

    def _request(self, command: int, payload: bytes, what: str, ignored: tuple[int, ...] = ()) -> Request:
        return Request(self._kind, _GENERAL.pack(command, 1, 0) + payload, what, ignored=ignored)

    def _destination(
        self, command: int, frontend: Frontend, target: Target, weight: int, ignored: tuple[int, ...] = ()
    ) -> Request:
        size = self.family.size
        numbers = ((_D_METHOD, _TRANSLATE), (_D_WEIGHT, weight), (_D_UPPER, 0), (_D_LOWER, 0))
        data = (
            attribute(_D_ADDRESS, target[:size].ljust(16, b"\0"))
            + attribute(_D_PORT, target[size : size + 2])
            + b"".join(attribute(kind, struct.pack("=I", number)) for kind, number in numbers)
            + attribute(_D_FAMILY, struct.pack("=H", self.family.number))
        )
        address, port = self.family.text(target[:size]), int.from_bytes(target[size : size + 2], "big")
        verb = {_NEW_DEST: "adding", _SET_DEST: "weighing", _DEL_DEST: "removing"}[command]
        what = f"{verb} real server {address} port {port} of {frontend.text(self.family)}"
        return self._request(
            command, self._service(frontend) + attribute(_DEST | NESTED, data), what, ignored
        )

    def _service(self, frontend: Frontend, how: Traits | None = None) -> bytes:
        data = (
            attribute(_AF, struct.pack("=H", self.family.number))
            + attribute(_PROTOCOL, struct.pack("=H", frontend.protocol))
            + attribute(_ADDRESS, frontend.address.ljust(16, b"\0"))
            + attribute(_PORT, frontend.port.to_bytes(2, "big"))
        )
        if how is not None:
            # Of a client's address all counts: a mask in IPv4, a length in IPv6.
            netmask = b"\xff" * 4 if self.family.number == socket.AF_INET else struct.pack("=I", 128)
            data += (
                attribute(_SCHEDULER, how.scheduler.encode() + b"\0")
                + attribute(_FLAGS, struct.pack("=II", how.flags, 0xFFFFFFFF & ~HASHED))
                + attribute(_TIMEOUT, struct.pack("=I", how.timeout))
                + attribute(_NETMASK, netmask)
            )
        return attribute(_SERVICE | NESTED, data)

    def _frontend(self, parts: dict[int, memoryview]) -> Frontend:
        address = bytes(parts[_ADDRESS][: self.family.size])
        return Frontend(_number(parts[_PROTOCOL]), address, int.from_bytes(parts[_PORT], "big"))


def _traits(parts: dict[int, memoryview]) -> Traits:
    flags = _number(parts[_FLAGS][:4]) & ~HASHED
    # The kernel keeps some timeout of a server whose clients need not stay.
    timeout = _number(parts[_TIMEOUT]) if flags & 1 else 0
    return Traits(bytes(parts[_SCHEDULER]).rstrip(b"\0").decode(), flags, timeout)


def _nested(answer: memoryview, kind: int) -> dict[int, memoryview]:
    return dict(attributes(dict(attributes(answer[4:]))[kind]))


def _number(data: memoryview) -> int:
    return int.from_bytes(data, "little" if struct.pack("=H", 1)[0] else "big")
