"""Requests answered: who asks, for what, with which verb, in which form."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fairlead.apiserver import answers, deletion, etags, lists, patching, watches, writes
from fairlead.apiserver.access.gate import Gate
from fairlead.apiserver.catalog import Catalog, Family
from fairlead.apiserver.connect import usage
from fairlead.apiserver.connect.passing import Passing, is_passed_on
from fairlead.apiserver.connections import Connection
from fairlead.apiserver.fairness import Seats
from fairlead.apiserver.feeds import Audience, Feeds, Watcher
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.messages import Request, Response
from fairlead.apiserver.metrics import Metrics, labels_of
from fairlead.apiserver.negotiation import Form, form, reads
from fairlead.apiserver.parts import PARTS, Answer, Answered
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.replies import NotAllowed, no_such_path, read_body, refusal, reply, send, warn
from fairlead.apiserver.requests import METHODS, OF_COLLECTIONS, OF_OBJECTS, Query, RequestInfo, request_info
from fairlead.apiserver.selection import Selection, only, selection
from fairlead.apiserver.writes import Result
from fairlead.objects.meta_v1 import ListMeta, Status, StatusDetails
from fairlead.objects.status import StatusError, bad_request, failure
from fairlead.store import Closed, Failed

log = logging.getLogger("fairlead.apiserver")

AT_ONCE = 100
"""Objects of a collection that are deleted at a time."""

WRITES = {"create": writes.create, "update": writes.update, "patch": patching.patch}
"""What is done for each verb that changes an object."""

HEALTH = ("/healthz", "/livez", "/readyz")

PlainPath = Callable[[RequestInfo, Query, Mapping[str, str]], etags.Answer | Awaitable[etags.Answer] | None]
"""Answers a path that is no resource, at once or later; None where it has no answer."""


class Handler:
    """The API over one registry."""

    def __init__(
        self,
        registry: Registry,
        catalog: Catalog,
        gate: Gate,
        plain_paths: Sequence[PlainPath],
        seats: Seats,
        metrics: Metrics,
        passing: Passing,
        used: usage.Metrics,
    ) -> None:
        self._registry = registry
        self._passing = passing
        self._usage = used
        self._catalog = catalog
        self._gate = gate
        self._plain_paths = plain_paths
        self._parts = {**PARTS, **gate.parts}
        self._seats = seats
        self._metrics = metrics
        self._frames = watches.Frames()
        self._turn = asyncio.Lock()
        """Who holds it may encode some of a long answer."""
        self._feeds = Feeds(registry.store, self._frames.frame, metrics.sent)
        self._stopping = False
        catalog.follow(self._changed)

    async def __call__(self, request: Request) -> Response:
        """Answers one request; whatever goes wrong becomes a Status."""
        began = time.perf_counter()
        path, _, text = request.target.partition("?")
        query = Query(text)
        info = request_info(request.method, path, query.flag("watch"))
        kind = self._catalog.find(info.group, info.version, info.resource) if info.resource else None
        try:
            user = await self._gate.admit(request.head, request.transport, info, query)
            if is_passed_on(kind, info):
                # Its answer may take for ever, and others wait for nothing of it.
                await self._registry.store.sync()
                response = await self._passing.answer(request, info, query, user)
            elif info.group == usage.GROUP and info.resource and kind is None:
                response = await self._usage.answer(request, info, query)
            else:
                response = await self._attended(request, kind, info, query, user.name)
            if kind is not None and kind.deprecation and not response.prepared:
                warn(response, kind.deprecation)
        except StatusError as error:
            response = refusal(error, request.headers.get("Accept", ""), pretty=self._pretty(request, query))
        except (Failed, Closed) as error:
            response = refusal(failure(500, "InternalError", f"Internal error occurred: {error}"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except RecursionError:
            response = refusal(bad_request("the request is nested too deeply: exceeded max depth"))
        except Exception as error:
            log.exception("%s %s", request.method, request.target)
            response = refusal(failure(500, "InternalError", f"Internal error occurred: {error}"))
        self._metrics.answered(labels_of(info, kind), response.status, time.perf_counter() - began)
        return response

    async def _attended(
        self, request: Request, kind: Kind | None, info: RequestInfo, query: Query, user: str
    ) -> Response:
        """Lets the request wait for its turn, once its body is there. Who asks for health does not wait."""
        if info.verb == "watch" or (kind is None and info.path.startswith(HEALTH)):
            return await self._answer(request, kind, info, query)
        if not request.complete:
            await read_body(request)
        try:
            await self._seats.take(user)
        except StatusError:
            self._metrics.rejected()
            raise
        self._metrics.began(info.method)
        try:
            return await self._answer(request, kind, info, query)
        finally:
            self._metrics.ended(info.method)
            self._seats.leave(user)

    def end_watches(self) -> None:
        """Ends all streams, now and to come: the server stops."""
        self._stopping = True
        self._feeds.close()

    def _changed(self, before: Family | None, _: Family | None) -> None:
        """Ends the watches of kinds that are served no more, or in another way: their readers come back."""
        self._feeds.drop(before.served if before is not None else ())

    async def _answer(self, request: Request, kind: Kind | None, info: RequestInfo, query: Query) -> Response:
        if not info.resource:
            return await self._plain(request, info, query)
        if kind is None or info.rest:
            raise no_such_path()
        if info.namespace and not kind.resource.namespaced and kind.plural != "namespaces":
            raise no_such_path()
        if query.text("resourceVersion") != "0" or info.method != "GET":
            # Another server may have written since: what is decided here is decided upon all that was acknowledged.
            await self._registry.store.sync()
        if info.subresource:
            return await self._part(request, kind, info, query)
        if not is_possible(kind, info):
            raise NotAllowed([METHODS[verb] for verb in possible(kind, info) if verb in METHODS])
        match info.verb:
            case "get" | "list":
                return await self._read(request, kind, info, query)
            case "watch":
                return await self._watch(request, kind, info, query)
            case "delete":
                return await self._delete(request, kind, info, query)
            case "deletecollection":
                return await self._delete_collection(request, kind, info, query)
        if not kind.kept:
            body = await read_body(request)
            answer = await self._parts[kind.plural](self._registry, kind, info, query, body)
            return self._done(request, kind, query, answer)
        return await self._write(request, kind, info, query)

    async def _plain(self, request: Request, info: RequestInfo, query: Query) -> Response:
        for answer in self._plain_paths:
            if (found := answer(info, query, request.headers)) is not None:
                status, media, body, headers = found if isinstance(found, tuple) else await found
                return await send(request, body, status, media, headers)
        raise no_such_path()

    def _form(self, request: Request, kind: Kind, query: Query) -> Form:
        forms, protobuf = request.head.forms, kind.model.protobuf
        if not query and (known := forms.get(protobuf)) is not None:
            return known
        accept = request.headers.get("Accept", "")
        found = form(accept, query.text("includeObject"), protobuf, pretty=self._pretty(request, query))
        if not query:
            forms[protobuf] = found
        return found

    @staticmethod
    def _pretty(request: Request, query: Query) -> bool:
        return reads(query.get("pretty"), request.headers.get("User-Agent", ""))

    async def _read(self, request: Request, kind: Kind, info: RequestInfo, query: Query) -> Response:
        how = self._form(request, kind, query)
        if info.verb == "get":
            await lists.reach(self._registry.store, lists.parse_version(query.text("resourceVersion")) or 0)
            entry = await self._registry.get(kind, info.namespace, info.name)
            return reply(answers.one(kind, entry.value, entry.revision, how), content_type=how.content_type)
        wanted = self._selection(kind, query)
        options = lists.list_options(query)
        entries, metadata = await lists.read(self._registry.store, kind, info.namespace, wanted, options)
        return await send(
            request,
            await answers.many(kind, entries, metadata, how, self._turn),
            content_type=how.content_type,
        )

    @staticmethod
    def _selection(kind: Kind, query: Query) -> Selection:
        return selection(kind, query.text("labelSelector"), query.text("fieldSelector"))

    async def _watch(self, request: Request, kind: Kind, info: RequestInfo, query: Query) -> Response:
        wanted = self._selection(kind, query)
        if info.name:
            wanted = only(wanted, info.name)
        how = self._form(request, kind, query)
        audience = Audience(info.namespace, wanted, how)
        options = watches.watch_options(query)
        stream = watches.Stream(
            self._registry.store, self._feeds, self._frames, audience, options, self._turn
        )
        connection = request.channel
        if self._stopping or not isinstance(connection, Connection):
            raise failure(503, "ServiceUnavailable", "the server is stopping")
        response = Response(
            200, [("Content-Type", watches.content_type(how)), ("Cache-Control", "no-cache, private")]
        )
        chunked = request.version != "1.0"
        write = connection.write_chunk if chunked else connection.write
        watcher = Watcher(write, lambda: connection.writing_paused, connection.transport.abort)
        if kind.deprecation:
            warn(response, kind.deprecation)
        with self._metrics.watch(labels_of(info, kind)), connection.draining(watcher.drain):
            async with contextlib.aclosing(stream.follow(watcher, connection.drained)) as chunks:
                # The stream says by its first chunk, an empty one, that it was accepted.
                async for chunk in chunks:
                    if not response.prepared:
                        connection.begin(request, response)
                        if request.method == "HEAD" or kind is not self._catalog.find(
                            info.group, info.version, info.resource
                        ):
                            break
                    if chunk:
                        write(chunk)
            if chunked and request.method != "HEAD":
                connection.write(b"0\r\n\r\n")
        return response

    async def _write(self, request: Request, kind: Kind, info: RequestInfo, query: Query) -> Response:
        how = self._form(request, kind, query)
        body = await read_body(request)
        result = await WRITES[info.verb](self._registry, kind, info, query, body)
        return self._written(kind, result, how)

    @staticmethod
    def _written(kind: Kind, result: Result, how: Form) -> Response:
        written = result.written
        body = answers.one(kind, written.value, written.revision, how)
        warnings = (*result.warnings, *written.warnings)
        return reply(body, 201 if written.made else 200, how.content_type, warnings)

    async def _part(self, request: Request, kind: Kind, info: RequestInfo, query: Query) -> Response:
        verbs = writes.subresource_verbs(kind, info.subresource)
        if verbs is None:
            raise no_such_path()
        if info.verb not in verbs:
            raise NotAllowed([METHODS[verb] for verb in verbs])
        part = self._parts.get(info.subresource)
        if part is not None:
            body = await read_body(request)
            return self._done(request, kind, query, await part(self._registry, kind, info, query, body))
        if info.verb == "get":
            return await self._read(request, kind, info, query)
        return await self._write(request, kind, info, query)

    def _done(self, request: Request, kind: Kind, query: Query, answer: Answer) -> Response:
        if isinstance(answer, Status):
            how = self._form(request, kind, query)
            return reply(answers.status(answer, how), answer.code, how.content_type)
        if isinstance(answer, Answered):
            how = self._form(request, kind, query)
            return reply(answers.status(answer.obj, how), 201, how.content_type, answer.warnings)
        shown, result = answer
        return self._written(shown, result, self._form(request, shown, query))

    async def _delete(self, request: Request, kind: Kind, info: RequestInfo, query: Query) -> Response:
        how = self._form(request, kind, query)
        options = writes.delete_options(query, await read_body(request))
        writes.check_delete_options(options)
        dry_run = writes.dry_run(query, options.dryRun, "DeleteOptions")
        written, gone = await deletion.delete(
            self._registry, kind, info.namespace, info.name, options, dry_run=dry_run
        )
        if not gone or kind.returns_deleted:
            status = 202 if not gone and options.orphanDependents is False else 200
            return reply(answers.one(kind, written.value, written.revision, how), status, how.content_type)
        metadata = answers.partial(written.value, written.revision).metadata
        details = StatusDetails(
            name=metadata.name, group=kind.resource.group, kind=kind.plural, uid=metadata.uid
        )
        deleted = Status(status="Success", details=details)
        return reply(answers.status(deleted, how), content_type=how.content_type)

    async def _delete_collection(
        self, request: Request, kind: Kind, info: RequestInfo, query: Query
    ) -> Response:
        how = self._form(request, kind, query)
        wanted = self._selection(kind, query)
        options = writes.delete_options(query, await read_body(request))
        writes.check_delete_options(options)
        dry_run = writes.dry_run(query, options.dryRun, "DeleteOptions")
        entries, metadata = await lists.read(
            self._registry.store, kind, info.namespace, wanted, lists.list_options(query)
        )
        for start in range(0, len(entries), AT_ONCE):
            keys = [entry.key[len(kind.prefix) :].split("/") for entry in entries[start : start + AT_ONCE]]
            results = await asyncio.gather(
                *(
                    deletion.delete(
                        self._registry, kind, key[0] if key[1:] else "", key[-1], options, dry_run=dry_run
                    )
                    for key in keys
                ),
                return_exceptions=True,
            )
            for result in results:
                if isinstance(result, BaseException) and not (
                    isinstance(result, StatusError) and result.code == 404
                ):
                    raise result
        metadata = ListMeta(resourceVersion=str(self._registry.store.revision))
        return await send(
            request,
            await answers.many(kind, entries, metadata, how, self._turn),
            content_type=how.content_type,
        )


def possible(kind: Kind, info: RequestInfo) -> list[str]:
    """What can be done at a path of the kind."""
    return [verb for verb in (*_verbs(kind, info), "watch") if verb in kind.verbs]


def is_possible(kind: Kind, info: RequestInfo) -> bool:
    """Whether what is asked is among that."""
    return info.verb in kind.verbs and (info.verb == "watch" or info.verb in _verbs(kind, info))


def _verbs(kind: Kind, info: RequestInfo) -> tuple[str, ...]:
    """Those of objects or of collections; of all namespaces together there is only the list."""
    if kind.resource.namespaced and not info.namespace:
        return ("list",)
    return OF_OBJECTS if info.name else OF_COLLECTIONS
