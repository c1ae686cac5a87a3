"""Sends an API server requests that nobody would send; looks for 5xx, hangs and a server that is worse off after them.

    python -m tools.fuzz_api --seconds 60 [--wire] [--seed N] [--server URL --token TOKEN --authority FILE]

Starts a server of its own unless told of one. What it finds it prints with the request, and exits with status 1; the
same seed sends the same requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from tools import wire_bytes

from fairlead.apiserver.certificates import make_authority
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import KINDS
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.objects import protobuf
from fairlead.process import Health, listener

SECONDS = 20.0
"""How long an answer may take."""

PATIENCE = 0.5
"""How long a connection is listened to that says nothing more."""

BATCH = 50
"""Requests after which the server has to show that it is well."""

TOKEN = "fuzz"
NAMES = (
    "a",
    "b",
    "web",
    "kube-root-ca.crt",
    "default",
    "A",
    "..",
    "%2e%2e",
    "x" * 300,
    "é",
    "%ff",
    "%00",
    " ",
    "a.b.c",
)
WORDS = (
    "",
    "0",
    "-1",
    "1",
    "true",
    "null",
    "a",
    "é",
    "\x00",
    "\ud800",
    "a" * 5000,
    "9" * 400,
    "1e999",
    "'",
    '"',
    "{}",
    "[]",
)
NUMBERS = (0, 1, -1, 80, 65536, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 1.5, 1e308, 10**40)
METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO")
PARAMETERS = (
    "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
    "allowWatchBookmarks", "sendInitialEvents", "pretty", "dryRun", "fieldManager", "fieldValidation", "force",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "includeObject", "verbose", "exclude", "unknown",
)  # fmt: skip
SELECTORS = (
    "a=b", "a==b", "a!=b", "a in (b,c)", "a notin ()", "!a", "a", "a>1", "a<x", "a,,b", "((((", "a in (b", "=", "!",
    "metadata.name=a", "spec.nodeName!=b", "metadata.namespace=default", "spec.clusterIP=None", "a\\,b=c", "\\", "a=b\\",
)  # fmt: skip
PATHS = (
    "/", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version", "/healthz", "/livez/etcd",
    "/metrics", "/readyz", "//", "/api//v1", "/api/v1/../v1", "/apis/x/y/z", "/%2e%2e/", "/api/v1/watch", "/\\",
)  # fmt: skip
TYPES = (
    "application/json", "application/json", "application/json", "application/yaml", protobuf.CONTENT_TYPE,
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml", "text/plain", "", "application/json; charset=\x7f", ";", "multipart/form-data",
)  # fmt: skip
ACCEPTS = (
    "", "*/*", "application/json", "application/yaml", protobuf.CONTENT_TYPE, "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "a/b;q=nan,*/*", ";;;", "application/json;q=",
    f"{protobuf.CONTENT_TYPE};stream=watch,application/json",
)  # fmt: skip
# ruff: noqa: E501 - tables


class Request(NamedTuple):
    """One request, all but its connection."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def wire(self, token: str) -> bytes:
        """The bytes that are sent."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: fuzz", f"Authorization: Bearer {token}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace") + self.body


def request(dice: random.Random) -> Request:
    """A request, often nearly a good one."""
    method, kind = dice.choice(METHODS), dice.choice(KINDS)
    name = dice.choice(NAMES[:4] if dice.random() < 0.9 else NAMES)
    named = dice.random() < (0.05 if method == "POST" else 0.85)
    target = path(dice, kind, name if named else "")
    query = [
        (
            name,
            dice.choice(SELECTORS)
            if name.endswith("Selector") and dice.random() < 0.8
            else dice.choice(WORDS),
        )
        for name in dice.sample(PARAMETERS, dice.choice((0, 0, 0, 1, 1, 2, 4)))
    ]
    if method == "GET" and dice.random() < 0.1:
        query += [("watch", "1"), ("timeoutSeconds", "1")]
    if query:
        target += "?" + "&".join(f"{name}={escaped(value)}" for name, value in query)
    elif dice.random() < 0.03:
        target += dice.choice(
            ("?", "?&&", "?%", "?a=%zz", "?=", "?watch", "?limit=1&limit=2", "?" + "a&" * 2000)
        )
    headers = [("Accept", dice.choice(ACCEPTS))]
    data = b""
    if method in ("POST", "PUT", "PATCH", "DELETE") and dice.random() < 0.95:
        media = dice.choice(TYPES[:4])
        if method == "PATCH":
            media = dice.choice(TYPES[5:9])
        if dice.random() < 0.1:
            media = dice.choice(TYPES)
        headers.append(("Content-Type", media))
        data = body(dice, kind, name, media, method)
    if dice.random() < 0.05:
        headers.append(
            (dice.choice(("Accept-Encoding", "User-Agent", "If-Match", "X" * 200)), dice.choice(WORDS))
        )
    clean = tuple((name, value.replace("\x00", "").replace("\ud800", "?")) for name, value in headers)
    return Request(method, target, clean, data)


def escaped(text: str) -> str:
    """The text in a query."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def path(dice: random.Random, kind: Kind, name: str) -> str:
    """A path, mostly of a kind."""
    if dice.random() < 0.1:
        return dice.choice(PATHS)
    resource = kind.resource
    at = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if dice.random() < 0.02:
        at = dice.choice(("/api/v2", "/apis/x/v1", "/api", f"{at}/watch"))
    if resource.namespaced and dice.random() < 0.9:
        at += f"/namespaces/{'default' if dice.random() < 0.9 else quote(dice.choice(NAMES), safe='%')}"
    at += f"/{kind.plural}"
    if name:
        at += f"/{quote(name, safe='%')}"
        if dice.random() < 0.25:
            parts = ["status", "scale", "finalize", "binding", "eviction", "token", "proxy", "log", "x"]
            at += f"/{dice.choice(parts)}"
            if dice.random() < 0.1:
                at += "/x/y"
    return at


def value(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    choice = dice.random()
    if choice < 0.25 and depth < 4:
        return {dice.choice((*FIELDS, *WORDS)): value(dice, depth + 1) for _ in range(dice.randrange(4))}
    if choice < 0.45 and depth < 4:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return dice.choice((None, True, False, dice.choice(WORDS), dice.choice(NUMBERS), dice.choice(NAMES)))


def sound(dice: random.Random, kind: Kind, name: str) -> dict[str, Any]:
    """An object that is nearly right."""
    port = {"port": dice.choice((80, 0, 70000)), "targetPort": dice.choice((1, "http"))}
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    spec: dict[str, Any] = {
        "ports": [port], "selector": {"a": "b"}, "type": dice.choice(("ClusterIP", "NodePort", "ExternalName", "x")),
        "containers": [container], "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
        "replicas": 1,
        "parentRef": {"resource": "services", "namespace": "default", "name": "a"},
    }  # fmt: skip
    if kind.plural in ("services", "pods"):
        keys = ["ports", "selector", "type"] if kind.plural == "services" else ["containers"]
    else:
        keys = dice.sample(sorted(spec), dice.randrange(len(spec)))
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "metadata": {"name": name, "labels": {"a": "b"}, "annotations": {}, "finalizers": []},
        **({"spec": {key: spec[key] for key in keys}} if keys else {}),
        **({"data": {"a": "YWE="}} if dice.random() < 0.3 else {}),
        **({"addressType": "IPv4", "endpoints": []} if kind.plural == "endpointslices" else {}),
        **({"status": {}} if dice.random() < 0.3 else {}),
    }


FIELDS = (
    "metadata", "name", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "resourceVersion", "uid",
    "spec", "status", "data", "ports", "port", "selector", "clusterIP", "clusterIPs", "type", "endpoints", "addresses",
    "containers", "conditions", "kind", "apiVersion", "managedFields", "generateName", "creationTimestamp", "$patch",
    "$setElementOrder/ports", "$deleteFromPrimitiveList/finalizers", "$retainKeys", "op", "path", "value", "from", "replicas",
)  # fmt: skip


def mutated(dice: random.Random, of: Any) -> Any:
    """The value with one thing changed, somewhere in it."""
    if isinstance(of, dict) and of and dice.random() < 0.8:
        key = dice.choice(sorted(of))
        return {**of, key: mutated(dice, of[key])}
    if isinstance(of, list) and of and dice.random() < 0.8:
        at = dice.randrange(len(of))
        return [*of[:at], mutated(dice, of[at]), *of[at + 1 :]]
    if isinstance(of, dict) and dice.random() < 0.7:
        return {**of, dice.choice(FIELDS): value(dice)}
    return value(dice)


def patch_operations(dice: random.Random) -> Any:
    """A JSON patch, more or less."""
    pointers = (
        "",
        "/",
        "/metadata/labels/a",
        "/spec/ports/0",
        "/spec/ports/-",
        "/spec/ports/01",
        "/a~2",
        "/metadata/name",
    )
    return [
        {
            "op": dice.choice(("add", "remove", "replace", "move", "copy", "test", "x")),
            "path": dice.choice(pointers),
            "from": dice.choice(pointers),
            "value": value(dice),
        }
        for _ in range(dice.randrange(5))
    ]


def body(dice: random.Random, kind: Kind, name: str, media: str, method: str) -> bytes:
    """A body of a media type, or bytes that only say so."""
    strange = STRANGE[dice.randrange(len(STRANGE))]
    if dice.random() < 0.1:
        return strange()
    obj: Any = sound(dice, kind, name)
    for _ in range(dice.choice((0, 0, 0, 1, 2, 4))):
        obj = mutated(dice, obj)
    if media == "application/json-patch+json":
        obj = patch_operations(dice)
    if method == "DELETE":
        obj = mutated(dice, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}})
    text = json.dumps(obj, allow_nan=True).encode()
    if media == protobuf.CONTENT_TYPE:
        try:
            text = protobuf.encode(obj)
        except Exception:
            text = protobuf.MAGIC + text
    if dice.random() < 0.1:
        text = damaged(dice, text)
    return text


def damaged(dice: random.Random, data: bytes) -> bytes:
    """The bytes with some of them cut out, doubled or replaced."""
    at = dice.randrange(len(data) + 1)
    match dice.randrange(3):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at // 2 :]
    return data[:at] + dice.randbytes(dice.randrange(1, 8)) + data[at + 1 :]


def aliases() -> bytes:
    """YAML whose aliases stand for billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines).encode()


def protobuf_nest() -> bytes:
    """A protobuf message in itself, many times."""
    data = b""
    for _ in range(2000):
        if len(data) > 60_000:
            break
        data = b"\x0a" + protobuf.varint(len(data)) + data
    return protobuf.MAGIC + b"\x12" + protobuf.varint(len(data)) + data


STRANGE: tuple[Callable[[], bytes], ...] = (
    lambda: b"[" * 100_000,
    lambda: b'{"a":' * 50_000,
    lambda: b'{"metadata":{"labels":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"}}",
    lambda: b'{"apiVersion":"v1","kind":"ConfigMap","x":' + b"[" * 900 + b"]" * 900 + b"}",
    lambda: b"- " * 20_000,
    lambda: b"{a: " * 5_000,
    aliases,
    lambda: b"&a [*a]",
    lambda: b"a: &a\n  b: *a\n",
    lambda: b"? [a]\n: b\n",
    lambda: b"!!python/object/apply:os.system [ls]",
    lambda: b"a: .nan\nb: .inf\n1: 2\ntrue: x\n2020-01-01: y\n",
    lambda: b"a: 1\n---\na: 2\n",
    protobuf_nest,
    lambda: protobuf.MAGIC,
    lambda: protobuf.MAGIC + b"\xff" * 50,
    lambda: b"\x00\xff\xfe",
    lambda: b"",
    lambda: b"null",
    lambda: b"1" * 10_000,
    lambda: b'"' + b"\\u0000" * 10 + b'\\ud800"',
    lambda: b'{"metadata":{"name":"\\ud800"}}',
    lambda: (
        b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"\\u0000":"\\ud800\\udc00"}}'
    ),
    lambda: b'{"a":1,"a":2,"metadata":{"name":"a","name":"b"}}',
    lambda: (
        b'{"metadata":{"managedFields":[{"manager":"x","operation":"Apply","fieldsV1":{"f:":{"k:{":{}}}}]}}'
    ),
    lambda: (
        b'{"metadata":{"creationTimestamp":"9999-99-99T99:99:99Z","deletionGracePeriodSeconds":99999999999999999999}}'
    ),
)


class Answer(NamedTuple):
    """What came back."""

    code: int
    body: bytes


async def ask(
    host: str, port: int, context: ssl.SSLContext | None, data: bytes, *, streams: bool = False
) -> Answer:
    """Sends and reads until the server closes, or what comes first where that is a stream."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(data)
        async with asyncio.timeout(SECONDS):
            answer = await reader.read(65536)
            while not streams and (more := await reader.read(1 << 20)):
                answer = (answer + more)[: 1 << 16]
    finally:
        writer.transport.abort()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]) if head.startswith(b"HTTP/") else 0, rest)


def is_fault(answer: Answer) -> bool:
    """Whether the server failed. That a version is yet to come is 504 by contract, and 503 that a proxied Service has
    no endpoints."""
    if answer.code == 504:
        return b"Too large resource version" not in answer.body
    if answer.code == 503:
        return b"no endpoints available for service" not in answer.body
    return answer.code == 0 or answer.code >= 500


async def attack(
    host: str, port: int, context: ssl.SSLContext | None, token: str, seed: int, goes_on: Callable[[], bool]
) -> int:
    """Sends batches of requests for as long as it goes on; gives the number of faults."""
    dice = random.Random(seed)
    codes: Counter[int] = Counter()
    faults = 0
    while goes_on():
        batch = [request(dice) for _ in range(BATCH)]
        began = time.monotonic()
        answers = await asyncio.gather(
            *(ask(host, port, context, one.wire(token), streams="watch" in one.target) for one in batch),
            return_exceptions=True,
        )
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, BaseException) or is_fault(answer):
                faults += 1
                print(f"FAULT {answer!r}"[:600], f"\n  {one!r}"[:2000], file=sys.stderr)
            else:
                codes[answer.code] += 1
        well = await ask(host, port, context, Request("GET", "/readyz", (), b"").wire(token))
        if well.code != 200:
            raise SystemExit(f"the server is not ready after a batch: {well}")
        if (took := time.monotonic() - began) > SECONDS / 2:
            print(f"SLOW: a batch took {took:.1f} s", file=sys.stderr)
    print(f"seed {seed}: {sum(codes.values())} answers, {faults} faults; {dict(sorted(codes.items()))}")
    return faults


async def attack_connections(
    host: str, port: int, context: ssl.SSLContext | None, token: str, seed: int, goes_on: Callable[[], bool]
) -> int:
    """The same with what is no request, or not quite one, in pieces, sent ahead, cut off; gives the number of faults."""
    dice = random.Random(seed)
    codes: Counter[int] = Counter()
    faults = 0
    while goes_on():
        batch = [wire_bytes.stream(dice, b"Authorization: Bearer " + token.encode()) for _ in range(BATCH)]
        pieces = [
            wire_bytes.split(data, [dice.randrange(1 << 16) for _ in range(dice.randrange(8))])
            for data in batch
        ]
        answers = await asyncio.gather(
            *(answers_to(host, port, context, parts) for parts in pieces), return_exceptions=True
        )
        for data, found in zip(batch, answers, strict=True):
            if isinstance(found, BaseException) or any(
                code >= 500 and code not in (501, 505) for code in found
            ):
                faults += 1
                print(f"FAULT {found!r}"[:600], f"\n  {data!r}"[:2000], file=sys.stderr)
            else:
                codes.update(found)
        well = await ask(host, port, context, Request("GET", "/readyz", (), b"").wire(token))
        if well.code != 200:
            raise SystemExit(f"the server is not ready after a batch: {well}")
    print(f"seed {seed}: {sum(codes.values())} answers, {faults} faults; {dict(sorted(codes.items()))}")
    return faults


LAST = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def answers_to(
    host: str, port: int, context: ssl.SSLContext | None, parts: Sequence[bytes]
) -> list[int]:
    """The codes of all answers, to the end: a body that is waited for is let come, and one more request ends it all."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    answer = b""
    try:
        async with asyncio.timeout(SECONDS):
            for part in (*parts, b"\r\n\r\n" + LAST):
                writer.write(part)
                await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                # Where it waits for a body or a head that never comes, it is not to be blamed: it is left alone.
                async with asyncio.timeout(PATIENCE):
                    while more := await reader.read(1 << 16):
                        answer += more
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return [int(part.split()[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


Attack = Callable[[str, int, ssl.SSLContext | None, str, int, Callable[[], bool]], Coroutine[Any, Any, int]]


async def against_own(seed: int, goes_on: Callable[[], bool], attack: Attack = attack) -> int:
    """The same against a server that lives as long as this takes."""
    with TemporaryDirectory(prefix="fairlead-fuzz-") as text:
        directory = Path(text)
        authority = make_authority(directory)
        certificate, key = authority.issue(directory, "apiserver", ["127.0.0.1"])
        tokens = directory / "tokens.csv"
        tokens.write_text(f'{TOKEN},fuzz,1,"system:masters"\n')
        sock, health = listener("127.0.0.1", 0), Health()
        config = ServerConfig(
            store=f"sqlite:{directory / 'store.db'}",
            tokens=tokens,
            certificate=certificate,
            key=key,
            authority=authority.path,
            advertise_address="192.168.1.1",
        )
        server = asyncio.ensure_future(serve(config, [sock], health))
        await asyncio.sleep(0)
        ready = asyncio.ensure_future(health.ready())
        await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
        context = ssl.create_default_context(cafile=str(authority.path))
        try:
            return await attack("127.0.0.1", sock.getsockname()[1], context, TOKEN, seed, goes_on)
        finally:
            server.cancel()
            await asyncio.wait([server])


def main() -> int:
    """Reads the arguments and does what they say."""
    parser = argparse.ArgumentParser(description="Sends an API server strange requests.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--server", help="https://HOST:PORT of a running server")
    parser.add_argument("--wire", action="store_true", help="send what is no HTTP, or not quite")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--authority", help="the certificate of its authority")
    arguments = parser.parse_args()
    fuzz: Attack = attack_connections if arguments.wire else attack
    end: float = time.monotonic() + arguments.seconds

    def goes_on() -> bool:
        return time.monotonic() < end

    if arguments.server is None:
        return min(asyncio.run(against_own(arguments.seed, goes_on, fuzz)), 1)
    place = urlsplit(arguments.server)
    context = ssl.create_default_context(cafile=arguments.authority) if place.scheme == "https" else None
    work = fuzz(place.hostname or "", place.port or 443, context, arguments.token, arguments.seed, goes_on)
    return min(asyncio.run(work), 1)


if __name__ == "__main__":
    sys.exit(main())
