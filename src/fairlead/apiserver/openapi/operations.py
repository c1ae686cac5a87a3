"""Operations: what can be asked at the paths of a kind, as client generators make methods of it.

Names, parameters, answers follow from the kind by upstream's rules: registerResourceHandlers of apiserver's
endpoints/installer.go, and GetOperationIDAndTags of its endpoints/openapi.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fairlead.apiserver.kind import Kind, Subresource
from fairlead.apiserver.openapi import published
from fairlead.objects import protobuf, schema
from fairlead.objects.resources import Resource

JSON, YAML = "application/json", "application/yaml"
STREAMED = ";stream=watch"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
ANY_TYPE = ("*/*",)

OK, CREATED, ACCEPTED = 200, 201, 202
DELETE_OPTIONS, STATUS, PATCH, WATCH_EVENT = (
    f"{schema.META}.{name}" for name in ("DeleteOptions", "Status", "Patch", "WatchEvent")
)


@dataclass(frozen=True)
class Parameter:
    """What is given in the path or in the query. `type` is in JSON Schema's words."""

    name: str
    where: str = "query"
    type: str = "string"
    about: str = ""


@dataclass(frozen=True)
class Operation:
    """One method of one path. Bodies and answers are named by their type, as the table of types has it."""

    method: str
    name: str
    """The operationId."""
    tag: str
    about: str
    action: str = ""
    """The verb by which kubectl's plug-ins and generators know what it does; empty for discovery."""
    kind: Mapping[str, str] = field(default_factory=dict)
    """Group, version and kind that it is about."""
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    body_required: bool = True
    consumes: tuple[str, ...] = ANY_TYPE
    produces: tuple[str, ...] = (JSON, YAML)
    answers: Mapping[int, str] = field(default_factory=dict)
    """The type of each answer, by its code."""


Operations = dict[str, list[Operation]]
"""By path."""

ABOUT: Mapping[str, str] = MappingProxyType(
    {
        "allowWatchBookmarks": "Whether a watch may send events of type BOOKMARK, which only tell a resourceVersion.",
        "continue": "The token of the list before, to go on where that ended.",
        "dryRun": "`All`: everything is judged and answered, and nothing is stored.",
        "fieldManager": "Who owns the fields that the request sets. Needed by server-side apply.",
        "fieldSelector": "Selects objects by their fields. All that are there where it is empty.",
        "fieldValidation": "What is done about unknown and repeated fields: Ignore, Warn (the default) or Strict.",
        "force": "Takes over the fields that others own, instead of a conflict. For server-side apply only.",
        "gracePeriodSeconds": "How long a pod may take to end; 0 deletes at once. Its own period where it is absent.",
        "ignoreStoreReadErrorWithClusterBreakingPotential": "Deletes an object that cannot be read any more.",
        "labelSelector": "Selects objects by their labels. All that are there where it is empty.",
        "limit": "The most items that a list has; metadata.continue tells how to get the others.",
        "name": "The name of the object.",
        "namespace": "The namespace of the object.",
        "orphanDependents": "Deprecated for propagationPolicy: whether dependents are left as they are.",
        "pretty": "Whether JSON is indented for a reader. By the User-Agent where it is absent.",
        "propagationPolicy": "What becomes of dependents: Orphan, Background or Foreground.",
        "resourceVersion": "How new the answer has to be, or after what a watch begins.",
        "resourceVersionMatch": "How resourceVersion is meant in a list: Exact or NotOlderThan.",
        "sendInitialEvents": "Whether a watch begins with all objects, and a bookmark after them.",
        "shardSelector": "Alpha upstream, for a range of hashes; this server does not read it.",
        "timeoutSeconds": "After how long a list or a watch is ended.",
        "watch": "Whether changes are streamed from now on.",
    }
)
"""What the parameters do."""


def _options(name: str, *without: str) -> tuple[Parameter, ...]:
    """The fields of one of the types of options that can stand in a query (upstream: AddObjectParams)."""
    of = schema.type_named(f"{schema.META}.{name}")
    assert of is not None, f"{name} is in the table of types"
    return tuple(
        Parameter(one.name, type=schema.SCALARS[one.type], about=ABOUT.get(one.name, ""))
        for one in of.fields.values()
        if one.type in schema.SCALARS and one.name not in (*without, "apiVersion", "kind")
    )


PRETTY = Parameter("pretty", about=ABOUT["pretty"])
NAME = Parameter("name", "path", about=ABOUT["name"])
NAMESPACE = Parameter("namespace", "path", about=ABOUT["namespace"])


def words(text: str, *, capital: bool = True) -> str:
    """A text in an operationId: `rbac.authorization` is `RbacAuthorization` there. Upstream: ToValidOperationID."""
    first, *rest = "".join(c if c.isalnum() or c == "_" else " " for c in text).split(" ")
    return (first[:1].upper() + first[1:] if capital else first) + "".join(
        part[:1].upper() + part[1:] for part in rest
    )


def group_word(group: str) -> str:
    """A group as operationIds and tags have it."""
    return group.removesuffix(".k8s.io") or "core"


def tag(group: str, version: str = "") -> str:
    """What the methods of a group's version are filed under."""
    name = words(group_word(group), capital=False)
    return f"{name}_{words(version, capital=False)}" if version else name


def article(noun: str) -> str:
    """The noun with its article."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return noun
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def type_of(kind: Kind, suffix: str = "") -> str:
    """The name of the type of a kind's objects, or of their lists."""
    resource = kind.resource
    if kind.model.openapi is not None:
        return published.name(kind, suffix)
    return schema.type_name(resource.group, resource.version, resource.kind + suffix)


class Described:
    """The operations of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._resource: Resource[object] = kind.resource
        resource = kind.resource
        self._title = ("Namespaced" if resource.namespaced else "") + resource.kind
        self._place = (NAMESPACE,) if resource.namespaced else ()
        self._produces = (JSON, YAML, *((protobuf.CONTENT_TYPE,) if kind.model.protobuf else ()))
        self._gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}

    def operations(self) -> Operations:
        """All of them, by path."""
        kind, resource = self._kind, self._resource
        collection = resource.path("{namespace}" if resource.namespaced else "")
        found: Operations = {}
        if not kind.kept:
            found[collection] = [self._create()]
            return found
        one = f"{collection}/{{name}}"
        found[collection] = list(self._of_collection())
        found[one] = list(self._of_object())
        for part in self._parts():
            found[f"{one}/{part.name}"] = list(self._of_part(part))
        if resource.namespaced:
            everywhere = resource.path("")
            found[everywhere] = [self._list(everywhere=True)]
            found[_watched(everywhere)] = [self._watch(listed=True, everywhere=True)]
        found[_watched(collection)] = [self._watch(listed=True)]
        found[_watched(one)] = [self._watch()]
        return found

    def _name(self, verb: str, rest: str) -> str:
        resource = self._resource
        return f"{verb}{words(group_word(resource.group))}{words(resource.version)}{rest}"

    def _operation(
        self,
        method: str,
        name: str,
        action: str,
        about: str,
        parameters: tuple[Parameter, ...] = (),
        answers: Mapping[int, str] | None = None,
        *,
        of: Mapping[str, str] | None = None,
        body: str = "",
        body_required: bool = True,
        consumes: tuple[str, ...] = ANY_TYPE,
        produces: tuple[str, ...] = (),
        named: bool = True,
    ) -> Operation:
        return Operation(
            method,
            name,
            tag(self._resource.group, self._resource.version),
            about,
            action,
            of or self._gvk,
            (*((NAME,) if named else ()), *self._place, PRETTY, *parameters),
            body,
            body_required,
            consumes,
            produces or self._produces,
            answers or {},
        )

    def _of_collection(self) -> Iterator[Operation]:
        kind = self._kind
        yield self._list()
        yield self._create()
        if "deletecollection" in kind.verbs:
            listed, deleted = (
                _options("ListOptions", "watch", "allowWatchBookmarks"),
                _options("DeleteOptions"),
            )
            yield self._operation(
                "delete",
                self._name("delete", f"Collection{self._title}"),
                "deletecollection",
                f"Deletes all {kind.plural} that are selected.",
                (*listed, *deleted),
                {OK: STATUS},
                body=DELETE_OPTIONS,
                body_required=False,
                named=False,
            )

    def _of_object(self) -> Iterator[Operation]:
        kind, of, title = self._kind, type_of(self._kind), self._title
        noun = self._resource.kind
        got = _options("GetOptions") if kind.model.openapi is not None else ()
        yield self._operation(
            "get", self._name("read", title), "get", f"Reads {article(noun)}.", got, {OK: of}
        )
        yield self._replace(title, of, f"Replaces {article(noun)}.")
        yield self._patch(title, of, f"Changes {article(noun)} in part.")
        answer = of if kind.returns_deleted else STATUS
        yield self._operation(
            "delete",
            self._name("delete", title),
            "delete",
            f"Deletes {article(noun)}.",
            _options("DeleteOptions"),
            {OK: answer, ACCEPTED: answer},
            body=DELETE_OPTIONS,
            body_required=False,
        )

    def _parts(self) -> list[Subresource]:
        status = Subresource("status", self._resource.kind, ("get", "patch", "update"))
        own = [part for part in self._kind.subresources if not part.passed_on]
        return [*own, *((status,) if self._kind.status else ())]

    def _of_part(self, part: Subresource) -> Iterator[Operation]:
        group, version = part.group or self._resource.group, part.version or self._resource.version
        own = {"group": group, "version": version, "kind": part.kind}
        is_itself = own == self._gvk
        of = type_of(self._kind) if is_itself else schema.type_name(group, version, part.kind)
        title, what = (
            f"{self._title}{part.name.title()}",
            f"the {part.name} of {article(self._resource.kind)}",
        )
        if "get" in part.verbs:
            yield self._operation(
                "get", self._name("read", title), "get", f"Reads {what}.", (), {OK: of}, of=own
            )
        if "update" in part.verbs:
            yield self._replace(title, of, f"Replaces {what}.", own)
        if "create" in part.verbs:
            yield self._create(title, of, f"Creates {what}.", own, named=True)
        if "patch" in part.verbs:
            yield self._patch(title, of, f"Changes {what} in part.", own)

    def _list(self, *, everywhere: bool = False) -> Operation:
        kind, resource = self._kind, self._resource
        name = f"{resource.kind}ForAllNamespaces" if everywhere else self._title
        listed = self._operation(
            "get",
            self._name("list", name),
            "list",
            f"Lists {kind.plural}{' of all namespaces' if everywhere else ''}, or watches them.",
            _options("ListOptions"),
            {OK: type_of(kind, "List")},
            produces=self._produces + tuple(f"{one}{STREAMED}" for one in self._produces if one != YAML),
            named=False,
        )
        return _everywhere(listed) if everywhere else listed

    def _watch(self, *, listed: bool = False, everywhere: bool = False) -> Operation:
        resource = self._resource
        name = resource.kind if everywhere else self._title
        name += ("List" if listed else "") + ("ForAllNamespaces" if everywhere else "")
        watched = self._operation(
            "get",
            self._name("watch", name),
            "watchlist" if listed else "watch",
            "Deprecated: a list with `watch` does the same"
            + (", with a fieldSelector for one object." if not listed else "."),
            _options("ListOptions"),
            {OK: WATCH_EVENT},
            produces=self._produces + tuple(f"{one}{STREAMED}" for one in self._produces if one != YAML),
            named=not listed,
        )
        return _everywhere(watched) if everywhere else watched

    def _create(
        self,
        title: str = "",
        of: str = "",
        about: str = "",
        own: Mapping[str, str] | None = None,
        *,
        named: bool = False,
    ) -> Operation:
        of = of or type_of(self._kind)
        return self._operation(
            "post",
            self._name("create", title or self._title),
            "post",
            about or f"Creates {article(self._resource.kind)}.",
            _options("CreateOptions"),
            {OK: of, CREATED: of, ACCEPTED: of},
            of=own,
            body=of,
            named=named,
        )

    def _replace(self, title: str, of: str, about: str, own: Mapping[str, str] | None = None) -> Operation:
        parameters = _options("UpdateOptions")
        answers = {OK: of, CREATED: of}
        name = self._name("replace", title)
        return self._operation("put", name, "put", about, parameters, answers, of=own, body=of)

    def _patch(self, title: str, of: str, about: str, own: Mapping[str, str] | None = None) -> Operation:
        forms = PATCHES if self._kind.model.strategic else [one for one in PATCHES if "strategic" not in one]
        return self._operation(
            "patch",
            self._name("patch", title),
            "patch",
            about,
            _options("PatchOptions"),
            {OK: of, CREATED: of},
            of=own,
            body=PATCH,
            consumes=tuple(forms),
        )


def _everywhere(operation: Operation) -> Operation:
    """The operation without a namespace."""
    return replace(operation, parameters=tuple(one for one in operation.parameters if one is not NAMESPACE))


def _watched(path: str) -> str:
    """`/apis/apps/v1/watch/deployments` for `/apis/apps/v1/deployments`."""
    depth = 3 if path.startswith("/api/") else 4
    parts = path.split("/")
    return "/".join([*parts[:depth], "watch", *parts[depth:]])


def of_kind(kind: Kind) -> Operations:
    """What can be asked at the paths of a kind."""
    return Described(kind).operations()
