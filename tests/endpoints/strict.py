"""A strict double of a real cluster's API server: our own server behind a gate that refuses all that one may refuse.

Rights are those of kube-controller-manager's roles and no more, lists come in pages of three, every write is checked
strictly for fields that do not exist, watches begin with a list only if asked for a modern server, bodies are JSON.
What a client may not do at all is noted in `wrongs`; every request with its body in `record`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from fairlead.client.api import Api
from fairlead.client.credentials import tls_context
from fairlead.client.kubeconfig import Config
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.rbac_v1 import (
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from fairlead.objects.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES
from fairlead.process import listener
from tests.client.cluster import api_server

USER = "system:serviceaccount:kube-system:fairlead-endpoints"
TOKEN = "of-the-controllers"
PAGE = 3
CORE, DISCOVERY = "", "discovery.k8s.io"
RULES = (
    (CORE, "get list watch", "services pods nodes endpoints"),
    (CORE, "create update delete", "endpoints"),
    (CORE, "create", "endpoints/restricted"),
    (CORE, "update", "services/finalizers endpoints/finalizers"),
    (DISCOVERY, "get list create update delete", "endpointslices"),
    (CORE, "create patch update", "events"),
    (DISCOVERY, "watch", "endpointslices"),
)
"""The roles of the three controllers (bootstrappolicy/controller_policy.go), and the right to watch what they write,
which upstream's have as kube-controller-manager."""

KNOWN = {
    "GET": {
        *("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch"),
        *("watch", "allowWatchBookmarks", "timeoutSeconds", "sendInitialEvents"),
    }
}
"""Query parameters that kube-apiserver has for what the controllers do (metav1.ListOptions); writes need none."""


@dataclass(frozen=True)
class Sent:
    """One request, and the code of its answer."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    code: int


@dataclass
class Gate:
    """Between the controllers and the server. `modern`: as Kubernetes 1.36 rather than as 1.21."""

    config: Config
    modern: bool
    record: list[Sent] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)

    def sent(self, method: str, part: str) -> list[Sent]:
        """The requests with that method to paths with that part in them."""
        return [each for each in self.record if each.method == method and part in each.path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        content = json.loads(body) if body else None
        self._check(request, content)
        query = dict(request.query)
        if "sendInitialEvents" in query and not self.modern:
            return self._refuse(request, content, 422, "sendInitialEvents is forbidden for watch")
        if request.method == "GET" and "watch" not in query and "limit" in query:
            query["limit"] = str(min(int(query["limit"]), PAGE))
            if query.get("resourceVersion") == "0":
                del query["resourceVersion"]  # a server may answer such a list whole, or newer, or in pages
        if request.method in ("POST", "PUT", "PATCH"):
            query["fieldValidation"] = "Strict"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                f"{self.config.server}{request.path}",
                params=query,
                data=body or None,
                headers={n: v for n, v in request.headers.items() if n not in ("Host", "Content-Length")},
                ssl=tls_context(self.config),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as theirs,
        ):
            self.record.append(
                Sent(request.method, request.path, dict(request.query), content, theirs.status)
            )
            if theirs.status in (400, 415, 422) or (
                theirs.status == 403 and "NamespaceTerm" not in str(body)
            ):
                self.wrongs.append(
                    f"{theirs.status} to {request.method} {request.path}: {await theirs.text()}"
                )
            ours = web.StreamResponse(status=theirs.status, headers={"Content-Type": theirs.content_type})
            await ours.prepare(request)
            async for chunk in theirs.content.iter_any():
                await ours.write(chunk)
            return ours

    def _check(self, request: web.Request, content: Any) -> None:
        """What no server has to understand."""

        def wrong(what: str) -> None:
            self.wrongs.append(f"{request.method} {request.path}: {what}")

        if unknown := set(request.query) - KNOWN.get(request.method, set()):
            wrong(f"the query has {sorted(unknown)}")
        if "application/json" not in request.headers.get("Accept", ""):
            wrong("takes no JSON")
        if content is None:
            return
        kinds = {"PATCH": ("application/merge-patch+json", "application/strategic-merge-patch+json")}
        if request.content_type not in kinds.get(request.method, ("application/json",)):
            wrong(f"a body of {request.content_type}")
        meta = content.get("metadata", {})
        if request.method == "POST" and (meta.get("uid") or meta.get("resourceVersion")):
            wrong("a new object with a uid or a resourceVersion")
        if request.method == "PUT" and not meta.get("resourceVersion"):
            wrong("an update of whatever there is")
        if meta.get("managedFields"):
            wrong("managedFields are not ours to write")
        if request.method in ("POST", "PUT") and not (content.get("kind") and content.get("apiVersion")):
            wrong("an object that does not say what it is")

    def _refuse(self, request: web.Request, content: Any, code: int, message: str) -> web.Response:
        self.record.append(Sent(request.method, request.path, dict(request.query), content, code))
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
        return web.json_response(status, status=code)


@asynccontextmanager
async def strict(folder: Path, *, modern: bool) -> AsyncIterator[tuple[Config, Api, Gate]]:
    """What the controllers log in with, a client that may do anything, and the gate."""
    async with AsyncExitStack() as stack:
        config = await stack.enter_async_context(api_server(folder, others=f"{TOKEN},{USER},2\n"))
        admin = await stack.enter_async_context(Api(config))
        await permit(admin)
        gate = Gate(config, modern)
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", gate.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        sock = listener("127.0.0.1", 0)
        await web.SockSite(runner, sock).start()
        server = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield replace(config, server=server, token=TOKEN, authority=b""), admin, gate


async def permit(admin: Api) -> None:
    """The rights that docs/endpoints.md asks for."""
    subject = (Subject(kind="ServiceAccount", name="fairlead-endpoints", namespace="kube-system"),)

    def role(kind: str, name: str) -> RoleRef:
        return RoleRef(apiGroup="rbac.authorization.k8s.io", kind=kind, name=name)

    rules = tuple(
        PolicyRule(apiGroups=(group,), verbs=tuple(verbs.split()), resources=tuple(resources.split()))
        for group, verbs, resources in RULES
    )
    meta = ObjectMeta(name="fairlead-endpoints")
    await admin.create(CLUSTERROLES, ClusterRole(metadata=meta, rules=rules))
    binding = ClusterRoleBinding(metadata=meta, subjects=subject, roleRef=role("ClusterRole", meta.name))
    await admin.create(CLUSTERROLEBINDINGS, binding)
    meta = ObjectMeta(name="fairlead-endpoints", namespace="kube-system")
    leases = PolicyRule(
        apiGroups=("coordination.k8s.io",), resources=("leases",), verbs=("get", "create", "update")
    )
    await admin.create(ROLES, Role(metadata=meta, rules=(leases,)))
    await admin.create(
        ROLEBINDINGS, RoleBinding(metadata=meta, subjects=subject, roleRef=role("Role", meta.name))
    )
