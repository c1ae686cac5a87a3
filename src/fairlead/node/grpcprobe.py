"""The gRPC health check, `grpc.health.v1.Health/Check`, over plain HTTP/2. Upstream: pkg/probe/grpc.

Of gRPC it needs one call with one small message each way, so HTTP/2 is enough: a gRPC library brings threads, which
the agent, a process that forks, must not have.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from fairlead.node.httpprobe import dial, join

STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
UNIMPLEMENTED, DEADLINE_EXCEEDED = 12, 4
LONGEST_ANSWER = 64 * 1024
"""Bytes; a health check's answer has two."""


@dataclass
class _Answer:
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False


async def check(host: str, port: int, service: str, timeout: float) -> str:
    """Asks for the health of a service (empty: of the server): an empty text if it serves, or what is wrong."""
    address = join(host, port)
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    try:
        async with asyncio.timeout_at(end):
            reader, writer = await dial(host, port)
    except TimeoutError:
        return f'timeout: failed to connect service "{address}" within {timeout:g}s'
    except OSError as error:
        return f'error: failed to connect service at "{address}": {error}'
    try:
        async with asyncio.timeout_at(end):
            return verdict(await _call(reader, writer, address, service, timeout), timeout)
    except TimeoutError:
        return f"timeout: health rpc did not complete within {timeout:g}s"
    except (OSError, ValueError, h2.exceptions.ProtocolError) as error:
        return f"error: health rpc probe failed: {error or 'the connection was closed'}"
    finally:
        writer.transport.abort()


def request(service: str) -> bytes:
    """The message HealthCheckRequest{service: 1} with gRPC's prefix of 5 bytes."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def verdict(answer: _Answer, timeout: float) -> str:
    """What the kubelet would say of an answer; nothing if the service serves."""
    headers = answer.headers
    if headers.get(":status", "200") != "200" and "grpc-status" not in headers:
        return f"error: health rpc probe failed: unexpected HTTP status code {headers[':status']}"
    code = headers.get("grpc-status", "2")
    message = unquote(headers.get("grpc-message", ""))
    if code == str(UNIMPLEMENTED):
        return (
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
            + message
        )
    if code == str(DEADLINE_EXCEEDED):
        return f"timeout: health rpc did not complete within {timeout:g}s"
    if code != "0":
        return f"error: health rpc probe failed: {message or f'code {code}'}"
    status = _status(answer.data)
    return "" if status == 1 else f'service unhealthy (responded with "{STATUS.get(status, str(status))}")'


def _status(data: bytes) -> int:
    """HealthCheckResponse.status, field 1, of a message with its prefix; 0 where it is left out (UNKNOWN)."""
    message = data[5 : 5 + int.from_bytes(data[1:5], "big")]
    if message[:1] == b"\x08" and len(message) > 1:
        return message[1]
    return 0


async def _call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, service: str, timeout: float
) -> _Answer:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    )
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.36"),
        ("te", "trailers"),
        ("grpc-timeout", f"{int(timeout * 1000)}m"),
    ]
    connection.send_headers(stream, headers)
    connection.send_data(stream, request(service), end_stream=True)
    answer = _Answer()
    while not answer.ended:
        writer.write(connection.data_to_send())
        data = await reader.read(65536)
        if not data:
            raise OSError("error reading server preface: EOF" if not answer.headers else "unexpected EOF")
        for event in connection.receive_data(data):
            _take(connection, event, answer)
    return answer


def _take(connection: h2.connection.H2Connection, event: h2.events.Event, answer: _Answer) -> None:
    if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
        answer.headers.update((str(name), str(value)) for name, value in event.headers)
    elif isinstance(event, h2.events.DataReceived):
        answer.data += event.data
        if len(answer.data) > LONGEST_ANSWER:
            raise OSError("the answer is too long")
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, h2.events.StreamEnded):
        answer.ended = True
    elif isinstance(event, h2.events.StreamReset):
        raise OSError(f"stream terminated by RST_STREAM with error code: {event.error_code}")
    elif isinstance(event, h2.events.ConnectionTerminated):
        raise OSError("the transport is closing")


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)
