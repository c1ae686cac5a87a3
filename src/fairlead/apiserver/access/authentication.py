"""Who sends a request: by a client certificate, by a bearer token, or nobody that is known.

Upstream: pkg/kubeapiserver/authenticator/config.go, apiserver/pkg/authentication/request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fairlead.apiserver.access.accounttokens import AccountTokens, Rejected
from fairlead.apiserver.access.clientcertificates import ClientCertificates
from fairlead.apiserver.access.users import ANONYMOUS, User, authenticated
from fairlead.objects.status import unauthorized

Header = tuple[bytes, bytes]

MOST_SENDERS = 1000
"""Authorization headers that are remembered: one a token, unless somebody writes them in many ways."""


class Tokens:
    """The bearer tokens that are known from a file. They are compared by digest, so that time tells nothing of them."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = {digest(token): user for token, user in users.items()}
        self._lengths = {len(token) for token in users}
        self._senders: dict[bytes, User] = {}

    @classmethod
    def read(cls, *paths: Path) -> Tokens:
        """Reads files of `token,user,uid,"group1,group2"` lines, the groups optional (upstream: --token-auth-file).

        Raises ValueError with the line that is wrong.
        """
        users: dict[str, User] = {}
        for path in paths:
            for number, row in enumerate(csv.reader(io.StringIO(path.read_text())), 1):
                if not row:
                    continue
                if len(row) < 3 or not row[0] or not row[1]:
                    raise ValueError(f'{path}, line {number}: expected token,user,uid,"group1,group2"')
                given = row[3].split(",") if len(row) > 3 and row[3] else ()
                groups = tuple(group.strip() for group in given)
                users[row[0]] = authenticated(User(row[1], row[2], groups))
        return cls(users)

    def user(self, token: str) -> User | None:
        """Whose token it is."""
        return self._users.get(digest(token)) if len(token) in self._lengths else None

    def sender(self, authorization: bytes) -> User | None:
        """Whose token an Authorization header has; those that were good are remembered."""
        user = self._senders.get(authorization)
        if user is None and (user := self.user(bearer(authorization))) is not None:
            if len(self._senders) >= MOST_SENDERS:
                self._senders.clear()
            self._senders[authorization] = user
        return user


def digest(token: str) -> bytes:
    """What is compared instead of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Authenticator:
    """All ways to be known."""

    def __init__(
        self,
        tokens: Tokens,
        accounts: AccountTokens | None = None,
        certificates: ClientCertificates | None = None,
        *,
        anonymous: bool = True,
    ) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._certificates = certificates
        self._anonymous = anonymous

    async def user(self, authorization: bytes, transport: asyncio.BaseTransport | None) -> User:
        """Who sends a request. Raises 401 for wrong credentials, and for none where anonymous requests are not taken.

        A certificate counts before a token; either that is good is enough. About 2 us for a token that is remembered.
        """
        wrong = False
        if self._certificates is not None and transport is not None:
            try:
                user = self._certificates.user(transport)
            except ValueError:
                wrong = True
            else:
                if user is not None:
                    return user
        if authorization and (user := self._tokens.sender(authorization)) is not None:
            return user
        if authorization and (token := bearer(authorization)):
            try:
                found = await self.known(token)
            except Rejected:
                raise unauthorized() from None
            if found is None:
                raise unauthorized()
            return found[0]
        if wrong or not self._anonymous:
            raise unauthorized()
        return ANONYMOUS

    async def known(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """Whose token it is, and for which of the audiences; None where nobody knows it. Raises Rejected.

        The audiences asked for are the API's own by default, and those are also the ones of tokens from the file.
        """
        if (user := self._tokens.user(token)) is not None:
            own = self._accounts.audiences if self._accounts is not None else ()
            shared = tuple(one for one in own if one in audiences) if audiences else own
            return (user, shared) if shared or not audiences else None
        return await self._accounts.user(token, audiences) if self._accounts is not None else None


def credentials(headers: Iterable[Header]) -> tuple[bytes, list[Header]]:
    """The first Authorization header, and those of impersonation with their names in small letters. 0.1 us a header."""
    authorization = protocols = b""
    others: list[Header] = []
    for name, value in headers:
        if len(name) > 12:
            small = name.lower()
            if small == b"authorization":
                authorization = authorization or value
            elif small.startswith(b"impersonate-"):
                others.append((small, value))
            elif small == b"sec-websocket-protocol":
                protocols += b"," + value
    return authorization or websocket_token(protocols), others


WEBSOCKET_TOKEN = b"base64url.bearer.authorization.k8s.io."
"""What the protocol of a WebSocket begins with that is a token: browsers cannot send headers of their own."""


def websocket_token(protocols: bytes) -> bytes:
    """The Authorization header that is meant by the protocols of a WebSocket, b"" for none.

    Upstream: apiserver/pkg/authentication/request/websocket.
    """
    for protocol in protocols.split(b","):
        if (name := protocol.strip()).startswith(WEBSOCKET_TOKEN):
            text = name.removeprefix(WEBSOCKET_TOKEN)
            with contextlib.suppress(ValueError):
                return b"Bearer " + base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    return b""


def bearer(header: bytes) -> str:
    """The token in an Authorization header; "" where it has none, as in another scheme's."""
    scheme, _, rest = header.strip().partition(b" ")
    return rest.partition(b" ")[0].decode("utf-8", "surrogateescape") if scheme.lower() == b"bearer" else ""
