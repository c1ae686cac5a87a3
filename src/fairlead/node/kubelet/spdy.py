"""SPDY/3.1 frames, without I/O: bytes in, events out, and the other way round.

Only what clients of Kubernetes use: streams that the client opens, data, resets, pings. There is no flow control by
windows, which their library has not either: who reads less lets the connection wait. What an unfinished frame makes us
keep is bounded; data is given on as it comes.

Source: the draft draft-mbelshe-httpbis-spdy-00, §2; the version 3.1 differs from 3 by the windows alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

VERSION = 3

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS = 1, 2, 3, 4
PING, GOAWAY, HEADERS, WINDOW_UPDATE = 6, 7, 8, 9

FIN = 1
"""The flag of a stream's last frame in its direction."""

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM = 1, 2, 3
"""Why a stream is reset (§2.6.3)."""

LONGEST_CONTROL = 64 << 10
"""Bytes of a control frame, and of the headers that are packed in it."""

LONGEST_DATA = 32 << 10
"""Bytes of data that are sent in one frame."""

MOST_STREAMS = 4096
"""Streams open at a time; more are refused."""

NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin
"""

VALUES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """What both sides' compressors begin with (§2.6.10.1): names with their lengths, then values."""
    words = [word.replace("_", " ").encode() for word in NAMES.split()]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + VALUES.encode()


DICTIONARY = _dictionary()


class ProtocolError(ValueError):
    """What came in is no SPDY/3; nothing after it can be read."""


@dataclass(frozen=True)
class Opened:
    """The other side has opened a stream; `fin` if it will send nothing on it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True)
class Replied:
    """The other side has accepted a stream of ours."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True)
class Received:
    """Some data of a stream; `fin` with the last."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True)
class Reset:
    """A stream was ended by the other side."""

    stream: int
    status: int


@dataclass(frozen=True)
class GoneAway:
    """The other side opens and takes no more streams."""


Event = Opened | Replied | Received | Reset | GoneAway


@dataclass
class _Stream:
    """Which directions are open."""

    ours: bool = True
    theirs: bool = True


@dataclass
class Connection:
    """One end of a connection. `receive` what has come, then send what `take` gives."""

    server: bool = True
    most_streams: int = MOST_STREAMS
    _streams: dict[int, _Stream] = field(default_factory=dict)
    _last: int = 0
    """The last stream that the other side has opened."""
    _next: int = 0
    """The last that we have."""
    _received: bytearray = field(default_factory=bytearray)
    _data: tuple[int, int, bool] | None = None
    """Of a data frame under way: its stream, the bytes that are missing, whether it is the last."""
    _out: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._packer = zlib.compressobj(zdict=DICTIONARY)
        self._unpacker = zlib.decompressobj(zdict=DICTIONARY)

    # What is sent.

    def open(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        """Opens a stream; gives its number."""
        self._next = self._next + 2 if self._next else 2 if self.server else 1
        stream = self._next
        self._streams[stream] = _Stream(ours=not fin)
        body = struct.pack(">IIBB", stream, 0, 0, 0) + self._pack(headers)
        self._control(SYN_STREAM, FIN if fin else 0, body)
        return stream

    def reply(self, stream: int) -> None:
        """Accepts a stream."""
        self._control(SYN_REPLY, 0, struct.pack(">I", stream) + self._pack({}))

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Sends data of a stream, `fin` with the last. Nothing happens where the stream is closed."""
        state = self._streams.get(stream)
        if state is None or not state.ours:
            return
        pieces = [data[start : start + LONGEST_DATA] for start in range(0, len(data), LONGEST_DATA)]
        for number, piece in enumerate(pieces or [b""], 1):
            last = fin and number >= len(pieces)
            if piece or last:
                self._out += [struct.pack(">II", stream, (FIN if last else 0) << 24 | len(piece)), piece]
        if fin:
            state.ours = False
            self._forget(stream)

    def reset(self, stream: int, status: int) -> None:
        """Ends a stream in both directions."""
        self._streams.pop(stream, None)
        self._control(RST_STREAM, 0, struct.pack(">II", stream, status))

    def go_away(self) -> None:
        """Says that no more streams are opened or taken."""
        self._control(GOAWAY, 0, struct.pack(">II", self._last, 0))

    def take(self) -> bytes:
        """What is to be sent now."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _control(self, kind: int, flags: int, body: bytes) -> None:
        self._out += [struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)), body]

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        texts: list[bytes] = []
        for name, value in headers.items():
            texts += [name.lower().encode(), value.encode()]
        body = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(t)) + t for t in texts)
        return self._packer.compress(body) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    # What is received.

    def receive(self, data: bytes) -> list[Event]:
        """What bytes from the other side say, in one pass over them. Raises ProtocolError."""
        self._received += data
        view = memoryview(bytes(self._received))
        events: list[Event] = []
        at = 0
        while True:
            if self._data is not None:
                stream, missing, fin = self._data
                piece = bytes(view[at : at + missing])
                at += len(piece)
                missing -= len(piece)
                self._data = (stream, missing, fin) if missing else None
                if piece or not missing:
                    events += self._arrived(stream, piece, fin=fin and not missing)
                if missing:
                    break
                continue
            if len(view) - at < 8:
                break
            first, second = struct.unpack_from(">II", view, at)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first & 0x80000000:
                self._data = (first, length, bool(flags & FIN))
                at += 8
                continue
            if length > LONGEST_CONTROL:
                raise ProtocolError(f"a control frame of {length} bytes, of {LONGEST_CONTROL} at most")
            if len(view) - at - 8 < length:
                break
            if first >> 16 & 0x7FFF != VERSION:
                raise ProtocolError(f"a frame of version {first >> 16 & 0x7FFF}, not {VERSION}")
            body = bytes(view[at + 8 : at + 8 + length])
            at += 8 + length
            try:
                events += self._told(first & 0xFFFF, flags, body)
            except struct.error:
                raise ProtocolError(f"a control frame of kind {first & 0xFFFF} is too short") from None
        del self._received[:at]
        return events

    def _arrived(self, stream: int, piece: bytes, *, fin: bool) -> Iterable[Event]:
        state = self._streams.get(stream)
        if state is None or not state.theirs:
            return  # a stream that was reset: what was on its way is not wanted
        if fin:
            state.theirs = False
            self._forget(stream)
        if piece or fin:
            yield Received(stream, piece, fin)

    def _told(self, kind: int, flags: int, body: bytes) -> Iterable[Event]:
        fin = bool(flags & FIN)
        match kind:
            case 1:  # SYN_STREAM
                number = struct.unpack_from(">IIBB", body)[0] & 0x7FFFFFFF
                yield from self._opened(number, self._unpack(body[10:]), fin=fin)
            case 2:  # SYN_REPLY
                number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
                headers = self._unpack(body[4:])
                if (state := self._streams.get(number)) is not None:
                    state.theirs = state.theirs and not fin
                    self._forget(number)
                    yield Replied(number, headers, fin)
            case 3:  # RST_STREAM
                number, status = struct.unpack_from(">II", body)
                if self._streams.pop(number & 0x7FFFFFFF, None) is not None:
                    yield Reset(number & 0x7FFFFFFF, status)
            case 6:  # PING
                number = struct.unpack_from(">I", body)[0]
                if number % 2 == self.server:  # one of the other side's: it is sent back
                    self._control(PING, 0, struct.pack(">I", number))
            case 7:  # GOAWAY
                yield GoneAway()
            case 8:  # HEADERS: nobody sends them here, but they move the compressor on
                number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
                self._unpack(body[4:])
                if fin:
                    yield from self._arrived(number, b"", fin=True)
            case _:  # SETTINGS, WINDOW_UPDATE and what is unknown: nothing depends on them
                pass

    def _opened(self, number: int, headers: Mapping[str, str], *, fin: bool) -> Iterable[Event]:
        if number == 0 or number % 2 != self.server or number <= self._last:
            self.reset(number, PROTOCOL_ERROR)
            return
        self._last = number
        if len(self._streams) >= self.most_streams:
            self.reset(number, REFUSED_STREAM)
            return
        self._streams[number] = _Stream(theirs=not fin)
        yield Opened(number, headers, fin)

    def _unpack(self, packed: bytes) -> dict[str, str]:
        try:
            body = self._unpacker.decompress(packed, LONGEST_CONTROL)
        except zlib.error as error:
            raise ProtocolError(f"headers cannot be unpacked: {error}") from None
        if self._unpacker.unconsumed_tail:
            raise ProtocolError(f"headers of more than {LONGEST_CONTROL} bytes")
        texts: list[str] = []
        (count,) = struct.unpack_from(">I", body)
        at = 4
        while len(texts) < 2 * count:
            (length,) = struct.unpack_from(">I", body, at)
            if at + 4 + length > len(body):
                raise ProtocolError("a header is longer than its frame")
            texts.append(body[at + 4 : at + 4 + length].decode("utf-8", "replace"))
            at += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def _forget(self, stream: int) -> None:
        state = self._streams.get(stream)
        if state is not None and not state.ours and not state.theirs:
            del self._streams[stream]
