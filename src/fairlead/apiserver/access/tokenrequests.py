"""New tokens of ServiceAccounts, on request: POST to serviceaccounts/NAME/token.

Upstream: pkg/registry/core/serviceaccount/storage/token.go, pkg/apis/authentication/validation.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.access.accounttokens import AccountTokens, Bound, Reference, claims_of
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.bodies import as_json, read_object
from fairlead.apiserver.kinds import NODES, PODS, SECRETS, Kind
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
        if errors := validate(request, info, seconds):
            raise unprocessable("TokenRequest", request.metadata.name, errors, GROUP)
        entry = await registry.get(kind, info.namespace, info.name)
        account = decoded(kind, entry.value, entry.revision)
        bound = claims_of(account)
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
            request.metadata, name=info.name, namespace=info.namespace, creationTimestamp=now()
        )
        status = TokenRequestStatus(token=token, expirationTimestamp=timestamp(expires))
        asked = replace(spec, audiences=audiences, expirationSeconds=seconds)
        return Answered(replace(request, metadata=metadata, spec=asked, status=status), warnings)


def validate(request: TokenRequest, info: RequestInfo, seconds: int) -> list[FieldError]:
    """The errors of a TokenRequest for the account that the URL names."""
    errors: list[FieldError] = []
    if request.metadata.name not in ("", info.name):
        errors.append(invalid("metadata.name", request.metadata.name, "must match the service account name"))
    if request.metadata.namespace not in ("", info.namespace):
        said = "must match the service account namespace"
        errors.append(invalid("metadata.namespace", request.metadata.namespace, said))
    if seconds < SHORTEST:
        said = "may not specify a duration less than 10 minutes"
        errors.append(invalid("spec.expirationSeconds", seconds, said))
    if seconds > LONGEST:
        said = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid("spec.expirationSeconds", seconds, said))
    return errors


async def named(registry: Registry, namespace: str, to: BoundObjectReference) -> Any:
    """The object that a token is to be bound to. Raises 400 or 404."""
    kind = BINDABLE.get(to.kind)
    if kind is None or to.apiVersion not in ("v1", ""):
        raise bad_request(f"cannot bind token to object of type {to.apiVersion or ''}, Kind={to.kind}")
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
