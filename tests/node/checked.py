"""A program for containers of tests that answers probes of one kind: well, unless a file says otherwise.

    checked.py KIND PORT PREFIX [CERTIFICATE KEY]

KIND is HTTP, HTTPS, TCP, gRPC or exec. Each of a container's three probes, WHAT, is answered for itself: HTTP and HTTPS
at the path /WHAT, gRPC for the service WHAT, TCP at the port PORT, PORT + 1 or PORT + 2. It fails while there is a file
PREFIX.WHAT. That of the liveness probe is removed at the start, as a restart mends what was wrong. Told to end by
SIGTERM, it makes a file PREFIX.told and goes on; as soon as it would, there is a file PREFIX.listens. Runs on any
Python: it imports nothing of ours.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import ssl
import sys
import threading
import time

PROBES = ("startup", "readiness", "liveness")


def is_good(prefix: str, what: str) -> bool:
    """How a probe is to be answered now."""
    return not os.path.exists(f"{prefix}.{what}")


def serve_http(port: int, prefix: str, context: ssl.SSLContext | None) -> None:
    """HTTP, or HTTPS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if is_good(prefix, self.path[1:]) else 500)
            self.send_header("content-length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("", port), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def serve_tcp(port: int, prefix: str, what: str) -> None:
    """Listens while all is well."""
    listening: socket.socket | None = None
    while True:
        if is_good(prefix, what) != (listening is not None):
            if listening is not None:
                listening.close()
                listening = None
            else:
                listening = socket.create_server(("", port + PROBES.index(what)))
        time.sleep(0.02)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field of HPACK, not indexed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def answer_grpc(connection: socket.socket, prefix: str) -> None:
    """The one call of a connection, to grpc.health.v1.Health/Check: its message has the service's name."""
    with connection, connection.makefile("rwb") as stream:
        stream.read(24)  # the preface
        stream.write(frame(4, 0, 0, b""))
        stream.flush()
        while head := stream.read(9):
            payload = stream.read(int.from_bytes(head[:3], "big"))
            if head[3] != 0 or not payload:  # neither DATA
                continue
            number = int.from_bytes(head[5:9], "big")
            service = payload[7:].decode()
            serving = b"\x08\x01" if is_good(prefix, service) else b"\x08\x02"
            status = b"\x88" + literal(b"content-type", b"application/grpc")
            stream.write(frame(1, 4, number, status))
            stream.write(frame(0, 0, number, b"\0" + len(serving).to_bytes(4, "big") + serving))
            stream.write(frame(1, 5, number, literal(b"grpc-status", b"0")))
            stream.flush()


def serve_grpc(port: int, prefix: str) -> None:
    """gRPC's health service."""
    with socket.create_server(("", port)) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=answer_grpc, args=(connection, prefix), daemon=True).start()


def wait() -> None:
    """For ever, but for signals."""
    while True:
        time.sleep(1)


def main(kind: str, port: int, prefix: str, *files: str) -> None:
    """Serves for ever."""
    signal.signal(signal.SIGTERM, lambda *_: open(f"{prefix}.told", "w").close())
    for what in ("told", "liveness"):
        if not is_good(prefix, what):
            os.remove(f"{prefix}.{what}")
    open(f"{prefix}.listens", "w").close()
    if kind in ("HTTP", "HTTPS"):
        context = None
        if kind == "HTTPS":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*files)
        serve_http(port, prefix, context)
    elif kind == "TCP":
        for what in PROBES:
            threading.Thread(target=serve_tcp, args=(port, prefix, what)).start()
        wait()
    elif kind == "gRPC":
        serve_grpc(port, prefix)
    else:  # commands ask for the file itself
        wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
