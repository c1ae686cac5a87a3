"""The streams of a command, as clients of exec and attach speak them: which protocol, which stream is which. Pure.

Upstream: kubelet/pkg/cri/streaming/remotecommand, apimachinery/pkg/util/remotecommand, KEP-4006 for v5.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairlead.node.kubelet.http import Refused, Request
from fairlead.objects.codec import encode
from fairlead.objects.meta_v1 import Status, StatusCause, StatusDetails

SPDY = "spdy/3.1"
WEBSOCKET = "websocket"

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SPDY_PROTOCOLS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""Over SPDY, the best first; `channel.k8s.io` is also what is meant by none."""

WEBSOCKET_PROTOCOLS = (V5, V4, "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")
"""Over WebSocket; none means `channel.k8s.io`."""

CHANNELS = ("stdin", "stdout", "stderr", "error", "resize")
"""The streams by the first byte of their WebSocket messages."""

CLOSE = 255
"""The first byte of a message that ends the stream which its second byte names (v5)."""

LONGEST_SIZE = 4096
"""Bytes of a terminal's size that may come without being one."""

Output = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Wanted:
    """Which streams the client has opened, or will open."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the client reads."""
        given: tuple[tuple[Output, bool], ...] = (("stdout", self.stdout), ("stderr", self.stderr))
        return tuple(name for name, asked in given if asked)


def wanted(request: Request) -> Wanted:
    """What the query of exec or attach asks for; a terminal has no standard error of its own. Raises Refused."""
    tty = request.text("tty") == "1"
    found = Wanted(
        stdin=request.text("input") == "1",
        stdout=request.text("output") == "1",
        stderr=request.text("error") == "1" and not tty,
        tty=tty,
    )
    if not (found.stdin or found.stdout or found.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return found


def negotiate(asked: Sequence[str], known: Sequence[str]) -> str:
    """The first protocol asked for that is known; "" where none was asked for. Raises Refused for no common one.

    Upstream: httpstream.Handshake, and the order of the client's wishes is what counts.
    """
    if not asked:
        return ""
    for protocol in asked:
        if protocol in known:
            return protocol
    names = ", ".join(asked)
    said = f"unable to upgrade: unable to negotiate protocol: client supports [{names}], server accepts {list(known)}"
    raise Refused(403, said, {"X-Accepted-Stream-Protocol-Versions": ", ".join(known)})


def spdy_streams(asked: Wanted, protocol: str) -> frozenset[str]:
    """The streams that a client opens: sizes of terminals only from v3 on."""
    streams = {"error", *asked.outputs}
    if asked.stdin:
        streams.add("stdin")
    if asked.tty and protocol in (V4, "v3.channel.k8s.io"):
        streams.add("resize")
    return frozenset(streams)


def outcome(status: Status, protocol: str) -> bytes:
    """What is written to the error stream: from v4 on the Status, before that words, and nothing for success."""
    if protocol in (V5, V4, "v4.base64.channel.k8s.io"):
        return encode(status)
    return b"" if status.status == "Success" else status.message.encode()


def succeeded() -> Status:
    """The command has ended well."""
    return Status(status="Success")


def exited(code: int) -> Status:
    """The command has ended with an exit status other than 0."""
    if code == 0:
        return succeeded()
    cause = StatusCause(reason="ExitCode", message=str(code))
    return Status(
        status="Failure",
        message=f"command terminated with non-zero exit code: exit status {code}",
        reason="NonZeroExitCode",
        details=StatusDetails(causes=(cause,)),
    )


def failed(why: str) -> Status:
    """The command could not be run."""
    return Status(
        status="Failure",
        message=f"Internal error occurred: error executing command in container: {why}",
        reason="InternalError",
        details=StatusDetails(causes=(StatusCause(message=f"error executing command in container: {why}"),)),
        code=500,
    )


class Sizes:
    """Reads a terminal's sizes out of a stream of JSON objects, which may come in any pieces."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> tuple[int, int] | None:
        """The last size in what has come: columns, rows. None for none; what is no size is passed over."""
        self._text += data.decode("utf-8", "replace")
        found = None
        decoder = json.JSONDecoder()
        while text := self._text.lstrip():
            try:
                value, end = decoder.raw_decode(text)
            except ValueError:
                break
            self._text = text[end:]
            match value:
                case {"Width": int(columns), "Height": int(rows)} if is_size(columns) and is_size(rows):
                    found = (columns, rows)
        if len(self._text) > LONGEST_SIZE:
            self._text = ""
        return found


def is_size(value: int) -> bool:
    """Whether a terminal may have so many columns or rows."""
    return 0 < value < 1 << 16


@dataclass(frozen=True)
class Channels:
    """Streams in WebSocket messages, each with its number in front, as bytes or in base64 after a digit."""

    protocol: str

    @property
    def in_base64(self) -> bool:
        """Whether messages are text."""
        return "base64" in self.protocol

    def pack(self, stream: str, data: bytes) -> bytes | str:
        """The message with some data of a stream."""
        number = CHANNELS.index(stream)
        if self.in_base64:
            return f"{number}{base64.b64encode(data).decode()}"
        return bytes((number,)) + data

    def unpack(self, message: bytes) -> tuple[str, bytes | None] | None:
        """The stream of a message with its data, None at the stream's end; None for a message that says nothing."""
        if not message:
            return None
        number, data = message[0], message[1:]
        if number == CLOSE and self.protocol == V5:
            return (CHANNELS[data[0]], None) if data and data[0] < len(CHANNELS) else None
        if self.in_base64:
            number -= ord("0")
            try:
                data = base64.b64decode(data)
            except binascii.Error:
                return None
        return (CHANNELS[number], data) if 0 <= number < len(CHANNELS) else None
