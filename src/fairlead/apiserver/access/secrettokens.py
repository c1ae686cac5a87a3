"""Secrets of the type kubernetes.io/service-account-token: given a token that does not expire, gone with its account.

Upstream: pkg/controller/serviceaccount/tokens_controller.go.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from msgspec.structs import replace

from fairlead.apiserver.access.accounttokens import AccountTokens
from fairlead.apiserver.deletion import delete
from fairlead.apiserver.following import Follower
from fairlead.apiserver.kinds import SECRETS, SERVICEACCOUNTS
from fairlead.apiserver.ownership import facts
from fairlead.apiserver.registry import Registry
from fairlead.objects.codec import decoder
from fairlead.objects.core_v1 import Secret
from fairlead.objects.meta_v1 import DeleteOptions, Preconditions
from fairlead.objects.status import StatusError
from fairlead.store import Closed, Failed

log = logging.getLogger("fairlead.apiserver")

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
"""Annotations: whose token it is."""

RETRY_SECONDS = 1.0


class Filled(msgspec.Struct, gc=False):
    """A Secret without its contents."""

    class Metadata(msgspec.Struct, gc=False):
        """Whose token it is."""

        annotations: dict[str, str] = {}

    metadata: Metadata
    type: str = ""


class SecretTokens:
    """Keeps such Secrets, at the cost of the Secrets of an account for a change of it.

    Several servers on one store may do the same work: a Secret that has its token gets no other.
    """

    def __init__(self, registry: Registry, tokens: AccountTokens, authority: bytes) -> None:
        self._registry = registry
        self._tokens = tokens
        self._authority = authority
        self._accounts: dict[str, str] = {}
        self._of: dict[str, set[str]] = {}
        self._waiting: dict[str, None] = {}
        self._awake = asyncio.Event()
        store = registry.store
        self._followers = (
            Follower(store, SECRETS.prefix, self._secret),
            Follower(store, SERVICEACCOUNTS.prefix, self._account),
        )

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        for follower in self._followers:
            await follower.sync()
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.run())
            tasks.create_task(self._work())

    def _secret(self, key: str, value: bytes | None) -> None:
        before = self._accounts.pop(key, None)
        if before is not None:
            self._of[before].discard(key)
            if not self._of[before]:
                del self._of[before]
        if value is None or TYPE.encode() not in value:
            return
        secret = decoder(Filled).decode(value)
        if secret.type != TYPE:
            return
        namespace, _ = SECRETS.place(key)
        account = self._accounts[key] = SERVICEACCOUNTS.key(
            namespace, secret.metadata.annotations.get(NAME, "")
        )
        self._of.setdefault(account, set()).add(key)
        self._add(key)

    def _account(self, key: str, value: bytes | None) -> None:
        for secret in self._of.get(key, ()):
            self._add(secret)

    def _add(self, key: str) -> None:
        self._waiting[key] = None
        self._awake.set()

    async def _work(self) -> None:
        while True:
            await self._awake.wait()
            while self._waiting:
                key = next(iter(self._waiting))
                del self._waiting[key]
                try:
                    await self._look_at(key)
                except Closed:
                    return
                except (StatusError, Failed) as error:
                    log.warning("cannot look after %s yet: %s", key, error)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._add, key)
            self._awake.clear()

    async def _look_at(self, key: str) -> None:
        """Fills in what a Secret lacks, or removes it where its account is gone."""
        namespace, name = SECRETS.place(key)
        await self._registry.store.sync()  # an account that another server has just made is there
        entry = await self._registry.store.get(key)
        if entry is None:
            return
        secret = decoder(Secret).decode(entry.value)
        annotations, account = secret.metadata.annotations, secret.metadata.annotations.get(NAME, "")
        found = await self._registry.store.get(SERVICEACCOUNTS.key(namespace, account))
        uid = facts(found.value).uid if found is not None else ""
        if not uid or annotations.get(UID, uid) != uid:
            options = DeleteOptions(preconditions=Preconditions(uid=secret.metadata.uid))
            try:
                await delete(self._registry, SECRETS, namespace, name, options)
            except StatusError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise
        elif self.complete(secret, uid) != secret:

            async def modify(old: Secret | None) -> Secret:
                assert old is not None  # an update without create
                return self.complete(old, uid)

            await self._registry.update(SECRETS, namespace, name, modify)

    def complete(self, secret: Secret, uid: str) -> Secret:
        """The Secret with what it lacks; `uid` is the account's."""
        meta, data = secret.metadata, dict(secret.data)
        account = meta.annotations.get(NAME, "")
        if self._authority and data.get("ca.crt") != self._authority:
            data["ca.crt"] = self._authority
        if not data.get("namespace"):
            data["namespace"] = meta.namespace.encode()
        if not data.get("token"):
            data["token"] = self._tokens.sign_secret(meta.namespace, account, uid, meta.name).encode()
        if data == secret.data:
            return secret
        metadata = replace(meta, annotations={**meta.annotations, UID: uid})
        return replace(secret, data=data, metadata=metadata)
