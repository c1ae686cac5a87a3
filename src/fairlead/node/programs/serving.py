"""An HTTP server for the programs here: threads, both IP families, an end at SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONGEST_BODY = 8 << 20
"""Bytes of a request's body that are read; more is refused with 413."""


@dataclass(frozen=True)
class Request:
    """An HTTP request. Addresses are (host, port)."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    header_lines: tuple[tuple[str, str], ...]
    body: bytes
    client: tuple[str, int]
    server: tuple[str, int]

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The values by name."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def first(self, name: str, default: str = "") -> str:
        """The first value of a name in the query."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes = b""
    status: int = 200
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Request], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    address_family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)  # HTTPServer asks the DNS for its own name

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


def start(port: int, handle: Handle, *, name: str = "fairlead") -> None:
    """Answers on a TCP port, from threads in the background. Raises OSError where it cannot listen."""
    server = _Server(("", port), _handler(handle, name))
    threading.Thread(target=server.serve_forever, daemon=True).start()


def serve(ports: Mapping[int, Handle], *, name: str = "fairlead", announce: str = "") -> int:
    """Answers until SIGTERM or SIGINT; gives the exit status, 0 then, 1 where it cannot listen."""
    try:
        for port, handle in ports.items():
            start(port, handle, name=name)
    except OSError as error:
        print(f"cannot listen: {error.strerror}", file=sys.stderr)
        return 1
    if announce:
        print(announce)
    wait()
    return 0


def wait() -> None:
    """Returns at SIGTERM or SIGINT, whichever thread the kernel gives it to."""
    woken, wake = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    os.read(woken, 1)


def plain(address: Any) -> tuple[str, int]:
    """A socket's address as (host, port), an IPv4 address as such."""
    return str(address[0]).removeprefix("::ffff:"), int(address[1])


def _handler(handle: Handle, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = name, ""
        timeout = 60

        def answer(self) -> None:
            length = self.headers.get("Content-Length", "0")
            size = int(length) if length.isdecimal() else 0
            if size > LONGEST_BODY:
                self.send_error(413)
                return
            request = Request(
                self.command,
                self.path,
                self.request_version,
                {key.lower(): value for key, value in self.headers.items()},
                tuple(self.headers.items()),
                self.rfile.read(size),
                plain(self.client_address),
                plain(self.connection.getsockname()),
            )
            self.reply(handle(request))

        def reply(self, answer: Answer) -> None:
            self.send_response(answer.status)
            headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **answer.headers}
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            print(
                f'{plain(self.client_address)[0]} - "{self.requestline}" {args[1] if len(args) > 1 else ""}'
            )

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = answer

    return Handler
