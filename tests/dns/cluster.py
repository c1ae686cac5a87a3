"""A small cluster for the tests, as its manifests, with ways to ask its DNS."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import dns.message
import uvloop
import yaml

from fairlead.dns.answers import Answers
from fairlead.dns.config import DnsConfig
from fairlead.dns.edns import Cookies
from fairlead.dns.listeners import Listeners
from fairlead.dns.responder import Responder
from fairlead.dns.source import EndpointSlice, Service, read
from fairlead.dns.zone import Zone
from tests.loopback import own_address
from tests.waiting import LIMIT

EXAMPLES = """
kind: Service
metadata: {name: my-service, namespace: default}
spec:
  clusterIP: 10.96.0.100
  clusterIPs: [10.96.0.100]
  ports: [{name: http, port: 80, protocol: TCP}]
---
kind: EndpointSlice
metadata: {name: my-service-abc, namespace: default, labels: {kubernetes.io/service-name: my-service}}
addressType: IPv4
endpoints:
- {addresses: [10.244.1.2], conditions: {ready: true}}
- {addresses: [10.244.2.3], conditions: {ready: false}}
ports: [{name: http, port: 8080, protocol: TCP}]
---
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
kind: Service
metadata: {name: unnamed, namespace: default}
spec: {clusterIP: 10.96.0.101, clusterIPs: [10.96.0.101], ports: [{port: 80, protocol: TCP}]}
---
kind: Service
metadata: {name: dual, namespace: default}
spec: {clusterIP: 10.96.0.102, clusterIPs: [10.96.0.102, "fd00:96::102"], ports: [{name: web, port: 80, protocol: TCP}]}
---
kind: Service
metadata: {name: several, namespace: default}
spec:
  clusterIP: 10.96.0.103
  clusterIPs: [10.96.0.103]
  ports: [{name: http, port: 80, protocol: TCP}, {name: https, port: 443, protocol: TCP}]
---
kind: Service
metadata: {name: headless-svc, namespace: default}
spec: {clusterIP: None, clusterIPs: [None], ports: [{name: http, port: 80, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {name: headless-svc-1, namespace: default, labels: {kubernetes.io/service-name: headless-svc}}
addressType: IPv4
endpoints:
- {addresses: [10.244.1.2], conditions: {ready: true}}
- {addresses: [10.244.2.3]}
- {addresses: [10.244.3.4], conditions: {ready: false}}
ports: [{name: http, port: 8080, protocol: TCP}]
---
kind: Service
metadata: {name: mysql, namespace: default}
spec: {clusterIP: None, ports: [{name: mysql, port: 3306, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {name: mysql-1, namespace: default, labels: {kubernetes.io/service-name: mysql}}
addressType: IPv4
endpoints:
- {addresses: [10.244.1.5], hostname: mysql-0, conditions: {ready: true}}
- {addresses: [10.244.2.5], hostname: mysql-1, conditions: {ready: true}}
ports: [{name: mysql, port: 3306, protocol: TCP}]
---
kind: EndpointSlice
metadata: {name: mysql-6, namespace: default, labels: {kubernetes.io/service-name: mysql}}
addressType: IPv6
endpoints:
- {addresses: ["fd00:244::5"], hostname: mysql-0, conditions: {ready: true}}
ports: [{name: mysql, port: 3306, protocol: TCP}]
---
kind: Service
metadata: {name: nobody, namespace: default}
spec: {clusterIP: None, ports: [{name: http, port: 80, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {name: nobody-1, namespace: default, labels: {kubernetes.io/service-name: nobody}}
addressType: IPv4
endpoints: [{addresses: [10.244.9.9], conditions: {ready: false}}]
ports: [{name: http, port: 8080, protocol: TCP}]
---
kind: Service
metadata: {name: early, namespace: default}
spec: {clusterIP: None, publishNotReadyAddresses: true, ports: [{name: http, port: 80, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {name: early-1, namespace: default, labels: {kubernetes.io/service-name: early}}
addressType: IPv4
endpoints: [{addresses: [10.244.9.8], conditions: {ready: false}}]
ports: [{name: http, port: 8080, protocol: TCP}]
---
kind: Service
metadata: {name: portless, namespace: default}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {name: portless-1, namespace: default, labels: {kubernetes.io/service-name: portless}}
addressType: IPv4
endpoints: [{addresses: [10.244.9.7], conditions: {ready: true}}]
---
kind: Service
metadata: {name: external-db, namespace: default}
spec: {type: ExternalName, externalName: db.example.com}
---
kind: Service
metadata: {name: alias, namespace: default}
spec: {type: ExternalName, externalName: My-Service.default.svc.cluster.local.}
---
kind: Service
metadata: {name: alias-to-nothing, namespace: default}
spec: {type: ExternalName, externalName: nothing.default.svc.cluster.local}
---
kind: Service
metadata: {name: ouroboros, namespace: default}
spec: {type: ExternalName, externalName: ouroboros.default.svc.cluster.local}
---
kind: Service
metadata: {name: external-address, namespace: default}
spec: {type: ExternalName, externalName: 192.0.2.1}
---
kind: Namespace
metadata: {name: default}
---
kind: Namespace
metadata: {name: kube-system}
---
kind: Namespace
metadata: {name: empty}
"""

SERIAL = 1_700_000_000
DOMAIN = "cluster.local"


@cache
def parsed(manifests: str) -> tuple[Any, ...]:
    return tuple(yaml.load_all(manifests, Loader=yaml.CSafeLoader))


def apply(zone: Zone, manifests: str) -> set[str]:
    """Puts manifests into a zone; the owners that this touched."""
    touched: set[str] = set()
    for manifest in parsed(manifests):
        meta = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            touched |= zone.put_namespace(meta["name"], True)
        elif manifest["kind"] == "Service":
            touched |= zone.put_service(f"{meta['namespace']}/{meta['name']}", read(Service, manifest))
        else:
            touched |= zone.put_slice(f"{meta['namespace']}/{meta['name']}", read(EndpointSlice, manifest))
    return touched


def example_zone() -> Zone:
    zone = Zone(DOMAIN, 30, clock=lambda: SERIAL)
    apply(zone, EXAMPLES)
    return zone


def example_responder(**settings: Any) -> Responder:
    responder = Responder(example_zone(), Answers(), Cookies(b"secret"), **settings)
    responder.synced()
    return responder


def query(name: str, kind: str = "A", **settings: Any) -> dns.message.Message:
    """A question as dnspython writes it."""
    return dns.message.make_query(name, kind, **settings)


def ask(responder: Responder, query: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
    """The answer as dnspython reads it; it has to be one to this query."""
    answer = responder.respond(query.to_wire(), "192.0.2.7", tcp=tcp)
    assert isinstance(answer, bytes)
    message = dns.message.from_wire(answer)
    assert query.is_response(message)
    return message


def lines(section: list[Any]) -> list[str]:
    """The records of a section as in a zone file, without TTLs and classes, in the order of the message."""
    return [f"{rrset.name} {rrset.rdtype.name} {rdata.to_text()}" for rrset in section for rdata in rrset]


class Running:
    """A server on loopback, with its loop in a thread, for tests that use blocking sockets."""

    def __init__(self, listeners: Listeners, loop: asyncio.AbstractEventLoop) -> None:
        self.listeners = listeners
        self.responder = listeners.responder
        self.host, self.port = listeners.addresses[0]
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs something in the server's loop and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    def start(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Runs something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        """Asks until it is so."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def udp(self, query: bytes, seconds: float = LIMIT) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.connect((self.host, self.port))
            sock.send(query)
            return sock.recv(65_535)

    def tcp(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=LIMIT)


def send_message(sock: socket.socket, message: bytes) -> None:
    sock.sendall(struct.pack("!H", len(message)) + message)


def receive_message(sock: socket.socket) -> bytes:
    (length,) = struct.unpack("!H", receive(sock, 2))
    return receive(sock, length)


def receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


@contextmanager
def running(manifests: str = EXAMPLES, *, synced: bool = True, **settings: Any) -> Iterator[Running]:
    """A server with these manifests on a free port of loopback."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    listeners = Listeners(DnsConfig(listen=((own_address(), 0),), **settings))
    server = Running(listeners, loop)
    listeners.responder.change(lambda zone: apply(zone, manifests))
    if synced:
        listeners.responder.synced()
    thread.start()
    try:
        server.do(listeners.start())
        yield server
        server.do(listeners.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
