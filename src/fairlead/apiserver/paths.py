"""Paths that are no resources: health, version, metrics, what discovery and OpenAPI answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fairlead.apiserver import metrics
from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.discovery import Discovery
from fairlead.apiserver.openapi import OpenApi
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.version import VERSION
from fairlead.objects.codec import encode
from fairlead.objects.status import StatusError, failure
from fairlead.process import Health
from fairlead.store import Store

Answer = tuple[int, str, bytes]
"""Status, content type, body."""

Path = Callable[[RequestInfo, Query, Mapping[str, str]], Answer | None]
"""Answers a path; None where it has none."""

CHECKS = ("ping", "log", "etcd")
"""The names of checks that upstream's clients ask for by path; all of them are the health of the store here."""


def health(state: Health) -> Path:
    """`/healthz`, `/livez`, `/readyz`, with `?verbose`."""

    def answer(info: RequestInfo, query: Query, __: Mapping[str, str]) -> Answer | None:
        first, _, check = info.path.strip("/").partition("/")
        if first not in ("healthz", "livez", "readyz") or (check and check not in CHECKS):
            return None
        good, text = state.report(readiness=first == "readyz")
        if not good:
            said = "".join(f"[-]{line}\n" for line in text.splitlines())
            return 500, "text/plain; charset=utf-8", f"{said}{first} check failed\n".encode()
        if "verbose" in query:
            said = "".join(f"[+]{name} ok\n" for name in CHECKS)
            return 200, "text/plain; charset=utf-8", f"{said}{first} check passed\n".encode()
        return 200, "text/plain; charset=utf-8", b"ok"

    return answer


def version(info: RequestInfo, _: Query, __: Mapping[str, str]) -> Answer | None:
    """`/version`."""
    if info.path.rstrip("/") != "/version":
        return None
    return 200, "application/json", encode(VERSION)


def documented(catalog: Catalog, make: Callable[[Catalog], Discovery | OpenApi]) -> Path:
    """`/api`, `/apis` and what lies below them down to the versions; `/openapi/v2` and `/openapi/v3`.

    The documents are made again when they are asked for and the catalog has changed since.
    """
    made = documents = None

    def answer(info: RequestInfo, _: Query, headers: Mapping[str, str]) -> Answer | None:
        nonlocal made, documents
        if documents is None or made != catalog.revision:
            made, documents = catalog.revision, make(catalog)
        found = documents.document(info.path, headers.get("Accept", ""))
        return None if found is None else (200, *found)

    return answer


def exposition(store: Store) -> Path:
    """`/metrics`."""

    def answer(info: RequestInfo, _: Query, __: Mapping[str, str]) -> Answer | None:
        if info.path != "/metrics":
            return None
        content_type, text = metrics.exposition(store.size)
        return 200, content_type, text

    return answer


def only_get(path: Path) -> Path:
    """The path for GET and HEAD; anything else at it is 405."""

    def answer(info: RequestInfo, query: Query, headers: Mapping[str, str]) -> Answer | None:
        found = path(info, query, headers)
        if found is not None and info.method not in ("GET", "HEAD"):
            raise not_get(info)
        return found

    return answer


def not_get(info: RequestInfo) -> StatusError:
    """405: the path can only be read."""
    return failure(405, "MethodNotAllowed", f"the server does not allow {info.method} on {info.path}")


def plain_paths(store: Store, state: Health, catalog: Catalog, address: str) -> tuple[Path, ...]:
    """All of them. `address` is what clients in the cluster reach the server at, HOST:PORT."""
    paths = (
        health(state),
        version,
        exposition(store),
        documented(catalog, lambda kinds: Discovery(kinds, address)),
        documented(catalog, lambda kinds: OpenApi(kinds, VERSION.gitVersion)),
    )
    return tuple(only_get(path) for path in paths)
