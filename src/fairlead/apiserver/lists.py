"""Lists: whole or in pages, at the revision that the request allows.

Upstream: apiserver/pkg/storage/continue.go, the API concepts page of the documentation for resourceVersion.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from dataclasses import dataclass

import msgspec

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.requests import Query
from fairlead.apiserver.selection import Selection
from fairlead.objects.meta_v1 import ListMeta, StatusCause, StatusDetails
from fairlead.objects.status import (
    FieldError,
    StatusError,
    bad_request,
    expired,
    failure,
    forbidden,
    invalid,
    not_supported,
)
from fairlead.objects.status import unprocessable as refused
from fairlead.store import Compacted, Entry, Future, Store

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
LATEST = -1
"""The revision of a token that goes on in what there is by then."""

FRESH_SECONDS = 3.0
"""How long a read waits for a revision that the store does not know yet."""

MATCHED = 500
"""Objects that are held against a selector before other requests have their turn: some 2 ms."""


class Token(msgspec.Struct):
    """Where the next page starts: what upstream's continue token says too."""

    v: str
    rv: int
    start: str


def encode_token(revision: int, after: str) -> str:
    """The token of the page after the key `after`, which is relative to the collection's prefix."""
    token = msgspec.json.encode(Token("meta.k8s.io/v1", revision, after + "\0"))
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_token(text: str) -> Token:
    """Raises 400 for a text that is no token."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(raw, type=Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad_request(f"continue key is not valid: {error}") from None
    if token.v != "meta.k8s.io/v1":
        raise bad_request(
            f"continue key is not valid: server does not recognize this encoded version {token.v}"
        )
    if not token.rv or not token.start:
        missing = "incorrect encoded start resourceVersion" if not token.rv else "encoded start key empty"
        raise bad_request(f"continue key is not valid: {missing} (version meta.k8s.io/v1)")
    return token


def gone(options: ListOptions, after: str) -> StatusError:
    """410: the state that the list is of is forgotten. Who was paging can go on with the token that comes with it.

    Upstream: etcd3 handleCompactedErrorForPaging.
    """
    if not options.continue_:
        return expired("The resourceVersion for the provided list is too old.")
    error = expired(TOO_OLD)
    token = ListMeta(continue_=encode_token(LATEST, after))
    return StatusError(msgspec.structs.replace(error.status, metadata=token))


@dataclass(frozen=True)
class ListOptions:
    """What a list asks for; `revision` is None where it does not matter, `exact` says that no other will do."""

    limit: int = 0
    continue_: str = ""
    revision: int | None = None
    exact: bool = False


def list_options(query: Query) -> ListOptions:
    """Reads and checks the parameters. Raises 400 or 422."""
    limit = max(query.number("limit") or 0, 0)
    version, match, token = (
        query.text("resourceVersion"),
        query.text("resourceVersionMatch"),
        query.text("continue"),
    )
    errors: list[FieldError] = []
    if match:
        if not version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(forbidden("resourceVersionMatch", why))
        if token:
            errors.append(
                forbidden(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                )
            )
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(forbidden("resourceVersionMatch", why))
    if "sendInitialEvents" in query:
        errors.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if errors:
        raise refused("ListOptions", "", errors, "meta.k8s.io")
    revision = parse_version(version)
    exact = match == "Exact" or bool(limit and revision and not match)
    if token and revision:
        raise bad_request("specifying resource version is not allowed when using continue")
    if version == "0" and not token:
        limit = 0  # as upstream, whose cache answers that at once and whole
    return ListOptions(limit, token, revision, exact)


def parse_version(text: str) -> int | None:
    """A resourceVersion of a query; None where it is not given. Raises 400 for what is no number."""
    if not text:
        return None
    digits = text.isascii() and text.isdigit()
    if not digits or len(text) > 20 or int(text) >= 2**64:
        why = "value out of range" if digits else "invalid syntax"
        error = invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": {why}')
        raise bad_request(f"Invalid value for resourceVersion: {error}")
    return int(text)


async def read(
    store: Store, kind: Kind, namespace: str, wanted: Selection, options: ListOptions
) -> tuple[list[Entry], ListMeta]:
    """The objects of a page with the metadata of the list. Raises 410 for a revision too old, 504 for the future."""
    prefix = kind.list_prefix(namespace)
    revision, after = 0, ""
    if options.continue_:
        token = decode_token(options.continue_)
        revision, after = max(token.rv, 0), prefix + token.start.removesuffix("\0")
    elif options.revision:
        await reach(store, options.revision)
        revision = options.revision if options.exact else 0
    if wanted.name is not None and (namespace or not kind.resource.namespaced) and not revision:
        entry = await store.get(kind.key(namespace, wanted.name))
        found = [entry] if entry is not None and wanted.matches(entry.value) else []
        return found, ListMeta(resourceVersion=str(store.revision))
    entries: list[Entry] = []
    while True:
        try:
            page = await store.range(prefix, after=after, limit=options.limit, revision=revision)
        except Compacted:
            raise gone(options, after[len(prefix) :]) from None
        except Future as error:
            raise too_large_version(revision, error.current) from None
        revision = page.revision
        if wanted.everything:
            entries = page.entries
        else:
            for start in range(0, len(page.entries), MATCHED):
                some = page.entries[start : start + MATCHED]
                entries += [entry for entry in some if wanted.matches(entry.value)]
                await asyncio.sleep(0)
        if not page.remaining or len(entries) >= options.limit:
            break
        after = page.entries[-1].key
    metadata = ListMeta(resourceVersion=str(revision))
    left = page.remaining + max(0, len(entries) - options.limit) if options.limit else 0
    if options.limit and len(entries) > options.limit:
        entries = entries[: options.limit]
        left = max(left, 1)
    if left:
        last = entries[-1].key if len(entries) == options.limit else page.entries[-1].key
        metadata = ListMeta(
            resourceVersion=str(revision),
            continue_=encode_token(revision, last[len(prefix) :]),
            remainingItemCount=left if wanted.everything else None,
        )
    return entries, metadata


async def reach(store: Store, revision: int) -> None:
    """Waits until the store knows a revision: another server may have written it. Raises 504 where it does not come.

    Upstream: storage/cacher waitUntilFreshAndBlock.
    """
    end = time.monotonic() + FRESH_SECONDS
    while store.revision < revision:
        if time.monotonic() > end:
            raise too_large_version(revision, store.revision)
        await asyncio.sleep(0.02)


def too_large_version(revision: int, current: int) -> StatusError:
    """504: the revision asked for does not exist yet. Upstream: storage.NewTooLargeResourceVersionError."""
    cause = StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
    return failure(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details=StatusDetails(causes=(cause,), retryAfterSeconds=1),
    )
