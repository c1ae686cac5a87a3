"""DNS cookies (RFC 7873): given to every client that sends one, asked of nobody."""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import blake2b

from fairlead.dns.wire import SERVER_COOKIE

CLIENT_COOKIE = 8
REMEMBERED = 4_096
"""Cookies whose answers are remembered."""


class Cookies:
    """Server cookies by a secret; processes that share a port share the secret."""

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret or os.urandom(32)
        # A client sends the same one again and again (RFC 7873 §5.1); its answer costs a lookup then.
        self._answer = lru_cache(maxsize=REMEMBERED)(self._made)

    def answer(self, cookie: bytes, client: str) -> bytes:
        """What follows the option's header in an answer: the client's cookie, then the server's for that address."""
        return self._answer(cookie[:CLIENT_COOKIE], client)

    def _made(self, mine: bytes, client: str) -> bytes:
        return mine + blake2b(mine + client.encode(), digest_size=SERVER_COOKIE, key=self._secret).digest()
