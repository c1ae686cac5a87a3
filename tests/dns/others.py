"""Other DNS servers on loopback, that answer what a test wants."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import dns.message
import dns.rcode
import dns.rrset

from fairlead.dns.upstreams import Upstream
from tests.dns.cluster import receive_message, send_message
from tests.loopback import own_address

Reply = Callable[[dns.message.Message], list[bytes]]


def reply(*records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0) -> Reply:
    """A server's answer with these records, `NAME TTL TYPE DATA`."""

    def make(asked: dns.message.Message) -> list[bytes]:
        message = dns.message.make_response(asked, recursion_available=True)
        message.set_rcode(rcode)
        message.flags |= flags
        for record in records:
            name, ttl, kind, *rest = record.split()
            message.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, " ".join(rest)))
        return [message.to_wire()]

    return make


def udp_and_tcp() -> tuple[socket.socket, socket.socket]:
    """Sockets of one port, to which nobody else sends. What is free over UDP may be taken over TCP: then another."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((own_address(), 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
    raise AssertionError("no port is free over both UDP and TCP")


@contextmanager
def other_server(
    over_udp: Reply, over_tcp: Reply | None = None, *, tls: ssl.SSLContext | None = None, answers: int = 1
) -> Iterator[tuple[Upstream, list[str]]]:
    """Another DNS server on loopback; gives its address and the questions that it was asked.

    Over TCP, or TLS, it gives so many answers on a connection, then it closes it.
    """
    asked: list[str] = []
    udp, stream = udp_and_tcp()
    with udp, stream:

        def note(data: bytes) -> dns.message.Message:
            message = dns.message.from_wire(data)
            asked.append(f"{message.question[0].name} {message.question[0].rdtype.name}")
            return message

        def serve_udp() -> None:
            while True:
                data, client = udp.recvfrom(4096)
                if not data:
                    return
                for answer in over_udp(note(data)):
                    udp.sendto(answer, client)

        def serve_tcp() -> None:
            while True:
                try:
                    sock, _ = stream.accept()
                except OSError:
                    return
                assert over_tcp
                with contextlib.suppress(OSError, EOFError):
                    wrapped = tls.wrap_socket(sock, server_side=True) if tls else sock
                    with wrapped:
                        for _ in range(answers):
                            send_message(wrapped, over_tcp(note(receive_message(wrapped)))[0])

        threads = [Thread(target=serve_udp), Thread(target=serve_tcp)]
        for thread in threads:
            thread.start()
        try:
            yield Upstream(*udp.getsockname()), asked
        finally:
            udp.sendto(b"", udp.getsockname())
            stream.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
