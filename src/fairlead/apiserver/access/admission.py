"""What is asked of a write besides who may: by its content, and by what it turns out to be.

The server's own writes are not asked. Upstream: admission, apiserver/pkg/endpoints/handlers (withAuthorization).
"""

from __future__ import annotations

from typing import Any

from fairlead.apiserver.access import noderestriction
from fairlead.apiserver.access.authorization import Authorizer, authorize, refused
from fairlead.apiserver.access.nodeauthorizer import node_of
from fairlead.apiserver.access.rules import Attributes
from fairlead.apiserver.access.users import REQUESTER
from fairlead.apiserver.kind import Kind


class Admission:
    """Asked by the registry. About 0.3 us for a write of somebody who is no node."""

    def __init__(self, authorizer: Authorizer, *, restricts: bool) -> None:
        self._authorizer = authorizer
        self._restricts = restricts

    def may_create(self, kind: Kind, namespace: str, name: str) -> None:
        """Raises 403 where the requester may change an object, but not make one."""
        user = REQUESTER.get()
        if user is not None:
            wish = Attributes("create", kind.resource.group, kind.plural, "", namespace, name)
            authorize(self._authorizer, user, wish)

    def admit(
        self, operation: str, kind: Kind, subresource: str, name: str, obj: Any | None, old: Any | None
    ) -> None:
        """Raises 403 where a node may not write this; see `noderestriction.problem`."""
        node = self.node()
        if node is None:
            return
        why = (
            noderestriction.problem(node, operation, kind, subresource, name, obj, old)
            if node
            else "could not determine node from user"
        )
        if why:
            raise forbidden(kind, name, why)

    def node(self) -> str | None:
        """The node that is to be restricted, None where the requester is none."""
        user = REQUESTER.get() if self._restricts else None
        return None if user is None else node_of(user)


def forbidden(kind: Kind, name: str, why: str) -> Exception:
    """403 by admission."""
    return refused(Attributes("", kind.resource.group, kind.plural, name=name), why)
