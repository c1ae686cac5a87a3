"""Who sends a request, and whether it may."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.apiserver.requests import RequestInfo
from fairlead.objects.status import unauthorized

PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
"""What anybody may read; anything below the first three too."""


@dataclass(frozen=True)
class User:
    """Somebody with a name."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class Tokens:
    """The bearer tokens that are known. They are compared by digest, so that time tells nothing about them."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = {digest(token): user for token, user in users.items()}

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Reads `token,user,uid,"group1,group2"` lines, the groups optional (upstream: --token-auth-file).

        Raises ValueError with the line that is wrong.
        """
        users: dict[str, User] = {}
        for number, row in enumerate(csv.reader(io.StringIO(path.read_text())), 1):
            if not row:
                continue
            if len(row) < 3 or not row[0]:
                raise ValueError(f'{path}, line {number}: expected token,user,uid,"group1,group2"')
            groups = tuple(group.strip() for group in row[3].split(",")) if len(row) > 3 and row[3] else ()
            users[row[0]] = User(row[1], row[2], (*groups, "system:authenticated"))
        return cls(users)

    def user(self, header: str | None) -> User:
        """Whose token an Authorization header has; anonymous without one. Raises 401 for a wrong one."""
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        user = self._users.get(digest(token.strip())) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user


def digest(token: str) -> bytes:
    """What is compared instead of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def authorize(user: User, request: RequestInfo) -> None:
    """Raises the refusal of a request that the user may not make: the one place where that is decided.

    Whoever is known may do everything; others may see whether the server lives, nothing else.
    """
    if user is not ANONYMOUS:
        return
    if request.method in ("GET", "HEAD") and request.path.startswith(PUBLIC_PATHS):
        first = "/" + request.path.split("/", 2)[1]
        if first in PUBLIC_PATHS and (first != "/version" or request.path.rstrip("/") == first):
            return
    raise unauthorized()
