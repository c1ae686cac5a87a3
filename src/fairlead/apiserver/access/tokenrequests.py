"""New tokens of ServiceAccounts, on request: POST to serviceaccounts/NAME/token.

Upstream: pkg/registry/core/serviceaccount/storage/token.go, pkg/apis/authentication/validation.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.access.accounttokens import AccountTokens, Bound, Reference, claims_of
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.bodies import as_json, read_object
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NODES, PODS, SECRETS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.parts import Answered
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writes import Body
from fairlead.objects.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestStatus
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import FieldError, StatusError, bad_request, conflict, invalid, unprocessable

GROUP = "authentication.k8s.io"
DEFAULT_SECONDS = 3600
SHORTEST, LONGEST = 600, 1 << 32
BINDABLE = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}


class TokenRequests:
    """Signs what is asked for."""

    def __init__(self, tokens: AccountTokens) -> None:
        self._tokens = tokens

    async def create(
        self, registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
    ) -> Answered:
        """The answer to a TokenRequest. Raises 400, 404, 409 or 422."""
        data = as_json(body.data, body.content_type, f"{GROUP}/v1", "TokenRequest")
        request, warnings = read_object(
            TokenRequest, "TokenRequest", f"{GROUP}/v1", data, query.text("fieldValidation")
        )
        spec = request.spec
        seconds = DEFAULT_SECONDS if spec.expirationSeconds is None else spec.expirationSeconds
        check_names(request, info)
        entry = await registry.get(kind, info.namespace, info.name)
        bound = claims_of(decoded(kind, entry.value, entry.revision))
        check_uid(request, bound)
        if errors := validate(seconds):
            raise unprocessable("TokenRequest", "", errors, GROUP)
        target = None
        if spec.boundObjectRef is not None:
            target = await named(registry, info.namespace, spec.boundObjectRef)
        if registry.admission is not None:
            registry.admission.admit("CREATE", kind, "token", info.name, request, target)
        if spec.boundObjectRef is not None:
            bound = await bind(registry, bound, spec.boundObjectRef, target)
        audiences = spec.audiences or self._tokens.audiences
        token, expires = self._tokens.sign(bound, seconds, audiences)
        metadata = replace(
            request.metadata,
            name=info.name,
            namespace=info.namespace,
            uid=bound.serviceaccount.uid,
            creationTimestamp=now(),
        )
        status = TokenRequestStatus(token=token, expirationTimestamp=timestamp(expires))
        asked = replace(spec, audiences=audiences, expirationSeconds=seconds)
        return Answered(replace(request, metadata=metadata, spec=asked, status=status), warnings)


def check_names(request: TokenRequest, info: RequestInfo) -> None:
    """Raises 422 where the request is for another account than the URL."""
    for field, given, own, what in (
        ("metadata.name", request.metadata.name, info.name, "name"),
        ("metadata.namespace", request.metadata.namespace, info.namespace, "namespace"),
    ):
        if given not in ("", own):
            error = invalid(field, given, f"must match the service account {what} if specified")
            raise unprocessable("TokenRequest", info.name, [error], GROUP)


def check_uid(request: TokenRequest, bound: Bound) -> None:
    """Raises 409 where the account is another one by now."""
    given, account = request.metadata.uid, bound.serviceaccount
    if given and given != account.uid:
        said = f"the UID in the token request ({given}) does not match the UID of the service account"
        raise conflict("TokenRequest", account.name, f"{said} ({account.uid})", GROUP)


def validate(seconds: int) -> list[FieldError]:
    """The errors of a token's life."""
    path = "spec.expirationSeconds"
    if seconds < SHORTEST:
        return [invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > LONGEST:
        return [invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


async def named(registry: Registry, namespace: str, to: BoundObjectReference) -> Any:
    """The object that a token is to be bound to. Raises 400 or 404."""
    kind = BINDABLE.get(to.kind)
    group, _, version = to.apiVersion.rpartition("/")
    if kind is None or group:
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={to.kind}")
    return await _object(registry, kind, "" if kind is NODES else namespace, to.name)


async def bind(registry: Registry, bound: Bound, to: BoundObjectReference, obj: Any) -> Bound:
    """The claims with the object that the token is to be bound to. Raises 400 or 409."""
    uid = obj.metadata.uid
    if to.kind == "Pod":
        account = obj.spec.serviceAccountName or "default"
        if account != bound.serviceaccount.name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{bound.serviceaccount.name}" to pod running with different '
                "serviceaccount name."
            )
    if to.uid and to.uid != uid:
        raise conflict(
            to.kind,
            to.name,
            f"the UID in the bound object reference ({to.uid}) does not match the UID in record. The object might "
            "have been deleted and then recreated",
        )
    reference = Reference(to.name, uid)
    match to.kind:
        case "Secret":
            return replace(bound, secret=reference)
        case "Node":
            return replace(bound, node=reference)
    bound = replace(bound, pod=reference)
    if not obj.spec.nodeName:
        return bound
    try:
        node = await _object(registry, NODES, "", obj.spec.nodeName)
    except StatusError:
        return replace(bound, node=Reference(obj.spec.nodeName))
    return replace(bound, node=Reference(obj.spec.nodeName, node.metadata.uid))


async def _object(registry: Registry, kind: Kind, namespace: str, name: str) -> Any:
    entry = await registry.get(kind, namespace, name)
    return decoded(kind, entry.value, entry.revision)
