"""What nodes may do: by which objects their pods refer to, and by what they write."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from fairlead.apiserver.access import noderestriction
from fairlead.apiserver.access.bootstrappolicy import NODE_RULES
from fairlead.apiserver.access.nodeauthorizer import NodeAuthorizer
from fairlead.apiserver.access.podreferences import PodReferences
from fairlead.apiserver.access.rules import Attributes
from fairlead.apiserver.access.users import User
from fairlead.apiserver.certificates import make_authority
from fairlead.objects import fieldselectors
from tests.apiserver.serving import Client, pod, with_server

N1 = User("system:node:n1", groups=("system:nodes", "system:authenticated"))

BOUND = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "robot",
        "imagePullSecrets": [{"name": "registry"}],
        "containers": [
            {
                "name": "c",
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "env-config", "key": "k"}}},
                ],
                "envFrom": [{"secretRef": {"name": "all-secret"}}, {"configMapRef": {"name": "all-config"}}],
            }
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume-secret"}},
            {"name": "b", "configMap": {"name": "volume-config"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {
                "name": "d",
                "projected": {
                    "sources": [
                        {"secret": {"name": "projected-secret"}},
                        {"configMap": {"name": "projected-config"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]
                },
            },
            {"name": "e", "rbd": {"secretRef": {"name": "driver-secret"}}},
            {"name": "f", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi-secret"}}},
            {"name": "g", "emptyDir": {}},
        ],
    },
}


def stored(obj: Any) -> bytes:
    return msgspec.json.encode(obj)


def known(*pods: Any) -> PodReferences:
    references = PodReferences()
    for one in pods:
        meta = one["metadata"]
        references.told(f"/pods/{meta['namespace']}/{meta['name']}", stored(one))
    return references


def wish(text: str, fields: str = "") -> Attributes:
    """`get secrets shop/a`, `update nodes/status n1`, `list pods shop/`."""
    verb, combined, *rest = text.split()
    resource, _, subresource = combined.partition("/")
    resource, _, group = resource.partition(".")
    namespace, _, name = rest[0].rpartition("/") if rest else ("", "", "")
    return Attributes(
        verb, group, resource, subresource, namespace, name, selector=fieldselectors.parse(fields)
    )


MINE = "no relationship found between node 'n1' and this object"
VERDICTS: dict[str, str | None] = {
    **{
        f"get {plural} shop/{name}": None
        for plural, names in {
            "secrets": "registry env-secret all-secret volume-secret projected-secret driver-secret csi-secret",
            "configmaps": "env-config all-config volume-config projected-config",
            "persistentvolumeclaims": "claim web-scratch",
            "pods": "web",
        }.items()
        for name in names.split()
    },
    "watch secrets shop/env-secret": None,
    "get secrets shop/other": MINE,
    "get secrets other/env-secret": MINE,
    "list secrets shop/": "No Object name found",
    "list secrets": "can only read namespaced object of this type",
    "update secrets shop/env-secret": "can only read resources of this type",
    "get configmaps/status shop/env-config": "cannot read subresource",
    "list persistentvolumeclaims shop/claim": "can only get individual resources of this type",
    "patch persistentvolumeclaims/status shop/claim": None,
    "patch persistentvolumeclaims/status shop/other": MINE,
    "create serviceaccounts/token shop/robot": None,
    "create serviceaccounts/token shop/other": MINE,
    "get serviceaccounts shop/robot": None,
    "get serviceaccounts shop/other": MINE,
    "list serviceaccounts shop/": "can only create tokens for individual service accounts",
    "create serviceaccounts shop/": "can only create tokens for individual service accounts",
    "get pods shop/other": MINE,
    "list pods": "can only list/watch pods with spec.nodeName field selector",
    "list pods shop/web": None,
    "delete pods shop/any": None,
    "update pods shop/web": "",
    "patch pods/status shop/web": None,
    "create pods/eviction shop/web": None,
    "create pods/binding shop/web": "",
    "get nodes n1": None,
    "get nodes n2": "node 'n1' cannot read 'n2', only its own Node object",
    "list nodes": "node 'n1' cannot read all nodes, only its own Node object",
    "patch nodes/status n1": None,
    "delete nodes n1": "",
    "get leases.coordination.k8s.io kube-node-lease/n1": None,
    "update leases.coordination.k8s.io kube-node-lease/n2": "can only access node lease with the same name as the "
    "requesting node",
    "create leases.coordination.k8s.io kube-node-lease/": None,
    "get leases.coordination.k8s.io kube-system/n1": 'can only access leases in the "kube-node-lease" system namespace',
    "list leases.coordination.k8s.io kube-node-lease/": "can only get, create, update, patch, or delete a node lease",
    "list services": None,
    "create events shop/": None,
    "list endpointslices.discovery.k8s.io": "",
    "delete services shop/web": "",
}


@pytest.mark.parametrize("text", VERDICTS)
def test_a_node_sees_what_its_pods_need(text: str) -> None:
    verdict = NodeAuthorizer(known(BOUND), NODE_RULES).verdict(N1, wish(text))
    assert (verdict.allowed, verdict.reason) == (VERDICTS[text] is None, VERDICTS[text] or "")


def test_lists_of_pods_are_for_the_nodes_own() -> None:
    nodes = NodeAuthorizer(known(BOUND), NODE_RULES)
    for fields, allowed in (
        ("spec.nodeName=n1", True),
        ("spec.nodeName=n1,status.phase=Running", True),
        ("spec.nodeName=n2", False),
        ("spec.nodeName!=n2", False),
        ("status.phase=Running", False),
    ):
        for verb in ("list", "watch"):
            assert nodes.verdict(N1, wish(f"{verb} pods", fields)).allowed is allowed, (verb, fields)


def test_who_is_no_node_is_no_business_of_the_node_authorizer() -> None:
    nodes = NodeAuthorizer(known(BOUND), NODE_RULES)
    for user, reason in (
        (User("system:node:n1", groups=("system:authenticated",)), ""),
        (User("alice", groups=("system:nodes",)), ""),
        (User("system:node:", groups=("system:nodes",)), 'unknown node for user "system:node:"'),
        (
            User("system:node:n2", groups=("system:nodes",)),
            "node 'n2' cannot read 'n1', only its own Node object",
        ),
    ):
        verdict = nodes.verdict(user, wish("get nodes n1"))
        assert (verdict.allowed, verdict.reason) == (False, reason)


def test_what_a_pod_gave_goes_with_it() -> None:
    references, key = known(BOUND), "/pods/shop/web"
    secret = ("secrets", "shop", "env-secret")
    assert references.bound("n1", secret)
    references.told(
        "/pods/shop/twin", stored(BOUND | {"metadata": {"name": "twin", "namespace": "shop", "uid": "u2"}})
    )
    references.told(key, None)
    assert references.bound("n1", secret)
    references.told("/pods/shop/twin", None)
    assert not references.bound("n1", secret)
    references.told(key, stored(BOUND))
    moved = {"metadata": {**BOUND["metadata"], "uid": "u3"}, "spec": {"nodeName": "n2"}}  # type: ignore[dict-item]
    references.told(key, stored(moved))
    assert not references.bound("n1", ("pods", "shop", "web"))
    assert references.bound("n2", ("pods", "shop", "web"))
    added = {**moved["spec"], "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "late"}}]}]}
    references.told(key, stored({**moved, "spec": added}))
    assert references.bound("n2", ("secrets", "shop", "late"))
    mirror = {**BOUND, "metadata": {**BOUND["metadata"], "annotations": {"kubernetes.io/config.mirror": "x"}}}  # type: ignore[dict-item]
    references.told(key, None)
    references.told(key, stored(mirror))
    assert references.bound("n1", ("pods", "shop", "web"))
    assert not references.bound("n1", secret)


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("kubernetes.io/hostname", True),
        ("topology.kubernetes.io/zone", True),
        ("node.kubernetes.io/anything", True),
        ("x.kubelet.kubernetes.io/anything", True),
        ("example.com/anything", True),
        ("plain", True),
        ("node-restriction.kubernetes.io/tier", False),
        ("x.node-restriction.kubernetes.io/tier", False),
        ("node-role.kubernetes.io/control-plane", False),
        ("kubernetes.io/anything", False),
        ("x.k8s.io/anything", False),
    ],
)
def test_labels_that_a_node_may_give_itself(label: str, allowed: bool) -> None:
    assert noderestriction.is_a_nodes(label) is allowed
    assert noderestriction.forbidden_labels({label: "1"}, {label: "2"}) == ([] if allowed else [label])
    assert noderestriction.forbidden_labels({label: "1"}, {label: "1"}) == []


# ---- against the server


def node(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def as_node(client: Client, directory: Path, name: str) -> aiohttp.ClientSession:
    """A session with the certificate of a node."""
    certificate, key = make_authority(directory).know(f"system:node:{name}", ("system:nodes",))
    path = directory / f"{name}.pem"
    path.write_bytes(certificate + key)
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.load_cert_chain(path)
    return aiohttp.ClientSession(client.session._base_url, connector=aiohttp.TCPConnector(ssl=context))


PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MERGE = {"headers": {"Content-Type": "application/merge-patch+json"}}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n2"}, "spec": {}}
CLAIMING = {"apiVersion": "v1", "kind": "Pod", "name": "hers"}

RESTRICTED: dict[str, tuple[str, str, Any, str]] = {
    "another's Node": (
        "PATCH",
        "/api/v1/nodes/n2",
        {"metadata": {"annotations": {"a": "b"}}},
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    ),
    "another's Node's status": (
        "PATCH",
        "/api/v1/nodes/n2/status",
        {"status": {"phase": "x"}},
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    ),
    "a new Node": (
        "POST",
        "/api/v1/nodes",
        node("n3"),
        'nodes "n3" is forbidden: node "n1" is not allowed to modify node "n3"',
    ),
    "its taints": (
        "PATCH",
        "/api/v1/nodes/n1",
        {"spec": {"taints": None}},
        'nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
    ),
    "its taints, through its status": (
        "PATCH",
        "/api/v1/nodes/n1/status",
        {"spec": {"taints": None}},
        'nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
    ),
    "its owners": (
        "PATCH",
        "/api/v1/nodes/n1",
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "y"}]}},
        'nodes "n1" is forbidden: node "n1" is not allowed to modify ownerReferences',
    ),
    "a label of its role": (
        "PATCH",
        "/api/v1/nodes/n1",
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "mine": "1"}}},
        'nodes "n1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/control-plane',
    ),
    "another's Lease": (
        "POST",
        LEASES,
        LEASE,
        'leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting '
        "node",
    ),
    "another's pod's status": (
        "PATCH",
        f"{PODS}/hers/status",
        {"status": {"phase": "Failed"}},
        'pods "hers" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself',
    ),
    "labels of its pod": (
        "PATCH",
        f"{PODS}/its/status",
        {"metadata": {"labels": {"app": "other"}}},
        'pods "its" is forbidden: node "n1" cannot update labels through pod status',
    ),
    "another's pod": (
        "DELETE",
        f"{PODS}/hers",
        None,
        'pods "hers" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself',
    ),
    "another's pod, evicted": (
        "POST",
        f"{PODS}/hers/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "hers"}},
        'pods "hers" is forbidden: node n1 can only evict pods with spec.nodeName set to itself',
    ),
    "a pod of its own making": (
        "POST",
        PODS,
        pod("new"),
        'pods "new" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only '
        "create mirror pods",
    ),
    "a token for nothing": (
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        'serviceaccounts "default" is forbidden: node requested token not bound to a pod',
    ),
    "a token for another's pod": (
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"boundObjectRef": CLAIMING | {"uid": "UID"}},
        },
        'serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different node',
    ),
}


def test_a_node_writes_what_is_its_own(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/nodes", node("n2"))
        uids = {}
        for name, on in (("its", "n1"), ("hers", "n2")):
            body = pod(name)
            body["spec"]["nodeName"] = on
            uids[name] = (await client.create(PODS, body))["metadata"]["uid"]
        async with as_node(client, tmp_path, "n1") as session:
            agent = Client(session, client.server)
            await agent.create("/api/v1/nodes", node("n1", **{"kubernetes.io/hostname": "n1"}))
            taint = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
            assert (await client.patch("/api/v1/nodes/n1", taint))[0] == 200
            for name, (method, path, body, message) in RESTRICTED.items():
                if isinstance(body, dict) and body.get("kind") == "TokenRequest" and body["spec"]:
                    body = body | {"spec": {"boundObjectRef": CLAIMING | {"uid": uids["hers"]}}}
                options = MERGE if method == "PATCH" else {}
                status, said = await agent.ask(method, path, body, **options)
                assert (status, said.get("reason"), said.get("message")) == (403, "Forbidden", message), name
            status, said = await agent.ask("GET", "/api/v1/namespaces/default/secrets/x")
            assert (status, said["message"]) == (
                403,
                'secrets "x" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the '
                f'namespace "default": {MINE}',
            )
            assert (await agent.patch("/api/v1/nodes/n1", {"metadata": {"labels": {"mine": "1"}}}))[0] == 200
            assert (await agent.patch("/api/v1/nodes/n1/status", {"status": {"phase": "Running"}}))[0] == 200
            await agent.create(LEASES, LEASE | {"metadata": {"name": "n1"}})
            assert (await agent.patch(f"{PODS}/its/status", {"status": {"phase": "Running"}}))[0] == 200
            token = await agent.create(
                "/api/v1/namespaces/default/serviceaccounts/default/token",
                {
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenRequest",
                    "spec": {"boundObjectRef": CLAIMING | {"name": "its", "uid": uids["its"]}},
                },
            )
            assert token["status"]["token"]
            listed = await agent.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")
            assert [one["metadata"]["name"] for one in listed["items"]] == ["its"]
            assert (await agent.ask("DELETE", f"{PODS}/its?gracePeriodSeconds=0"))[0] == 200

    with_server(tmp_path, test)


def test_a_binding_tells_the_authorizer_of_what_the_pod_needs(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
        await client.create("/api/v1/namespaces/default/secrets", secret)
        body = pod("web")
        body["spec"]["imagePullSecrets"] = [{"name": "key"}]
        await client.create(PODS, body)
        async with as_node(client, tmp_path, "n1") as session:
            agent = Client(session, client.server)
            path = "/api/v1/namespaces/default/secrets/key"
            assert (await agent.ask("GET", path))[0] == 403
            target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}, "target": target}
            await client.create(f"{PODS}/web/binding", binding)
            await agent.until(path, lambda status, _: status == 200)
            await client.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
            await agent.until(path, lambda status, _: status == 403)

    with_server(tmp_path, test)


def test_a_nodes_rules_cannot_be_told_as_a_list(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with as_node(client, tmp_path, "n1") as session:
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": "default"},
            }
            path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
            status = (await Client(session, client.server).create(path, review))["status"]
            assert status["incomplete"] is True
            assert status["evaluationError"] == "node authorizer does not support user rule resolution"

    with_server(tmp_path, test)
