"""Two connections made one: whatever comes on one goes out on the other, and neither is read faster than the other."""

from __future__ import annotations

import asyncio
from typing import cast

from fairlead.apiserver.connect.backends import Backend
from fairlead.apiserver.messages import Channel


class End(asyncio.Protocol):
    """One end. What comes is written to the other's transport."""

    def __init__(self, transport: asyncio.Transport, ended: asyncio.Future[None]) -> None:
        self.transport = transport
        self.other = cast("End", None)
        self.owner: Channel | Backend | None = None
        """Whoever had the connection before, and has to be told of its end."""
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        """Passes it on."""
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Whoever is at this end reads slowly: the other is not read until that is better."""
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has read on."""
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """The end closes; the connection does so, too."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The other end is closed once all is sent."""
        if not self._ended.done():
            self._ended.set_result(None)
        self.other.transport.close()
        if self.owner is not None:
            self.owner.connection_lost(exc)


async def join(client: Channel, backend: Backend) -> None:
    """Passes on whatever comes, until one side closes. The backend's answer so far goes first.

    What is cancelled with the client's connection is this.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    near, far = End(client.transport, ended), End(backend.transport, ended)
    near.other, far.other, near.owner, far.owner = far, near, client, backend
    near.transport.write(backend.head.result() + backend.take())
    backend.transport.set_protocol(far)
    backend.transport.resume_reading()
    early = client.hand_over(near)
    if early:
        far.transport.write(early)
    if not backend.transport.is_closing():
        await ended
    near.transport.close()
