"""Listening sockets: who is let in, and agrees upon TLS.

Clients count from the moment on that they are there. Who opens connections and says nothing, or goes on agreeing for as
long as he may, takes the place of nobody at another address.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from fairlead.apiserver.clients import Clients
from fairlead.apiserver.connections import Connection

log = logging.getLogger("fairlead.apiserver")

HANDSHAKE_SECONDS = 10.0
"""How long a client may take to agree upon TLS."""

BACKLOG = 512
"""Clients that may wait for being let in."""

RETRY_SECONDS = 0.2
"""After how long it is tried again where the system has no files or no memory for one more client."""


class Entrance:
    """A listening socket through which clients come to a server; without a context there is no TLS.

    They may come as soon as there is one, and are let in as long as it runs.
    """

    def __init__(self, clients: Clients, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._clients = clients
        self._sock = sock
        self._context = context
        self._agreeing: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        sock.listen(BACKLOG)

    async def run(self) -> None:
        """Lets clients in until it is cancelled; then the socket is closed, and who has not agreed yet is sent away."""
        try:
            with self._sock:
                await self._let_in()
        finally:
            for task in self._agreeing:
                task.cancel()

    async def _let_in(self) -> None:
        clients, loop = self._clients, self._clients.loop
        while True:
            try:
                client, peer = await loop.sock_accept(self._sock)
            except OSError as error:
                log.warning("cannot let a client in: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            address = peer[0] if isinstance(peer, tuple) else ""
            if not clients.admit(address):
                client.close()
                continue
            task = loop.create_task(self._agree(client, address))
            self._agreeing.add(task)
            task.add_done_callback(self._agreeing.discard)
            await asyncio.sleep(0)  # or a crowd at the door would keep all others waiting

    async def _agree(self, client: socket.socket, address: str) -> None:
        """Makes a connection of a client; one that does not get there is gone."""
        connection = Connection(self._clients, address)
        context = self._context
        seconds = HANDSHAKE_SECONDS if context is not None else None
        try:
            await self._clients.loop.connect_accepted_socket(
                lambda: connection, client, ssl=context, ssl_handshake_timeout=seconds
            )
        except OSError as error:
            log.debug("%s: %s", address, error)
        finally:
            if not connection.made:
                self._clients.leave(address)
