"""Calls to an etcd cluster: gRPC to one member at a time, another one when that fails.

Why grpcio and not etcd's JSON gateway over aiohttp: measured on two cores shared with other work, transactions of one
600-byte value from 64 tasks, both ends on the machine: 8,700 to 9,300 a second and 70 us of our CPU each over
grpc.aio, 2,800 to 4,000 a second and 100 us over the gateway, which also has etcd do every call twice. The gateway can
be switched off, ignores a client certificate's name, and needs a serving certificate that is a client's too. grpcio
starts threads when it is imported, so it is imported here and not before a server opens its store: the lab's supervisor
forks long before.

What a failed call means depends on what it asked: a read is asked again of another member, a write may have been made
(`Broken`), and who made it has to find out (`writes.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from typing import Any

from fairlead.store.etcd.address import Address
from fairlead.store.interface import Failed

log = logging.getLogger("fairlead.store")

CALL_SECONDS = 3.0
"""How long a member may take for one call before another one is asked: an election takes one to two."""

RETRY_SECONDS = 0.05, 1.0
"""The first and the longest pause before the next member is asked."""

OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # etcd closes the connection of a client that pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
]


class Broken(Exception):
    """A call was cut off or not answered in time: what it asked for may have been done, or may still be."""


class NoSpace(Failed):
    """The database is full. etcd makes the transaction that fills it, and says this all the same."""


class Gone(Exception):
    """The revision asked for is compacted away."""


class Client:
    """The members of one cluster."""

    def __init__(self, address: Address) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what is wrong is in the errors
        import grpc.aio

        self._grpc = grpc
        self._address = address
        self._credentials = self._read_credentials()
        self._channels: list[Any] = [self._channel(endpoint) for endpoint in address.endpoints]
        self._current = 0
        self._calls: dict[tuple[int, str], Any] = {}

    def _read_credentials(self) -> Any:
        if not self._address.secure:
            return None
        files = (self._address.cafile, self._address.keyfile, self._address.certfile)
        try:
            ca, key, certificate = (path.read_bytes() if path is not None else None for path in files)
        except OSError as error:
            raise Failed(
                f"cannot read {error.filename} for the connection to etcd: {error.strerror}"
            ) from error
        return self._grpc.ssl_channel_credentials(ca, key, certificate)

    def _channel(self, endpoint: str) -> Any:
        if self._credentials is None:
            return self._grpc.aio.insecure_channel(endpoint, OPTIONS)
        return self._grpc.aio.secure_channel(endpoint, self._credentials, OPTIONS)

    @property
    def endpoint(self) -> str:
        """The member that is asked at present."""
        return self._address.endpoints[self._current]

    def turn(self, failed: str) -> None:
        """Asks the next member from now on, unless another one is asked already."""
        if failed == self.endpoint and len(self._channels) > 1:
            self._current = (self._current + 1) % len(self._channels)
            log.warning("etcd member %s does not answer, asking %s", failed, self.endpoint)

    async def call(self, method: str, request: bytes, seconds: float = CALL_SECONDS) -> bytes:
        """One call to one member. Raises Broken, Gone or Failed (it was refused: nothing was done)."""
        at, endpoint = self._current, self.endpoint
        call = self._calls.get((at, method))
        if call is None:
            call = self._channels[at].unary_unary(method, request_serializer=None, response_deserializer=None)
            self._calls[at, method] = call
        try:
            answer: bytes = await call(request, timeout=seconds)
        except self._grpc.aio.AioRpcError as error:
            raise self.meaning(error, endpoint) from None
        return answer

    async def ask(self, method: str, request: bytes, seconds: float) -> bytes:
        """A call that may be made twice, to one member after the other until one answers. Raises Gone or Failed."""
        end = time.monotonic() + seconds
        pause = RETRY_SECONDS[0]
        while True:
            try:
                left = max(end - time.monotonic(), 0.1)
                return await self.call(method, request, min(left, CALL_SECONDS))
            except Broken as error:
                if time.monotonic() + pause > end:
                    raise Failed(str(error)) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    async def stream(self, method: str, request: bytes) -> AsyncGenerator[bytes, None]:
        """The answers to one request, as long as the member has a leader. Raises Broken, Gone or Failed."""
        endpoint = self.endpoint
        call = self._channels[self._current].stream_stream(
            method, request_serializer=None, response_deserializer=None
        )(metadata=(("hasleader", "true"),))
        try:
            await call.write(request)
            while (answer := await call.read()) is not self._grpc.aio.EOF:
                yield answer
            raise Broken(f"etcd member {endpoint} ended the stream")
        except self._grpc.aio.AioRpcError as error:
            raise self.meaning(error, endpoint) from None
        except asyncio.InvalidStateError:
            raise Broken(f"the stream from etcd member {endpoint} broke") from None
        finally:
            call.cancel()

    def meaning(self, error: Any, endpoint: str) -> Exception:
        """The exception that stands for a status of gRPC; a member that cannot serve is left for the next one."""
        code, said = error.code(), error.details() or ""
        codes = self._grpc.StatusCode
        if code is codes.OUT_OF_RANGE:
            return Gone(said)
        if code is codes.RESOURCE_EXHAUSTED and "space exceeded" in said:
            return NoSpace(
                f"etcd at {endpoint} has reached its space quota ({said}): compact and defragment it, "
                "then disarm its alarm (etcdctl alarm disarm)"
            )
        if code is codes.INVALID_ARGUMENT and "too many operations" in said:
            return Failed(
                f"etcd at {endpoint} takes no transaction that large ({said}): raise its --max-txn-ops"
            )
        if code is codes.INVALID_ARGUMENT and "too large" in said:
            return Failed(
                f"etcd at {endpoint} takes no value that large ({said}): raise its --max-request-bytes"
            )
        refused = (
            codes.INVALID_ARGUMENT,
            codes.RESOURCE_EXHAUSTED,
            codes.PERMISSION_DENIED,
            codes.UNAUTHENTICATED,
            codes.FAILED_PRECONDITION,
            codes.NOT_FOUND,
            codes.UNIMPLEMENTED,
        )
        if code in refused:
            return Failed(f"etcd at {endpoint} refused: {said}")
        self.turn(endpoint)
        return Broken(f"etcd at {endpoint} does not answer: {said or code.name}")

    async def close(self) -> None:
        """Ends all calls."""
        for channel in self._channels:
            await channel.close()
