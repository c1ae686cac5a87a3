"""The built-in image fairlead/echo: a server that says who answered and whom it saw.

Every answer is one line of JSON: pod, namespace, node, zone, protocol, client and server addresses. It listens on the
ports that its container declares, or, where it declares none, on 80/TCP, 8080/TCP and 8080/UDP; `FAIRLEAD_ECHO_PORTS`
(`8080/TCP,9001/UDP`) says otherwise. On a TCP port it speaks HTTP with those who do, and answers others once a line, or
once when they have said nothing and close; on a UDP port it answers every datagram.

HTTP: `GET /healthz` and `/readyz` answer 200, and 503 after `POST /unready`, until `POST /ready`; every other path
answers the line. On SIGTERM it goes on for `FAIRLEAD_ECHO_LINGER` seconds (0), then stops with status 0.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

DEFAULT_PORTS = "80/TCP,8080/TCP,8080/UDP"
LONGEST_REQUEST = 1 << 20
METHODS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ")


@dataclass(frozen=True)
class Port:
    """A port to listen on; `protocol` is "TCP" or "UDP"."""

    number: int
    protocol: str


def ports(text: str) -> list[Port]:
    """Reads `8080/TCP,9001/UDP`; TCP where no protocol is given. Raises ValueError with the entry in it."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        number, _, protocol = entry.partition("/")
        protocol = protocol.upper() or "TCP"
        if not number.isdigit() or not 0 < int(number) < 65536 or protocol not in ("TCP", "UDP"):
            raise ValueError(f"{entry!r} is not a port: expected a number from 1 to 65535 and /TCP or /UDP")
        found.append(Port(int(number), protocol))
    return found


def main() -> int:
    """Runs the server with the settings in the environment; gives the exit status."""
    environment = os.environ
    declared = environment.get("FAIRLEAD_CONTAINER_PORTS", "")
    try:
        wanted = ports(environment.get("FAIRLEAD_ECHO_PORTS") or declared or DEFAULT_PORTS)
        server = Server(identity(environment), wanted)
    except (ValueError, OSError) as error:
        print(f"fairlead/echo: {error}", file=sys.stderr)
        return 1
    linger = float(environment.get("FAIRLEAD_ECHO_LINGER") or 0)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(linger))
    listening = ", ".join(f"{p.number}/{p.protocol}" for p in wanted)
    print(f"fairlead/echo listens on {listening}")
    server.serve()
    return 0


def identity(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of every answer that does not change."""
    return {
        "pod": environment.get("FAIRLEAD_POD_NAME") or socket.gethostname(),
        "namespace": environment.get("FAIRLEAD_POD_NAMESPACE", ""),
        "node": environment.get("FAIRLEAD_NODE_NAME", ""),
        "zone": environment.get("FAIRLEAD_NODE_ZONE", ""),
    }


class Server:
    """Listens from its making on; `serve` answers until `stop`."""

    def __init__(self, who: Mapping[str, str], wanted: list[Port]) -> None:
        self._who = json.dumps(who)[:-1]
        self._ready = True
        self._until: float | None = None
        self._selector = selectors.DefaultSelector()
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 64))
        families = [socket.AF_INET]
        if os.path.exists("/proc/net/if_inet6"):
            families.append(socket.AF_INET6)
        for port in wanted:
            for family in families:
                self._listen(port, family)

    def serve(self) -> None:
        """Answers until `stop` has been called and its time is over."""
        while self._until is None or time.monotonic() < self._until:
            timeout = None if self._until is None else max(0.0, self._until - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data()

    def stop(self, linger: float) -> None:
        """Ends `serve` in `linger` seconds. Safe in a signal handler."""
        self._until = time.monotonic() + linger

    def _listen(self, port: Port, family: socket.AddressFamily) -> None:
        kind = socket.SOCK_STREAM if port.protocol == "TCP" else socket.SOCK_DGRAM
        sock = socket.socket(family, kind)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port.number))
            if kind == socket.SOCK_STREAM:
                sock.listen(4096)
        except OSError as error:
            sock.close()
            raise OSError(
                error.errno, f"cannot listen on port {port.number}/{port.protocol}: {error.strerror}"
            ) from error
        sock.setblocking(False)
        handle: Callable[[], None] = lambda: self._accept(sock)  # noqa: E731
        if kind == socket.SOCK_DGRAM:
            handle = lambda: self._datagram(sock)  # noqa: E731
        self._selector.register(sock, selectors.EVENT_READ, handle)

    def _line(self, protocol: str, client: tuple[str, int], server: tuple[str, int], **more: str) -> bytes:
        """One answer. Formatted by hand: the addresses need no escaping, and it is done for every request."""
        extra = "".join(f', "{name}": {json.dumps(value)}' for name, value in more.items())
        return (
            f'{self._who}, "protocol": "{protocol}", "client": "{client[0]}", "clientPort": {client[1]}, '
            f'"server": "{server[0]}", "serverPort": {server[1]}{extra}}}\n'
        ).encode()

    def _datagram(self, sock: socket.socket) -> None:
        for _ in range(64):
            try:
                _, client = sock.recvfrom(65536)
            except OSError:  # nothing more, or an ICMP error for an earlier answer
                return
            try:
                sock.sendto(self._line("UDP", client[:2], sock.getsockname()[:2]), client)
            except OSError:
                continue

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                sock, client = listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            connection = _Connection(self, sock, client[:2], sock.getsockname()[:2])
            self._selector.register(sock, selectors.EVENT_READ, connection.readable)

    def _close(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def answer(self, connection: _Connection, method: str, path: str) -> tuple[int, bytes]:
        """Status and body for an HTTP request."""
        if method == "POST" and path in ("/ready", "/unready"):
            self._ready = path == "/ready"
            return 200, b"ready\n" if self._ready else b"not ready\n"
        if path in ("/healthz", "/readyz"):
            return (200, b"ok\n") if self._ready else (503, b"not ready\n")
        return 200, self._line("HTTP", connection.client, connection.server, method=method, path=path)


class _Connection:
    """A TCP connection: HTTP or lines, whichever its first bytes say."""

    def __init__(
        self, server: Server, sock: socket.socket, client: tuple[str, int], local: tuple[str, int]
    ) -> None:
        self.client = client
        self.server = local
        self._server = server
        self._sock = sock
        self._received = b""
        self._answered = False

    def readable(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._server._close(self._sock)
            return
        self._received += data
        if self._received.startswith(METHODS):
            alive = self._http()
        elif data:
            alive = self._lines()
        else:
            alive = True
            if self._received or not self._answered:
                self._send(self._server._line("TCP", self.client, self.server))
        if not data or not alive or len(self._received) > LONGEST_REQUEST:
            self._server._close(self._sock)

    def _lines(self) -> bool:
        *lines, self._received = self._received.split(b"\n")
        alive = True
        for _ in lines:
            alive = alive and self._send(self._server._line("TCP", self.client, self.server))
        self._answered = self._answered or bool(lines)
        return alive

    def _http(self) -> bool:
        """Answers the complete requests received so far; says whether the connection stays."""
        alive = True
        while alive and self._received:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return True
            request, *lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            length = headers.get("content-length", "0")
            needed = int(length) if length.isdigit() else 0
            if len(rest) < needed:
                return True
            self._received = rest[needed:]
            alive = self._respond(request, headers)
        return alive

    def _respond(self, request: str, headers: Mapping[str, str]) -> bool:
        method, _, target = request.partition(" ")
        path, _, version = target.partition(" ")
        status, body = self._server.answer(self, method, path.partition("?")[0])
        asked = headers.get("connection", "").lower()
        keep = asked != "close" and (version == "HTTP/1.1" or asked == "keep-alive")
        kind = "application/json" if body.startswith(b"{") else "text/plain"
        reason = "OK" if status == 200 else "Service Unavailable"
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        ).encode()
        return self._send(head if method == "HEAD" else head + body) and keep

    def _send(self, data: bytes) -> bool:
        """Sends an answer; a peer that has a full buffer's worth of them unread is given up."""
        try:
            return self._sock.send(data) == len(data)
        except OSError:
            return False
