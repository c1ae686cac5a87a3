"""What the programs of these applications share: a small HTTP server, calls to other services and to redis."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

Query = Mapping[str, str]
Page = Callable[[Query], Any]


class CallError(Exception):
    """Another service did not answer; the message says which."""


def call(address: str, path: str = "/", **query: str) -> Any:
    """Asks another service for JSON. Raises `CallError`."""
    from urllib.parse import urlencode

    url = f"http://{address}{path}?{urlencode(query)}"
    try:
        with urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise CallError(f"{url}: {error}") from error


def redis(address: str, *words: str) -> str | None:
    """Carries out one command of redis. Raises `CallError`."""
    host, _, port = address.partition(":")
    command = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
    try:
        with socket.create_connection((host, int(port or 6379)), timeout=5) as sock:
            sock.sendall(command.encode())
            stream = sock.makefile("rb")
            line = stream.readline()
            if line.startswith(b"-"):
                raise CallError(f"{address}: {line[1:].decode().strip()}")
            if line.startswith(b"$"):
                size = int(line[1:])
                return None if size < 0 else stream.read(size).decode()
            return line[1:].decode().strip()
    except (OSError, ValueError) as error:
        raise CallError(f"redis at {address}: {error}") from error


def serve(port: int, pages: Mapping[str, Page]) -> None:
    """Answers by path, until SIGTERM: text as HTML, anything else as JSON; 502 where a call failed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            page = pages.get(parts.path)
            status, said = 404, "not found\n"
            if page is not None:
                try:
                    status, said = 200, page({k: v[-1] for k, v in parse_qs(parts.query).items()})
                except CallError as error:
                    status, said = 502, f"{error}\n"
            kind = "text/html" if isinstance(said, str) else "application/json"
            body = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET
        daemon_threads = True

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(("", port), Handler).serve_forever()
