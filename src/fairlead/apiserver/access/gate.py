"""The ways to be known and the rules of what one may do, put together for one server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead.apiserver.access.accounttokens import AccountTokens
from fairlead.apiserver.access.admission import Admission
from fairlead.apiserver.access.aggregation import Aggregation
from fairlead.apiserver.access.authentication import Authenticator, Tokens, credentials
from fairlead.apiserver.access.authorization import (
    AlwaysAllow,
    Authorizer,
    RoleBased,
    Union,
    attributes,
    authorization_modes,
    authorize,
)
from fairlead.apiserver.access.bootstrappolicy import NODE_RULES
from fairlead.apiserver.access.clientcertificates import ClientCertificates
from fairlead.apiserver.access.escalation import BindingStrategy, RoleStrategy
from fairlead.apiserver.access.impersonation import Impersonation
from fairlead.apiserver.access.nodeauthorizer import NodeAuthorizer
from fairlead.apiserver.access.podreferences import PodReferences
from fairlead.apiserver.access.reconciliation import reconcile
from fairlead.apiserver.access.reviews import Reviews
from fairlead.apiserver.access.secrettokens import SecretTokens
from fairlead.apiserver.access.tokenrequests import TokenRequests
from fairlead.apiserver.access.users import REQUESTER, User
from fairlead.apiserver.access.webtokens import Key, key_set, read_keys
from fairlead.apiserver.etags import Answer
from fairlead.apiserver.following import Follower
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import CLUSTERROLEBINDINGS, CLUSTERROLES, PODS, ROLEBINDINGS, ROLES
from fairlead.apiserver.messages import Head
from fairlead.apiserver.parts import Answered, Part
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.replies import no_such_path
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.strategies import Strategy
from fairlead.store import Store

log = logging.getLogger("fairlead.apiserver")

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
ALGORITHMS_PATH, KEYS_PATH = "/.well-known/openid-configuration", "/openid/v1/jwks"


@dataclass(frozen=True)
class AccessConfig:
    """Whom to know, and what to let him do. The fields are named as the options of kube-apiserver.

    `service_account_signing_key_file` has PEM keys: the first signs the tokens of ServiceAccounts, all verify them, as
    do those of each `service_account_key_file`, public or private; without the former there are no such tokens.
    """

    token_auth_file: Path | None = None
    client_ca_file: Path | None = None
    service_account_signing_key_file: Path | None = None
    service_account_key_file: tuple[Path, ...] = ()
    service_account_issuer: str = DEFAULT_ISSUER
    api_audiences: tuple[str, ...] = ()
    authorization_mode: str = "Node,RBAC"
    anonymous_auth: bool = True


class Gate:
    """What a server needs to know of its requests' senders, over one store; `tokens` is a file of its own users.

    `authority` is the certificate by which the server is known, for the Secrets with tokens.

    Raises OSError or ValueError where a file of the configuration cannot be used.
    """

    def __init__(self, config: AccessConfig, tokens: Path, store: Store, authority: bytes = b"") -> None:
        modes = authorization_modes(config.authorization_mode)
        self._accounts = _account_tokens(config, store)
        self._authority = authority
        self._roles = RoleBased(store)
        references = PodReferences()
        self._pods = Follower(store, PODS.prefix, references.told) if "Node" in modes else None
        known: Mapping[str, Authorizer] = {
            "AlwaysAllow": AlwaysAllow(),
            "Node": NodeAuthorizer(references, NODE_RULES),
            "RBAC": self._roles,
        }
        self.authorizer = known[modes[0]] if len(modes) == 1 else Union([known[mode] for mode in modes])
        self._impersonation = Impersonation(self.authorizer)
        self.admission = Admission(self.authorizer, restricts="Node" in modes)
        certificates = ClientCertificates() if config.client_ca_file is not None else None
        self.authenticator = Authenticator(
            Tokens.read(*(path for path in (tokens, config.token_auth_file) if path is not None)),
            self._accounts,
            certificates,
            anonymous=config.anonymous_auth,
        )

    async def admit(
        self,
        head: Head,
        transport: asyncio.BaseTransport | None,
        info: RequestInfo,
        query: Query,
    ) -> User:
        """For whom a request is. Raises 401 where that is not known, 403 where he may not. About 5 us.

        REQUESTER says so while the request is worked on, in the task that calls this.
        """
        if head.credentials is None:
            head.credentials = credentials(head.raw)
        authorization, others = head.credentials
        user = await self.authenticator.user(authorization, transport)
        wanted = attributes(info, query)
        if others:
            user = self._impersonation.user(user, others, wanted)
        log.debug("%s: %s", user.name, wanted)
        authorize(self.authorizer, user, wanted)
        REQUESTER.set(user)
        return user

    @property
    def strategies(self) -> Mapping[Kind, Strategy]:
        """How roles and bindings are written."""
        grants = self._roles.grants
        return {
            **{kind: RoleStrategy(self.authorizer, grants, kind.plural) for kind in (ROLES, CLUSTERROLES)},
            **{
                kind: BindingStrategy(self.authorizer, grants, kind.plural)
                for kind in (ROLEBINDINGS, CLUSTERROLEBINDINGS)
            },
        }

    @property
    def parts(self) -> Mapping[str, Part]:
        """What answers reviews, by their plural, and TokenRequests."""
        requests = TokenRequests(self._accounts) if self._accounts is not None else None
        return {
            **Reviews(self.authenticator, self.authorizer).parts,
            "token": requests.create if requests is not None else unserved,
        }

    def path(self, info: RequestInfo, _: Query, __: Mapping[str, str]) -> Answer | None:
        """`/.well-known/openid-configuration` and `/openid/v1/jwks`: how others verify the ServiceAccounts' tokens."""
        if self._accounts is None:
            return None
        if info.path == KEYS_PATH:
            return Answer(200, "application/jwk-set+json", msgspec.json.encode(key_set(self._accounts.keys)))
        if info.path != ALGORITHMS_PATH:
            return None
        issuer = self._accounts.issuer
        document = {
            "issuer": issuer,
            "jwks_uri": f"{issuer.rstrip('/')}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self._accounts.keys}),
        }
        return Answer(200, "application/json", msgspec.json.encode(document))

    async def prepare(self, registry: Registry) -> None:
        """Makes the default roles and bindings, and reads all that there are."""
        await reconcile(registry)
        await self._roles.sync()
        if self._pods is not None:
            await self._pods.sync()

    async def run(self, registry: Registry) -> None:
        """Follows the store until it is cancelled or the store is closed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._roles.run())
            tasks.create_task(Aggregation(registry).run())
            if self._accounts is not None:
                tasks.create_task(SecretTokens(registry, self._accounts, self._authority).run())
            if self._pods is not None:
                tasks.create_task(self._pods.run())


async def unserved(*_: object) -> Answered:
    """404: the server has no key to sign tokens with."""
    raise no_such_path()


def _account_tokens(config: AccessConfig, store: Store) -> AccountTokens | None:
    path = config.service_account_signing_key_file
    if path is None:
        return None
    keys = _keys(path)
    if keys[0].private is None:
        raise ValueError(f"{path}: there is no private key at its beginning, to sign tokens with")
    for other in config.service_account_key_file:
        keys += [key for key in _keys(other) if key.id not in {known.id for known in keys}]
    return AccountTokens(store, keys, config.service_account_issuer, config.api_audiences)


def _keys(path: Path) -> list[Key]:
    try:
        keys = read_keys(path.read_bytes())
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not keys:
        raise ValueError(f"{path}: there is no key in it, in PEM")
    return keys
