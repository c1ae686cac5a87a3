"""In which form a client wants its answer: media type, table or bare metadata, for the eye or not.

Upstream: apiserver/pkg/endpoints/handlers/negotiation, with goautoneg's order of what an Accept header lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fairlead.objects import protobuf
from fairlead.objects.status import StatusError, bad_request, failure, invalid


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to be written. `shape` is "" for the objects themselves, or one of `SHAPES`."""

    shape: str = ""
    yaml: bool = False
    include_object: str = "Metadata"
    protobuf: bool = False
    pretty: bool = False
    """Whether JSON is indented."""

    @property
    def plain(self) -> bool:
        """Whether stored bytes can be sent as they are."""
        return not self.shape and not self.yaml and not self.protobuf

    @property
    def content_type(self) -> str:
        """The header of the answer."""
        if self.protobuf:
            return protobuf.CONTENT_TYPE
        return "application/yaml" if self.yaml else "application/json"


SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
INCLUDED = ("None", "Metadata", "Object")
READERS = ("curl", "Wget", "Mozilla/5.0")
"""What the User-Agent of programs begins with whose users read the answer, by upstream's list."""

LONGEST = 4096
"""Bytes of an Accept header that are looked at."""


def options(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media types of an Accept header with their parameters, the preferred ones first: by quality, then those
    without asterisks."""
    found: list[tuple[tuple[float, bool, bool], str, dict[str, str]]] = []
    for option in accept.split(",") if accept.strip() else ("*/*",):
        kind, *rest = (part.strip() for part in option.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        main, _, sub = kind.partition("/")
        found.append(((-quality(parameters.get("q", "1")), main == "*", sub == "*"), kind, parameters))
    found.sort(key=lambda option: option[0])
    return [(kind, parameters) for _, kind, parameters in found]


def quality(text: str) -> float:
    """The number of a `q`; 1 where it is none."""
    try:
        number = float(text)
    except ValueError:
        return 1.0
    return number if 0 <= number <= 1 else 1.0


def form(accept: str, include_object: str = "", serves_protobuf: bool = True, pretty: bool = False) -> Form:
    """The form in an Accept header that is preferred of those that can be given. Raises 406 where there is none.

    Tables and bare metadata are given as JSON only, and so is a type that protobuf does not have.
    """
    return _form(accept[:LONGEST], include_object[:LONGEST], serves_protobuf, pretty)


@lru_cache(maxsize=256)
def _form(accept: str, include_object: str, serves_protobuf: bool, pretty: bool) -> Form:
    for kind, parameters in options(accept):
        if kind == protobuf.CONTENT_TYPE and serves_protobuf and "as" not in parameters:
            return Form(protobuf=True)
        if kind not in ("application/json", "application/yaml", "*/*", "application/*"):
            continue
        shape = parameters.get("as", "")
        if shape and (
            shape not in SHAPES
            or parameters.get("g", "meta.k8s.io") != "meta.k8s.io"
            or parameters.get("v", "v1") != "v1"
        ):
            continue
        if shape == "Table" and include_object not in ("", *INCLUDED):
            said = invalid("includeObject", include_object, "must be 'Metadata', 'Object', 'None', or empty")
            raise bad_request(f"Unable to convert to Table as requested: {said}")
        yaml = kind == "application/yaml"
        indented = not yaml and (pretty or parameters.get("pretty") == "1")
        return Form(shape, yaml, include_object or "Metadata", pretty=indented)
    raise not_acceptable(serves_protobuf)


def not_acceptable(serves_protobuf: bool) -> StatusError:
    """406: none of the types is one that can be given."""
    given = ["application/json", "application/yaml"] + [protobuf.CONTENT_TYPE] * serves_protobuf
    return failure(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(given)}")


def reads(pretty: str | None, agent: str) -> bool:
    """Whether somebody reads the answer: who says so by `?pretty`, and who says nothing with a program for that."""
    if pretty is not None:
        return pretty.lower() not in ("0", "false")
    return agent.startswith(READERS)
