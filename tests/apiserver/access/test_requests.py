"""Requests of users who may do something, and not everything, against a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.apiserver.access.gate import AccessConfig
from tests.apiserver.serving import TOKEN, Client, config_map, pod, with_server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "rbac.authorization.k8s.io"


def role_of(name: str, *rules: dict[str, Any], kind: str = "ClusterRole", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, **more.pop("metadata", {})},
        "rules": list(rules),
        **more,
    }


def may(verbs: str, resources: str = "", group: str = "", **more: Any) -> dict[str, Any]:
    if not resources:
        return {"verbs": verbs.split(), **more}
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def binding_of(
    name: str, role: str, user: str, kind: str = "ClusterRoleBinding", of: str = "ClusterRole"
) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"kind": of, "name": role},
        "subjects": [{"kind": "User", "name": user}],
    }


def users(directory: Path) -> dict[str, Any]:
    """A server that knows alice and bob, who have no rights yet, by their names as tokens."""
    (directory / "users.csv").write_text(
        f'{TOKEN},admin,1,"system:masters"\nalice,alice,2,"team"\nbob,bob,3\n'
    )
    return {"tokens": directory / "users.csv"}


def by(user: str, **more: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {user}", **more}}


async def grant(client: Client, user: str, *rules: dict[str, Any]) -> None:
    """Lets a user do this, and waits until the server knows."""
    await client.create(f"{RBAC}/clusterroles", role_of(f"of-{user}", *rules))
    await client.create(f"{RBAC}/clusterrolebindings", binding_of(f"to-{user}", f"of-{user}", user))
    await known(client, user, rules[0])


async def known(client: Client, user: str, rule: dict[str, Any], namespace: str = "") -> None:
    """Waits until the server knows that a user has a rule, in a namespace or everywhere."""
    if urls := rule.get("nonResourceURLs"):
        asked: dict[str, Any] = {"nonResourceAttributes": {"verb": rule["verbs"][0], "path": urls[0]}}
    else:
        resource, _, part = rule["resources"][0].partition("/")
        attributes = {
            "namespace": namespace,
            "verb": rule["verbs"][0],
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": part,
            "name": rule.get("resourceNames", [""])[0],
        }
        asked = {"resourceAttributes": attributes}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    while True:
        answer = await client.create(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews", review | {"spec": {"user": user, **asked}}
        )
        if answer["status"]["allowed"]:
            return


REFUSALS = {
    "a list in a namespace": (
        ("GET", MAPS),
        'configmaps is forbidden: User "alice" cannot list resource "configmaps" in API group "" in the namespace '
        '"default"',
    ),
    "a watch everywhere": (
        ("GET", "/api/v1/pods?watch=1"),
        'pods is forbidden: User "alice" cannot watch resource "pods" in API group "" at the cluster scope',
    ),
    "one object": (
        ("GET", "/apis/apps/v1/namespaces/x/deployments/web"),
        'deployments.apps "web" is forbidden: User "alice" cannot get resource "deployments" in API group "apps" in '
        'the namespace "x"',
    ),
    "a part of an object": (
        ("PATCH", "/api/v1/namespaces/x/pods/web/status"),
        'pods "web" is forbidden: User "alice" cannot patch resource "pods/status" in API group "" in the namespace '
        '"x"',
    ),
    "a namespace": (
        ("GET", "/api/v1/namespaces/x"),
        'namespaces "x" is forbidden: User "alice" cannot get resource "namespaces" in API group "" in the namespace '
        '"x"',
    ),
    "a list of one name": (
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1"),
        'nodes "n1" is forbidden: User "alice" cannot list resource "nodes" in API group "" at the cluster scope',
    ),
    "all of a kind at once": (
        ("DELETE", MAPS),
        'configmaps is forbidden: User "alice" cannot deletecollection resource "configmaps" in API group "" in the '
        'namespace "default"',
    ),
    "a kind that there is not": (
        ("GET", "/apis/a.b/v1/things"),
        'things.a.b is forbidden: User "alice" cannot list resource "things" in API group "a.b" at the cluster scope',
    ),
    "a path": (("GET", "/metrics"), 'forbidden: User "alice" cannot get path "/metrics"'),
    "a path, written": (("POST", "/healthz"), 'forbidden: User "alice" cannot post path "/healthz"'),
}


def test_refusals_are_worded_as_upstream(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name, ((method, path), message) in REFUSALS.items():
            status, said = await client.ask(method, path, **by("alice"))
            assert (status, said.get("reason"), said.get("message")) == (403, "Forbidden", message), name
        status, said = await client.ask("GET", "/apis/apps/v1/namespaces/x/deployments/web", **by("alice"))
        assert said["details"] == {"name": "web", "group": "apps", "kind": "deployments"}

    with_server(tmp_path, test, **users(tmp_path))


def test_who_is_known_may_discover_and_ask_what_he_may(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for path in ("/api", "/apis", "/apis/apps/v1", "/api/v1", "/openapi/v3", "/version", "/readyz"):
            assert (await client.ask("GET", path, **by("bob")))[0] == 200, path
        reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        status, answer = await client.ask("POST", reviews, review, **by("alice"))
        assert status == 201
        info = {"username": "alice", "uid": "2", "groups": ["team", "system:authenticated"]}
        assert answer["status"]["userInfo"] == info

    with_server(tmp_path, test, **users(tmp_path))


def test_rights_come_and_go_with_bindings(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await grant(client, "alice", may("get list", "configmaps"))
        assert (await client.ask("GET", MAPS, **by("alice")))[0] == 200
        assert (await client.ask("POST", MAPS, config_map(), **by("alice")))[0] == 403
        assert (await client.ask("GET", MAPS, **by("bob")))[0] == 403
        await client.ask("DELETE", f"{RBAC}/clusterrolebindings/to-alice")
        while (await client.ask("GET", MAPS, **by("alice")))[0] != 403:
            pass

    with_server(tmp_path, test, **users(tmp_path))


def test_a_put_or_an_apply_that_creates_takes_the_right_to_create(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/services/web"
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 80}]},
        }
        await grant(client, "alice", may("update patch get", "services configmaps"))
        status, said = await client.ask("PUT", path, body, **by("alice"))
        assert (status, said["message"]) == (
            403,
            'services "web" is forbidden: User "alice" cannot create resource "services" in API group "" in the '
            'namespace "default"',
        )
        apply = {"Content-Type": "application/apply-patch+yaml"}
        asked = f"{MAPS}/settings?fieldManager=me"
        assert (await client.ask("PATCH", asked, config_map(), **by("alice", **apply)))[0] == 403
        assert (await client.ask("PATCH", asked, config_map(), headers=apply))[0] == 201
        assert (await client.ask("PATCH", asked, config_map(), **by("alice", **apply)))[0] == 200

    with_server(tmp_path, test, **users(tmp_path))


ESCALATIONS: dict[str, tuple[str, str, Any, str]] = {
    "a role with more than one has": (
        "POST",
        f"{RBAC}/clusterroles",
        role_of("more", may("get list watch", "configmaps")),
        'clusterroles.rbac.authorization.k8s.io "more" is forbidden: user "alice" '
        '(groups=["team" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["watch"]}',
    ),
    "a binding of a role with more": (
        "POST",
        f"{RBAC}/namespaces/default/rolebindings",
        binding_of("more", "view", "alice", "RoleBinding"),
        'rolebindings.rbac.authorization.k8s.io "more" is forbidden: user "alice" '
        '(groups=["team" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["bindings"], Verbs:["get" "list" "watch"]}\n',
    ),
    "a binding of no role": (
        "POST",
        f"{RBAC}/clusterrolebindings",
        binding_of("more", "nothing", "alice"),
        'clusterroles.rbac.authorization.k8s.io "nothing" not found',
    ),
    "a role that gathers others": (
        "POST",
        f"{RBAC}/clusterroles",
        role_of("all", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}),
        'clusterroles.rbac.authorization.k8s.io "all" is forbidden: must have cluster-admin privileges to use the '
        "aggregationRule",
    ),
    "another's role, changed": (
        "PATCH",
        f"{RBAC}/clusterroles/of-alice",
        {"rules": [may("*", "*", "*")]},
        'clusterroles.rbac.authorization.k8s.io "of-alice" is forbidden: user "alice" '
        '(groups=["team" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
    ),
}


def test_nobody_grants_what_he_does_not_have(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await grant(
            client,
            "alice",
            may("get list", "configmaps"),
            may("create update patch get", "clusterroles clusterrolebindings rolebindings roles", GROUP),
        )
        for name, (method, path, body, message) in ESCALATIONS.items():
            kind = "merge-patch+json" if method == "PATCH" else "json"
            headers = by("alice", **{"Content-Type": f"application/{kind}"})
            status, said = await client.ask(method, path, body, **headers)
            assert status == (404 if message.endswith("not found") else 403), (name, said)
            assert said["message"].startswith(message), (name, said)
        less = role_of("less", may("get", "configmaps"))
        assert (await client.ask("POST", f"{RBAC}/clusterroles", less, **by("alice")))[0] == 201
        lent = binding_of("less", "less", "bob")
        while (await client.ask("POST", f"{RBAC}/clusterrolebindings", lent, **by("alice")))[0] == 404:
            pass  # the server has not read of the role yet

    with_server(tmp_path, test, **users(tmp_path))


def test_who_may_escalate_or_bind_grants_all_the_same(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await grant(client, "alice", may("create escalate", "roles", GROUP))
        all_of_it = role_of("all", may("*", "*", "*"), kind="Role")
        path = f"{RBAC}/namespaces/default/roles"
        assert (await client.ask("POST", path, all_of_it, **by("alice")))[0] == 201
        await grant(
            client,
            "bob",
            may("bind", "clusterroles", GROUP, resourceNames=["view"]),
            may("create", "rolebindings", GROUP),
        )
        path = f"{RBAC}/namespaces/default/rolebindings"
        for role, expected in (("view", 201), ("edit", 403)):
            lent = binding_of(role, role, "carol", "RoleBinding")
            assert (await client.ask("POST", path, lent, **by("bob")))[0] == expected

    with_server(tmp_path, test, **users(tmp_path))


def test_a_role_gathers_the_rules_of_others(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = f"{RBAC}/clusterroles/all"
        selector = {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}]}
        await client.create(f"{RBAC}/clusterroles", role_of("all", aggregationRule=selector))
        for name, verb in (("b", "list"), ("a", "get"), ("c", "get")):
            labels = {"labels": {"part": "yes"}}
            await client.create(
                f"{RBAC}/clusterroles", role_of(name, may(verb, "configmaps"), metadata=labels)
            )
        gathered = [may("get", "configmaps"), may("list", "configmaps")]
        await client.until(path, lambda _, role: role.get("rules") == gathered)
        await client.ask("DELETE", f"{RBAC}/clusterroles/b")
        await client.until(path, lambda _, role: role.get("rules") == gathered[:1])
        admin = await client.get(f"{RBAC}/clusterroles/admin")
        assert may("get list watch", "endpointslices", "discovery.k8s.io") in admin["rules"]
        edit = role_of("more", may("get", "tigers", "zoo"))
        edit["metadata"]["labels"] = {f"{GROUP}/aggregate-to-view": "true"}
        await client.create(f"{RBAC}/clusterroles", edit)
        await client.until(
            f"{RBAC}/clusterroles/admin", lambda _, role: may("get", "tigers", "zoo") in role["rules"]
        )

    with_server(tmp_path, test, **users(tmp_path))


def test_the_default_roles_are_brought_up_to_date_at_start(tmp_path: Path) -> None:
    note = f"{GROUP[: -len('k8s.io')]}kubernetes.io/autoupdate"

    async def change(client: Client) -> None:
        await client.patch(f"{RBAC}/clusterroles/system:discovery", {"rules": [may("get", "cats", "zoo")]})
        guarded = {"metadata": {"annotations": {note: "false"}}, "rules": []}
        await client.patch(f"{RBAC}/clusterroles/system:basic-user", guarded)
        await client.ask("DELETE", f"{RBAC}/clusterroles/system:node")
        await client.patch(f"{RBAC}/clusterrolebindings/system:discovery", {"subjects": None})

    async def look(client: Client) -> None:
        discovery = await client.get(f"{RBAC}/clusterroles/system:discovery")
        assert may("get", "cats", "zoo") in discovery["rules"]
        assert any(rule.get("nonResourceURLs") == ["/api"] for rule in discovery["rules"])
        assert "rules" not in await client.get(f"{RBAC}/clusterroles/system:basic-user")
        assert (await client.get(f"{RBAC}/clusterroles/system:node"))["rules"]
        bound = await client.get(f"{RBAC}/clusterrolebindings/system:discovery")
        assert bound["subjects"] == [{"kind": "Group", "apiGroup": GROUP, "name": "system:authenticated"}]

    with_server(tmp_path, change, **users(tmp_path))
    with_server(tmp_path, look, **users(tmp_path))


IMPERSONATIONS: dict[str, tuple[dict[str, str], int, Any]] = {
    "a user": (
        {"Impersonate-User": "carol"},
        201,
        {"username": "carol", "groups": ["system:authenticated"]},
    ),
    "with groups, a uid and more": (
        {
            "Impersonate-User": "carol",
            "Impersonate-Group": "friends",
            "Impersonate-Uid": "7",
            "Impersonate-Extra-Acme.com%2FScope": "all",
        },
        201,
        {
            "username": "carol",
            "uid": "7",
            "groups": ["friends", "system:authenticated"],
            "extra": {"acme.com/scope": ["all"]},
        },
    ),
    "a ServiceAccount": (
        {"Impersonate-User": "system:serviceaccount:shop:robot"},
        201,
        {
            "username": "system:serviceaccount:shop:robot",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
        },
    ),
    "nobody": (
        {"Impersonate-Group": "friends"},
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"friends"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name",
    ),
    "a group that he may not": (
        {"Impersonate-User": "carol", "Impersonate-Group": "system:masters"},
        403,
        'groups "system:masters" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" at '
        "the cluster scope",
    ),
}


def test_who_may_impersonate_acts_in_the_name_of_another(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await grant(
            client,
            "alice",
            may("impersonate", "users serviceaccounts"),
            may("impersonate", "groups", resourceNames=["friends"]),
            may("impersonate", "userextras/acme.com/scope uids", "authentication.k8s.io"),
        )
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        for name, (headers, expected, said) in IMPERSONATIONS.items():
            status, answer = await client.ask("POST", path, review, **by("alice", **headers))
            assert status == expected, (name, answer)
            assert said == (answer["status"]["userInfo"] if status == 201 else answer["message"]), name
        status, said = await client.ask("GET", MAPS, **by("bob", **{"Impersonate-User": "admin"}))
        assert (status, said["message"]) == (
            403,
            'configmaps is forbidden: User "bob" cannot impersonate-on:user-info:list resource "configmaps" in API '
            'group "" in the namespace "default"',
        )

    with_server(tmp_path, test, **users(tmp_path))


CONSTRAINED: dict[str, tuple[str, dict[str, str], int, str]] = {
    "what he may do for her": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "carol"},
        403,
        "carol",
    ),
    "what he may not do for her": (
        "/api/v1/namespaces/default/secrets",
        {"Impersonate-User": "carol"},
        403,
        'secrets is forbidden: User "alice" cannot impersonate-on:user-info:list resource "secrets" in API group "" in '
        'the namespace "default"',
    ),
    "somebody else": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "dave"},
        403,
        'users.authentication.k8s.io "dave" is forbidden: User "alice" cannot impersonate:user-info resource "users" '
        'in API group "authentication.k8s.io" at the cluster scope',
    ),
    "as one of the masters": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "carol", "Impersonate-Group": "system:masters"},
        403,
        'groups.authentication.k8s.io "system:masters" is forbidden: User "alice" cannot impersonate:user-info '
        'resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the '
        "system:masters group is not allowed",
    ),
    "with a key of no domain": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "carol", "Impersonate-Extra-Scope": "all"},
        403,
        "impersonating an invalid key in extra is not allowed: extra.key: Invalid value",
    ),
    "a node": ("/api/v1/nodes/n1", {"Impersonate-User": "system:node:n1"}, 404, 'nodes "n1" not found'),
    "a node with groups": (
        "/api/v1/nodes/n1",
        {"Impersonate-User": "system:node:n1", "Impersonate-Group": "a"},
        403,
        'users "system:node:n1" is forbidden: User "alice" cannot impersonate resource "users"',
    ),
    "an account": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "system:serviceaccount:default:robot"},
        403,
        'User "system:serviceaccount:default:robot" cannot list resource "configmaps"',
    ),
    "an account of another namespace": (
        "/api/v1/namespaces/default/configmaps",
        {"Impersonate-User": "system:serviceaccount:shop:robot"},
        403,
        'serviceaccounts.authentication.k8s.io "robot" is forbidden: User "alice" cannot impersonate:serviceaccount '
        'resource "serviceaccounts" in API group "authentication.k8s.io" in the namespace "shop"',
    ),
}


@pytest.mark.parametrize("name", CONSTRAINED)
def test_impersonation_limited_to_some_requests(tmp_path: Path, name: str) -> None:
    """KEP-5284."""
    mine = "authentication.k8s.io"
    rules = (
        may("impersonate-on:user-info:list impersonate-on:serviceaccount:list", "configmaps"),
        may("impersonate-on:arbitrary-node:get", "nodes"),
        may("impersonate:user-info", "users", mine, resourceNames=["carol"]),
        may("impersonate:user-info", "groups userextras/scope", mine),
        may("impersonate:arbitrary-node", "nodes", mine),
    )
    path, headers, status, said = CONSTRAINED[name]

    async def test(client: Client) -> None:
        local = may("impersonate:serviceaccount", "serviceaccounts", mine)
        await client.create(f"{RBAC}/namespaces/default/roles", role_of("local", local, kind="Role"))
        bound = binding_of("local", "local", "alice", "RoleBinding", "Role")
        await client.create(f"{RBAC}/namespaces/default/rolebindings", bound)
        await known(client, "alice", local, "default")
        await grant(client, "alice", *rules)
        got, answer = await client.ask("GET", path, **by("alice", **headers))
        assert got == status, answer
        assert said in answer["message"]

    with_server(tmp_path, test, **users(tmp_path))


def test_a_pods_token_may_act_for_its_node(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        body = pod("agent")
        body["spec"]["nodeName"] = "n1"
        await client.create("/api/v1/namespaces/default/pods", body)
        asked = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "agent"}}
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        token = (await client.create(path, kind | {"spec": asked}))["status"]["token"]
        name = "system:serviceaccount:default:default"
        await grant(
            client,
            name,
            may("impersonate-on:associated-node:get", "nodes"),
            may("impersonate:associated-node", "nodes", "authentication.k8s.io"),
        )
        for node, status in (("n1", 404), ("n2", 403)):
            headers = by(token, **{"Impersonate-User": f"system:node:{node}"})
            assert (await client.ask("GET", f"/api/v1/nodes/{node}", **headers))[0] == status

    with_server(tmp_path, test, **users(tmp_path))


ACCESS: dict[str, tuple[str, dict[str, Any], int, Any]] = {
    "allowed, and why": (
        "subjectaccessreviews",
        {"user": "alice", "resourceAttributes": {"verb": "get", "resource": "configmaps"}},
        201,
        {
            "allowed": True,
            "reason": 'RBAC: allowed by ClusterRoleBinding "to-alice" of ClusterRole "of-alice" to User "alice"',
        },
    ),
    "not allowed": (
        "subjectaccessreviews",
        {"user": "alice", "resourceAttributes": {"verb": "list", "resource": "configmaps"}},
        201,
        {"allowed": False},
    ),
    "by a group": (
        "subjectaccessreviews",
        {"groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/x"}},
        201,
        {"allowed": True},
    ),
    "nobody": (
        "subjectaccessreviews",
        {"resourceAttributes": {"verb": "list", "resource": "configmaps"}},
        422,
        "spec.user: Invalid value",
    ),
    "of a list that is limited": (
        "subjectaccessreviews",
        {
            "user": "system:node:n1",
            "groups": ["system:nodes"],
            "resourceAttributes": {
                "verb": "list",
                "resource": "pods",
                "fieldSelector": {"rawSelector": "spec.nodeName=n1"},
            },
        },
        201,
        {"allowed": True},
    ),
    "of a list that is limited by requirements": (
        "subjectaccessreviews",
        {
            "user": "system:node:n1",
            "groups": ["system:nodes"],
            "resourceAttributes": {
                "verb": "list",
                "resource": "pods",
                "fieldSelector": {
                    "requirements": [
                        {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                        {"key": "x", "operator": "Exists"},
                    ]
                },
            },
        },
        201,
        {
            "allowed": True,
            "evaluationError": "spec.resourceAttributes.fieldSelector partially ignored due to parse error",
        },
    ),
    "with a selector that cannot be read": (
        "subjectaccessreviews",
        {
            "user": "alice",
            "resourceAttributes": {
                "verb": "list",
                "resource": "pods",
                "fieldSelector": {"rawSelector": "a"},
                "labelSelector": {"rawSelector": "a in"},
            },
        },
        201,
        {
            "allowed": False,
            "evaluationError": "spec.resourceAttributes.fieldSelector ignored due to parse error; "
            "spec.resourceAttributes.labelSelector ignored due to parse error",
        },
    ),
    "with an empty selector": (
        "subjectaccessreviews",
        {"user": "alice", "resourceAttributes": {"fieldSelector": {}}},
        422,
        "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
        "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
    ),
    "with a requirement without values": (
        "subjectaccessreviews",
        {
            "user": "alice",
            "resourceAttributes": {"labelSelector": {"requirements": [{"key": "", "operator": "In"}]}},
        },
        422,
        "spec.resourceAttributes.labelSelector.requirements[0].key: Required value: must be specified",
    ),
    "nothing": (
        "subjectaccessreviews",
        {"user": "alice"},
        422,
        "spec.resourceAttributes: Invalid value",
    ),
    "two things": (
        "selfsubjectaccessreviews",
        {"resourceAttributes": {}, "nonResourceAttributes": {}},
        422,
        "spec.nonResourceAttributes: Invalid value",
    ),
}


def test_reviews_of_access(tmp_path: Path) -> None:
    kinds = {
        "subjectaccessreviews": "SubjectAccessReview",
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    }

    async def test(client: Client) -> None:
        await grant(client, "alice", may("get", "configmaps"))
        base = "/apis/authorization.k8s.io/v1"
        for name, (plural, spec, expected, said) in ACCESS.items():
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": kinds[plural], "spec": spec}
            status, answer = await client.ask("POST", f"{base}/{plural}", review)
            assert status == expected, (name, answer)
            if status == 201:
                assert answer["status"] == said, name
            else:
                assert said in answer["message"], name
        local = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": "shop"},
            "spec": {
                "user": "alice",
                "resourceAttributes": {"verb": "get", "resource": "configmaps", "namespace": "shop"},
            },
        }
        at = f"{base}/namespaces/shop/localsubjectaccessreviews"
        assert (await client.create(at, local))["status"]["allowed"]
        status, _ = await client.ask("POST", at.replace("shop", "other"), local)
        assert status == 400
        rules = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": "default"},
        }
        status, answer = await client.ask("POST", f"{base}/selfsubjectrulesreviews", rules, **by("alice"))
        assert {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]} in answer["status"][
            "resourceRules"
        ]
        status, _ = await client.ask("GET", f"{base}/subjectaccessreviews")
        assert status == 405

    with_server(tmp_path, test, **users(tmp_path))


INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "a rule without verbs": (
        "clusterroles",
        role_of("x", {"apiGroups": [""], "resources": ["pods"]}),
        "rules[0].verbs: Required value: verbs must contain at least one value",
    ),
    "a rule without groups": (
        "clusterroles",
        role_of("x", {"verbs": ["get"], "resources": ["pods"]}),
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
    ),
    "a rule without resources": (
        "clusterroles",
        role_of("x", {"verbs": ["get"], "apiGroups": [""]}),
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ),
    "paths in a namespace": (
        "namespaces/default/roles",
        role_of("x", may("get", nonResourceURLs=["/x"]), kind="Role"),
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
    ),
    "paths and resources": (
        "clusterroles",
        role_of("x", may("get", "pods", nonResourceURLs=["/x"])),
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and '
        "non-resource URLs",
    ),
    "nothing to gather": (
        "clusterroles",
        role_of("x", aggregationRule={}),
        "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
        "aggregationRule is non-nil",
    ),
    "a role of a namespace for the cluster": (
        "clusterrolebindings",
        binding_of("x", "y", "z", of="Role"),
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
    ),
    "an account without namespace": (
        "clusterrolebindings",
        binding_of("x", "y", "z") | {"subjects": [{"kind": "ServiceAccount", "name": "a"}]},
        "subjects[0].namespace: Required value",
    ),
    "somebody of another kind": (
        "clusterrolebindings",
        binding_of("x", "y", "z") | {"subjects": [{"kind": "Pod", "name": "a"}]},
        'subjects[0].kind: Unsupported value: "Pod": supported values: "Group", "ServiceAccount", "User"',
    ),
    "a user of another group": (
        "clusterrolebindings",
        binding_of("x", "y", "z") | {"subjects": [{"kind": "User", "name": "a", "apiGroup": "b"}]},
        f'subjects[0].apiGroup: Unsupported value: "b": supported values: "{GROUP}"',
    ),
}


def test_what_is_refused_of_roles_and_bindings(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name, (path, body, said) in INVALID.items():
            status, answer = await client.ask("POST", f"{RBAC}/{path}", body)
            assert status == 422, (name, answer)
            assert said in answer["message"], (name, answer)
        await client.create(f"{RBAC}/clusterrolebindings", binding_of("x", "view", "z"))
        other = {"roleRef": {"name": "edit"}}
        status, answer = await client.patch(f"{RBAC}/clusterrolebindings/x", other)
        assert status == 422
        assert "roleRef: Invalid value" in answer["message"]
        assert "cannot change roleRef" in answer["message"]

    with_server(tmp_path, test)


def test_without_roles_everybody_may_do_everything(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        assert (await client.ask("GET", MAPS, **by("bob")))[0] == 200
        assert (await client.ask("GET", MAPS, headers={"Authorization": ""}))[0] == 401

    access = AccessConfig(authorization_mode="AlwaysAllow", anonymous_auth=False)
    with_server(tmp_path, test, **users(tmp_path), access=access)
