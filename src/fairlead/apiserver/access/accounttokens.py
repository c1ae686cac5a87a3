"""The tokens of ServiceAccounts: what they say, and whether it still holds.

A token is good as long as its ServiceAccount is there with the same uid, and the pod, Secret or Node it is bound to.
Upstream: pkg/serviceaccount/claims.go, jwt.go.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from fairlead.apiserver.access import webtokens
from fairlead.apiserver.access.users import User, account_groups, account_name, authenticated
from fairlead.apiserver.access.webtokens import Key, Malformed
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NODES, PODS, SECRETS, SERVICEACCOUNTS
from fairlead.apiserver.ownership import facts
from fairlead.objects.codec import decoder
from fairlead.objects.core_v1 import Secret, ServiceAccount
from fairlead.objects.status import not_found
from fairlead.store import Store

KEPT = 4096
"""How many verified tokens are remembered, of about 2 KiB each. One that is forgotten is verified again (100 us)."""

CHECK_SECONDS = 1.0
"""How long what a token speaks of counts as there, since it was last looked at (upstream: ten seconds)."""

LEEWAY_SECONDS = 60.0
"""How far clocks may differ; and how long an object that is being deleted still counts. Upstream: jwt.DefaultLeeway."""

EXTRA = "authentication.kubernetes.io/"


class Rejected(ValueError):
    """The token is this server's, but is no good; says why, as upstream does."""


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object that a token speaks of."""

    name: str = ""
    uid: str = ""


class Bound(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose token it is, and what it is bound to: the claim `kubernetes.io`."""

    namespace: str = ""
    serviceaccount: Reference = Reference()
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says. Times in seconds since 1970."""

    aud: list[str] | str = []
    exp: float = 0
    iat: float = 0
    iss: str = ""
    jti: str = ""
    kubernetes: Bound = msgspec.field(default_factory=Bound, name="kubernetes.io")
    nbf: float = 0
    sub: str = ""

    @property
    def audiences(self) -> tuple[str, ...]:
        """Whom the token is for."""
        return (self.aud,) if isinstance(self.aud, str) else tuple(self.aud)

    def user(self) -> User:
        """Whose it is."""
        bound = self.kubernetes
        extra = [("credential-id", f"JTI={self.jti}")] if self.jti else []
        if bound.node is not None:
            extra += [("node-name", bound.node.name), ("node-uid", bound.node.uid)]
        if bound.pod is not None:
            extra += [("pod-name", bound.pod.name), ("pod-uid", bound.pod.uid)]
        return authenticated(
            User(
                account_name(bound.namespace, bound.serviceaccount.name),
                bound.serviceaccount.uid,
                account_groups(bound.namespace),
                tuple((EXTRA + name, (value,)) for name, value in extra if value),
            )
        )


SECRET_ISSUER = "kubernetes/serviceaccount"  # noqa: S105
"""Who tokens in Secrets say has made them, whoever it was."""

_PREFIX = "kubernetes.io/serviceaccount/"


class SecretClaims(msgspec.Struct, frozen=True):
    """What a token in a Secret says: whose it is, and which Secret it is in. Upstream: pkg/serviceaccount/legacy.go."""

    sub: str = ""
    namespace: str = msgspec.field(default="", name=f"{_PREFIX}namespace")
    secret: str = msgspec.field(default="", name=f"{_PREFIX}secret.name")
    account: str = msgspec.field(default="", name=f"{_PREFIX}service-account.name")
    uid: str = msgspec.field(default="", name=f"{_PREFIX}service-account.uid")
    iss: str = SECRET_ISSUER

    def claims(self, audiences: Sequence[str]) -> Claims:
        """As a token for these audiences that never ends."""
        bound = Bound(self.namespace, Reference(self.account, self.uid), secret=Reference(self.secret))
        return Claims(aud=list(audiences), exp=FOR_EVER, iss=self.iss, kubernetes=bound, sub=self.sub)


FOR_EVER = float("inf")


@dataclass(slots=True)
class Verified:
    """A token whose signature was found good. `kept` is what the Secret has to hold that it is in."""

    claims: Claims
    user: User
    checked: float
    kept: bytes = b""


class AccountTokens:
    """Signs tokens with the first key, and knows those that any of the keys has signed.

    `audiences` are those of the API itself. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        keys: Sequence[Key],
        issuer: str,
        audiences: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = tuple(keys)
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self.clock = clock
        self._store = store
        self._verified: dict[bytes, Verified] = {}

    def sign(self, bound: Bound, seconds: int, audiences: Sequence[str]) -> tuple[str, float]:
        """A new token, and when it expires."""
        now = int(self.clock())
        claims = Claims(
            iss=self.issuer,
            sub=account_name(bound.namespace, bound.serviceaccount.name),
            aud=list(audiences or self.audiences),
            iat=now,
            nbf=now,
            exp=now + seconds,
            jti=str(uuid.uuid4()),
            kubernetes=bound,
        )
        return self.keys[0].sign(msgspec.to_builtins(claims)), float(now + seconds)

    def sign_secret(self, namespace: str, account: str, uid: str, secret: str) -> str:
        """A new token to be kept in a Secret, that is good as long as the Secret holds it."""
        claims = SecretClaims(account_name(namespace, account), namespace, secret, account, uid)
        return self.keys[0].sign(msgspec.to_builtins(claims))

    async def user(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """Whose token it is, and for which of the audiences asked for (the API's own by default); None if not ours.

        About 2 us for a token that was seen within the last second. Raises Rejected where it does not hold any more.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        if known is None:
            claims = self._read(token)
            if claims is None:
                return None
            kept = token.encode() if claims.iss == SECRET_ISSUER else b""
            known = Verified(claims, claims.user(), 0.0, kept)
            while len(self._verified) >= KEPT:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = known
        now = self.clock()
        claims = known.claims
        wanted = audiences or self.audiences
        shared = tuple(one for one in claims.audiences if one in wanted)
        if not shared:
            held, asked = (_quoted(names) for names in (claims.audiences, wanted))
            raise Rejected(f"token audiences {held} is invalid for the target audiences {asked}")
        if claims.exp + LEEWAY_SECONDS < now:
            raise Rejected("service account token has expired")
        if claims.nbf - LEEWAY_SECONDS > now:
            raise Rejected("service account token is not valid yet")
        if not known.checked <= now < known.checked + CHECK_SECONDS:
            if known.kept:
                await self._check_secret(claims.kubernetes, known.kept)
            await self._check(claims.kubernetes, now)
            known.checked = now
        return known.user, shared

    def _read(self, token: str) -> Claims | None:
        """The claims of a token of this server; None for others. The cost of a signature."""
        try:
            claims = msgspec.json.decode(webtokens.payload(token), type=Claims)
        except (Malformed, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if claims.iss not in (self.issuer, SECRET_ISSUER):
            return None
        try:
            webtokens.verify(token, self.keys)
            if claims.iss != SECRET_ISSUER:
                return claims
            said = msgspec.json.decode(webtokens.payload(token), type=SecretClaims)
        except (Malformed, msgspec.MsgspecError) as error:
            raise Rejected(str(error)) from None
        for name, claim in (
            ("sub", said.sub),
            ("namespace", said.namespace),
            ("secretName", said.secret),
            ("serviceAccountName", said.account),
            ("serviceAccountUID", said.uid),
        ):
            if not claim:
                raise Rejected(f"{name} claim is missing")
        if said.sub != account_name(said.namespace, said.account):
            raise Rejected("sub claim is invalid")
        return said.claims(self.audiences)

    async def _check_secret(self, bound: Bound, token: bytes) -> None:
        """Raises Rejected where the Secret does not hold the token any more."""
        assert bound.secret is not None
        entry = await self._store.get(SECRETS.key(bound.namespace, bound.secret.name))
        secret = decoder(Secret).decode(entry.value) if entry is not None else None
        if secret is None or secret.metadata.deletionTimestamp is not None:
            raise Rejected("service account token has been invalidated")
        if not hmac.compare_digest(secret.data.get("token", b""), token):
            raise Rejected("service account token does not match server's copy")

    async def _check(self, bound: Bound, now: float) -> None:
        """Raises Rejected where an object that the token speaks of is not there any more."""
        account = bound.serviceaccount
        uid = await self._uid(SERVICEACCOUNTS, bound.namespace, account.name, now)
        if uid is None:
            raise Rejected(str(not_found("serviceaccounts", account.name)))
        if uid == "":
            raise Rejected(f"service account {bound.namespace}/{account.name} has been deleted")
        if uid != account.uid:
            raise Rejected(f"service account UID ({uid}) does not match claim ({account.uid})")
        for kind, namespace, reference, what in (
            (SECRETS, bound.namespace, bound.secret, "Secret UID ({}) does not match service account secret"),
            (PODS, bound.namespace, bound.pod, "pod UID ({}) does not match service account pod"),
            # A pod's node may go before the pod does; only a token that is bound to the node itself goes with it.
            (NODES, "", bound.node if bound.pod is None else None, "node UID ({}) does not match node"),
        ):
            if reference is None:
                continue
            uid = await self._uid(kind, namespace, reference.name, now)
            if not uid:
                raise Rejected("service account token has been invalidated")
            if reference.uid and uid != reference.uid:
                raise Rejected(f"{what.format(uid)} ref claim ({reference.uid})")

    async def _uid(self, kind: Kind, namespace: str, name: str, now: float) -> str | None:
        """The uid of an object; "" for one that has been on its way out for too long, None where there is none."""
        entry = await self._store.get(kind.key(namespace, name))
        if entry is None:
            return None
        of = facts(entry.value)
        if (
            of.deletionTimestamp is not None
            and datetime.fromisoformat(of.deletionTimestamp).timestamp() < now - LEEWAY_SECONDS
        ):
            return ""
        return of.uid


def claims_of(account: ServiceAccount) -> Bound:
    """What a token of an account says of it."""
    meta = account.metadata
    return Bound(meta.namespace, Reference(meta.name, meta.uid))


def _quoted(names: Sequence[str]) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"
