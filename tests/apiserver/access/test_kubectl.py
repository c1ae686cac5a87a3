"""What kubectl does about access, in every version that there is here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.apiserver.kubectl import Kubectl, kubectls
from tests.apiserver.serving import Client, pod, with_server

READER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: NS}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [VERBS]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: WHO}]
"""


class Auth:
    """kubectl of one version, with a namespace and a user of its own."""

    def __init__(self, kubectl: Kubectl, version: str, client: Client) -> None:
        self.kubectl = kubectl
        self.client = client
        self.version = tuple(int(part) for part in version.split("."))
        self.namespace = f"auth-{version.replace('.', '-')}"
        self.user = f"jane-{version}"

    async def __call__(self, command: str, *, stdin: str = "", fails: bool = False) -> str:
        return await self.kubectl("-n", self.namespace, *command.split(), stdin=stdin, fails=fails)

    async def known(self, question: str, who: str) -> None:
        """Waits until the server knows of a right."""
        while "yes" not in await self.kubectl.ask(f"-n {self.namespace} auth can-i {question} --as {who}"):
            pass


async def makes_roles(auth: Auth) -> None:
    await auth(f"create namespace {auth.namespace}")
    await auth("create role reader --verb=get,list --resource=pods,deployments.apps --resource=pods/status")
    await auth(
        f"create rolebinding readers --role=reader --user={auth.user} --serviceaccount={auth.namespace}:robot"
    )
    await auth("create serviceaccount robot")
    name = f"nodes-{auth.user}"
    await auth(f"create clusterrole {name} --verb=get --resource=nodes --resource-name=n1")
    await auth(f"create clusterrole raw-{auth.user} --verb=get --non-resource-url=/metrics,/logs/*")
    await auth(f"create clusterrolebinding {name} --clusterrole={name} --group=group-{auth.user}")
    described = await auth("describe role reader")
    assert "deployments.apps" in described
    assert "[get list]" in described
    assert "robot" in await auth("describe rolebinding readers")
    assert "Role/reader" in await auth("get rolebindings readers -o wide")


async def asks_what_one_may(auth: Auth) -> None:
    await auth.known("list pods", auth.user)
    who = f"--as {auth.user}"
    questions = {
        "list pods": "yes",
        "get deployments.apps": "yes",
        "get pods --subresource=status": "yes",
        "delete pods": "no",
        "list secrets": "no",
        "list pods -A": "no",
        "get /healthz": "yes",
        "get /metrics": "no",
        "get node/n1": "no",
        f"get node/n1 --as-group group-{auth.user}": "yes",
        f"get node/n2 --as-group group-{auth.user}": "no",
    }
    said = await asyncio.gather(
        *(auth(f"auth can-i {asked} {who}", fails=answer == "no") for asked, answer in questions.items())
    )
    assert dict(zip(questions, (one.strip().splitlines()[-1] for one in said), strict=True)) == questions
    assert (await auth("auth can-i * *")).strip().endswith("yes")
    robot = f"system:serviceaccount:{auth.namespace}:robot"
    assert (await auth(f"auth can-i list pods --as {robot}")).strip() == "yes"
    listed = await auth(f"auth can-i --list {who}")
    rows = {line.split()[0]: line for line in listed.splitlines()[1:]}
    assert rows["pods"].endswith("[get list]")
    assert rows["selfsubjectaccessreviews.authorization.k8s.io"].endswith("[create]")
    assert "[/healthz]" in listed
    assert "secrets" not in rows


async def acts_for_others(auth: Auth) -> None:
    assert "No resources found" in await auth(f"get pods --as {auth.user}")
    said = await auth(f"get secrets --as {auth.user}", fails=True)
    assert said.strip().endswith(
        f'Error from server (Forbidden): secrets is forbidden: User "{auth.user}" cannot list resource "secrets" in '
        f'API group "" in the namespace "{auth.namespace}"'
    )
    said = await auth(f"delete deployment web --as {auth.user}", fails=True)
    assert (
        f'deployments.apps "web" is forbidden: User "{auth.user}" cannot delete resource "deployments"'
        in said
    )
    said = await auth(f"get pods --as {auth.user} --as-group system:masters")
    assert "No resources found" in said
    if auth.version >= (1, 28):
        shown = json.loads(await auth(f"auth whoami -o json --as {auth.user} --as-group friends"))
        info = shown["status"]["userInfo"]
        assert (info["username"], info["groups"]) == (auth.user, ["friends", "system:authenticated"])
        assert "admin" in await auth("auth whoami")


async def reconciles(auth: Auth) -> None:
    def manifest(verbs: str) -> str:
        return READER.replace("NS", auth.namespace).replace("VERBS", verbs).replace("WHO", auth.user)

    assert "reconciled" in await auth("auth reconcile -f -", stdin=manifest("get"))
    await auth("auth reconcile -f -", stdin=manifest("list"))
    rules = json.loads(await auth("get role writer -o json"))["rules"]
    assert [rule["verbs"] for rule in rules] == [["get"], ["list"]]
    await auth("auth reconcile --remove-extra-permissions -f -", stdin=manifest("list"))
    rules = json.loads(await auth("get role writer -o json"))["rules"]
    assert [rule["verbs"] for rule in rules] == [["list"]]
    await auth.known("list configmaps", auth.user)
    said = await auth(f"create role more --verb=* --resource=secrets --as {auth.user}", fails=True)
    assert (
        f'User "{auth.user}" cannot create resource "roles" in API group "rbac.authorization.k8s.io"' in said
    )


async def creates_tokens(auth: Auth) -> None:
    if auth.version < (1, 24):
        return
    token = (await auth("create token robot")).strip()
    assert token.count(".") == 2
    bearer = auth.kubectl.bearing(token)
    assert "No resources found" in await bearer("-n", auth.namespace, "get", "pods")
    said = await bearer("-n", auth.namespace, "get", "secrets", fails=True)
    assert f'User "system:serviceaccount:{auth.namespace}:robot" cannot list resource "secrets"' in said
    if auth.version >= (1, 28):
        assert f"system:serviceaccount:{auth.namespace}:robot" in await bearer("auth", "whoami")
    body = pod("bound")
    body["spec"]["serviceAccountName"] = "robot"
    await auth.client.create(f"/api/v1/namespaces/{auth.namespace}/pods", body)
    more = "--duration=20m --audience=vault --bound-object-kind=Pod --bound-object-name=bound -o json"
    answer = json.loads(await auth(f"create token robot {more}"))
    assert answer["spec"]["audiences"] == ["vault"]
    assert answer["spec"]["expirationSeconds"] == 1200
    elsewhere = auth.kubectl.bearing(answer["status"]["token"])
    assert "You must be logged in to the server" in await elsewhere("get", "pods", fails=True)
    said = await auth("create token nobody", fails=True)
    assert 'serviceaccounts "nobody" not found' in said
    said = await auth("create token robot --duration=1m", fails=True)
    assert "may not specify a duration less than 10 minutes" in said


STEPS: dict[str, Callable[[Auth], Awaitable[None]]] = {
    "makes roles": makes_roles,
    "asks what one may": asks_what_one_may,
    "acts for others": acts_for_others,
    "reconciles roles": reconciles,
    "creates tokens": creates_tokens,
}


async def tour(auth: Auth, version: str) -> None:
    for name, step in STEPS.items():
        try:
            await step(auth)
        except AssertionError as error:
            raise AssertionError(f"{version} {name}: {error}") from error


@pytest.mark.timeout(600)
def test_kubectl(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        found = kubectls()
        assert found
        await asyncio.gather(
            *(tour(Auth(Kubectl(tmp_path, client, found[one]), one, client), one) for one in found)
        )

    with_server(tmp_path, test)
