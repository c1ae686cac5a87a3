"""Paths that are no resources: health, version, metrics, what discovery and OpenAPI answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.connect import usage
from fairlead.apiserver.discovery import Discovery
from fairlead.apiserver.etags import Answer
from fairlead.apiserver.metrics import Metrics
from fairlead.apiserver.openapi.documents import OpenApi
from fairlead.apiserver.replies import no_such_path
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.version import VERSION
from fairlead.objects.codec import encode
from fairlead.objects.status import StatusError, failure
from fairlead.process import Health
from fairlead.store import Store

Path = Callable[[RequestInfo, Query, Mapping[str, str]], Answer | Awaitable[Answer] | None]
"""Answers a path, at once or later; None where it has no answer."""

READING = ("GET", "HEAD")

LIVE = ("ping", "log", "etcd")
READY = (*LIVE, "informer-sync", "shutdown")
"""The checks that upstream's clients ask for by name. What a component reports besides is a check of its own name."""

PLAIN = "text/plain; charset=utf-8"


def checks(state: Health, *, readiness: bool) -> dict[str, bool]:
    """Every check by its name, and whether all is well with it."""
    _, text = state.report(readiness=readiness)
    found = dict.fromkeys(READY if readiness else LIVE, True)
    return found | {line.partition(":")[0]: False for line in text.splitlines() if ":" in line}


def health(state: Health) -> Path:
    """`/healthz`, `/livez`, `/readyz`, each with `?verbose` and `?exclude=NAME`, and each check below them.

    Why a check fails is in the log, as upstream's: anybody may ask. Upstream: apiserver/pkg/server/healthz.
    """

    def answer(info: RequestInfo, query: Query, __: Mapping[str, str]) -> Answer | None:
        first, _, name = info.path.strip("/").partition("/")
        if first not in ("healthz", "livez", "readyz"):
            return None
        found = checks(state, readiness=first == "readyz")
        if name:
            if name not in found:
                return None
            well = found[name]
            return Answer(200 if well else 500, PLAIN, b"ok" if well else f"{name} failed\n".encode())
        excluded = query.all("exclude")
        good = all(well for name, well in found.items() if name not in excluded)
        if good and "verbose" not in query:
            return Answer(200, PLAIN, b"ok")
        lines = [
            f"[+]{name} excluded: ok" if name in excluded
            else f"[+]{name} ok" if well
            else f"[-]{name} failed: reason withheld"
            for name, well in found.items()
        ]  # fmt: skip
        if strange := [f'"{name}"' for name in excluded if name not in found]:
            said = f"warn: some health checks cannot be excluded: no matches for {', '.join(strange)}"
            lines.append(said)
        lines.append(f"{first} check {'passed' if good else 'failed'}\n")
        return Answer(200 if good else 500, PLAIN, "\n".join(lines).encode())

    return answer


def version(info: RequestInfo, _: Query, __: Mapping[str, str]) -> Answer | None:
    """`/version`."""
    if info.path.rstrip("/") != "/version":
        return None
    return Answer(200, "application/json", encode(VERSION))


def discovery(catalog: Catalog, address: str) -> Path:
    """`/api`, `/apis` and what lies below them down to the versions.

    The documents are made again when they are asked for and the catalog has changed since.
    """
    made, documents = -1, Discovery((), address)

    def answer(info: RequestInfo, _: Query, headers: Mapping[str, str]) -> Answer | None:
        nonlocal made, documents
        if made != catalog.revision:
            made, documents = catalog.revision, Discovery((*catalog, *usage.KINDS), address)
        return documents.answer(info.path, headers)

    return answer


def openapi(catalog: Catalog) -> Path:
    """`/openapi/v2` and `/openapi/v3`, made in the same way; aside, for it takes a tenth of a second at first."""
    made, documents = -1, OpenApi((), VERSION.gitVersion)

    def answer(info: RequestInfo, query: Query, headers: Mapping[str, str]) -> Awaitable[Answer] | None:
        nonlocal made, documents
        if not info.path.startswith("/openapi/"):
            return None
        if info.method not in READING:
            raise not_get(info)
        if made != catalog.revision:
            made, documents = catalog.revision, OpenApi(catalog, VERSION.gitVersion, documents)
        return found(documents, info.path, query, headers)

    async def found(of: OpenApi, path: str, query: Query, headers: Mapping[str, str]) -> Answer:
        answer = await asyncio.to_thread(of.answer, path, query, headers)
        if answer is None:
            raise no_such_path()
        return answer

    return answer


def exposition(metrics: Metrics, store: Store, catalog: Catalog) -> Path:
    """`/metrics`; the objects are counted when it is asked for."""

    async def text() -> Answer:
        counted = {}
        for kind in catalog.collections():
            page = await store.range(kind.prefix, limit=1)
            counted[kind] = len(page.entries) + page.remaining
        return Answer(200, *metrics.exposition(counted, store.size))

    def answer(info: RequestInfo, _: Query, __: Mapping[str, str]) -> Awaitable[Answer] | None:
        if info.path != "/metrics":
            return None
        if info.method not in READING:
            raise not_get(info)
        return text()

    return answer


def only_get(path: Path) -> Path:
    """The path for GET and HEAD; anything else at it is 405."""

    def answer(
        info: RequestInfo, query: Query, headers: Mapping[str, str]
    ) -> Answer | Awaitable[Answer] | None:
        found = path(info, query, headers)
        if found is not None and info.method not in READING:
            raise not_get(info)
        return found

    return answer


def not_get(info: RequestInfo) -> StatusError:
    """405: the path can only be read."""
    return failure(405, "MethodNotAllowed", f"the server does not allow {info.method} on {info.path}")


def plain_paths(
    store: Store, state: Health, catalog: Catalog, metrics: Metrics, address: str, *others: Path
) -> tuple[Path, ...]:
    """All of them, and others. `address` is what clients in the cluster reach the server at, HOST:PORT."""
    paths = (
        health(state),
        version,
        exposition(metrics, store, catalog),
        discovery(catalog, address),
        openapi(catalog),
        *others,
    )
    return tuple(only_get(path) for path in paths)
