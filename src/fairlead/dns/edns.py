"""DNS cookies (RFC 7873): given to every client that sends one, asked of nobody."""

from __future__ import annotations

import os
from hashlib import blake2b

from fairlead.dns.wire import SERVER_COOKIE

CLIENT_COOKIE = 8


class Cookies:
    """Server cookies by a secret; processes that share a port share the secret."""

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret or os.urandom(32)

    def answer(self, cookie: bytes, client: str) -> bytes:
        """What follows the option's header in an answer: the client's cookie, then the server's for that address."""
        mine = cookie[:CLIENT_COOKIE]
        return mine + blake2b(mine + client.encode(), digest_size=SERVER_COOKIE, key=self._secret).digest()
