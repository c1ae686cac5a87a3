"""Operations at the paths that are no resources: discovery, the version, the keys of ServiceAccounts' tokens."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.apiserver.openapi.operations import (
    JSON,
    OK,
    YAML,
    Operation,
    Operations,
    group_word,
    tag,
    words,
)
from fairlead.objects import protobuf, schema

API_VERSIONS, API_GROUP_LIST, API_GROUP, API_RESOURCE_LIST = (
    f"{schema.META}.{name}" for name in ("APIVersions", "APIGroupList", "APIGroup", "APIResourceList")
)
VERSION_INFO = "k8s.io.apimachinery.pkg.version.Info"


def of_discovery(at: str) -> Operations:
    """What can be asked at a path of discovery, given without its slashes: `api`, `apis/apps`, `apis/apps/v1`."""
    root, *rest = at.split("/")
    group, version = ("", *rest, "")[:2] if root == "api" else (*rest, "", "")[:2]
    filed, word = tag(group, version), words(group_word(group))
    if version:
        about, answer = "Lists the resources of the version.", API_RESOURCE_LIST
        name = f"get{word}{words(version)}APIResources"
    elif root == "api":
        about, answer, name = "Lists the versions of the core.", API_VERSIONS, "getCoreAPIVersions"
    elif group:
        about, answer, name = "Lists the versions of the group.", API_GROUP, f"get{word}APIGroup"
    else:
        about, answer, name, filed = "Lists the groups.", API_GROUP_LIST, "getAPIVersions", "apis"
    produces = (JSON, YAML, protobuf.CONTENT_TYPE)
    return {f"/{at}/": [Operation("get", name, filed, about, produces=produces, answers={OK: answer})]}


OTHERS: Mapping[str, Operations] = {
    "version": {
        "/version/": [
            Operation(
                "get",
                "getCodeVersion",
                "version",
                "The version of the server.",
                consumes=(JSON,),
                produces=(JSON,),
                answers={OK: VERSION_INFO},
            )
        ]
    },
    ".well-known/openid-configuration": {
        "/.well-known/openid-configuration/": [
            Operation(
                "get",
                "getServiceAccountIssuerOpenIDConfiguration",
                "WellKnown",
                "Where the keys of ServiceAccounts' tokens are.",
                produces=(JSON,),
                answers={OK: "string"},
            )
        ]
    },
    "openid/v1/jwks": {
        "/openid/v1/jwks/": [
            Operation(
                "get",
                "getServiceAccountIssuerOpenIDKeyset",
                "openid",
                "The keys that ServiceAccounts' tokens are signed with.",
                produces=("application/jwk-set+json",),
                answers={OK: "string"},
            )
        ]
    },
}
"""The paths that are neither resources nor discovery, by their place among the documents of version 3."""
