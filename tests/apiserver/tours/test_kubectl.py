"""The tour with kubectl: the oldest that is promised (1.20, Debian's), the newest, and what else is on the machine."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.apiserver.kubectl import Kubectl, kubectls
from tests.apiserver.serving import Client, with_server
from tests.apiserver.tours import boats
from tests.apiserver.tours.guide import EVERYTHING, Guide

KINDS = [
    line.removeprefix("kind: ").lower()
    for line in EVERYTHING.read_text().splitlines()
    if line.startswith("kind: ")
]

VERSIONS = (
    ",".join(KINDS),
    "-o",
    "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion},{end}",
)
POD = """
apiVersion: v1
kind: Pod
metadata: {name: extra, labels: {app: web}}
spec: {containers: [{name: c, image: fairlead/echo}]}
"""


def configured(said: str) -> list[str]:
    """Which objects apply has changed."""
    return sorted(line.split()[0] for line in said.splitlines() if line.endswith(" configured"))


async def discovers(tour: Guide) -> None:
    await tour(f"create namespace {tour.namespace}")
    assert "v1.36" in await tour("version")
    versions = (await tour("api-versions")).split()
    assert {"v1", "apps/v1", "batch/v1", "events.k8s.io/v1", "networking.k8s.io/v1", "policy/v1"} <= set(
        versions
    )
    shown = await tour("api-resources -o wide")
    deployments = next(line for line in shown.splitlines() if line.startswith("deployments"))
    assert {"deploy", "apps/v1", "true", "Deployment"} <= set(deployments.split())
    assert "deletecollection" in deployments
    named = (await tour("api-resources --api-group=apps -o name")).split()
    assert named == [
        f"{plural}.apps"
        for plural in ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets")
    ]
    assert (await tour("get --raw /readyz")) == "ok"


async def explains(tour: Guide) -> None:
    shown = await tour("explain deployment.spec.strategy")
    assert "rollingUpdate" in shown
    assert "type" in shown
    assert tour.version < (1, 27) or "enum: Recreate, RollingUpdate" in shown, "those before read version 2"
    assert "pathType" in await tour("explain ingress.spec.rules.http.paths")
    shown = await tour("explain rs --api-version=apps/v1 --recursive")
    assert "ReplicaSet" in shown
    assert "minReadySeconds" in shown
    said = await tour("explain runtimeclass", fails=True)
    assert "couldn't find resource" in said or "doesn't have a resource type" in said


async def finds_a_new_namespace_furnished(tour: Guide) -> None:
    account, authority = (await tour.get("serviceaccount/default configmap/kube-root-ca.crt"))["items"]
    assert account["metadata"]["name"] == "default"
    assert "BEGIN CERTIFICATE" in authority["data"]["ca.crt"]


async def applies_everything(tour: Guide) -> None:
    tried = (await tour(f"apply --dry-run=server -f {tour.everything}")).splitlines()
    assert len([line for line in tried if "(server dry run)" in line]) == len(KINDS)
    assert "No resources found" in await tour("get deployments")
    made = await tour(f"apply -f {tour.everything}")
    assert made.count(" created\n") == len(KINDS), made
    for kind in ("NetworkPolicies", "HorizontalPodAutoscalers", "ResourceQuotas", "LimitRanges"):
        assert re.search(f"^Warning: Fairlead .*{kind}", made, re.MULTILINE), made
    before = (await tour("get", *VERSIONS)).split(",")
    changed = tour.manifest.replace("green", "blue").replace("replicas: 2", "replicas: 3")
    shown = await tour("apply -f -", stdin=changed)
    assert configured(shown) == sorted([*tour.sent_again, "configmap/settings", "deployment.apps/web"])
    after = (await tour("get", *VERSIONS)).split(",")
    assert sorted(new.split()[0] for old, new in zip(before, after, strict=True) if old != new) == [
        "ConfigMap/settings",
        "Deployment/web",
    ], "nothing else is written, whatever is sent again"
    web = await tour.read("apps/v1", "deployments/web")
    assert (web["spec"]["replicas"], web["metadata"]["generation"]) == (3, 2)
    assert web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "blue"


async def gets(tour: Guide) -> None:
    shown = await tour("get", f"{','.join(KINDS)}", "-o", "wide")
    for line in ("deployment.apps/web", "cronjob.batch/nightly", "lease.coordination.k8s.io/leader"):
        assert line in shown
    wide = (await tour("get deploy web -o wide")).splitlines()
    assert wide[0].split() == [
        "NAME",
        "READY",
        "UP-TO-DATE",
        "AVAILABLE",
        "AGE",
        "CONTAINERS",
        "IMAGES",
        "SELECTOR",
    ]
    assert wide[1].split()[:4] == ["web", "0/3", "0", "0"]
    everything = await tour("get all")
    for line in ("pod/alone", "replicationcontroller/old", "service/web", "job.batch/once"):
        assert line in everything
    assert "configmap" not in everything
    assert await tour("get deploy web -o jsonpath={.spec.selector.matchLabels.app}") == "web"
    assert (await tour("get pods -o custom-columns=N:.metadata.name --no-headers")).split() == ["alone"]
    assert (await tour("get rs,sts,ds -o name")).split() == [
        "replicaset.apps/set",
        "statefulset.apps/db",
        "daemonset.apps/agent",
    ]
    shown = await tour("get pods -l app=alone,tour!=x --show-labels --no-headers")
    assert (shown.split()[0], "app=alone" in shown) == ("alone", True)
    assert (await tour("get pods --field-selector=status.phase=Pending -o name")).strip() == "pod/alone"
    assert "field label not supported" in await tour("get pods --field-selector=spec.x=1", fails=True)
    assert "kind: Deployment" in await tour("get deployments.v1.apps web -o yaml")
    assert "default" in await tour("get services -A")
    assert "the server doesn't have a resource type" in await tour("get runtimeclasses", fails=True)
    many = await tour("get configmaps --chunk-size=1 -o name")
    assert many.split() == ["configmap/kube-root-ca.crt", "configmap/settings"]


async def is_warned(tour: Guide) -> None:
    warning = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert warning in await tour("get endpoints outside")
    assert "doesn't have a resource type" in await tour("get componentstatuses", fails=True)


DESCRIBED = [
    "pod/alone",
    "deployment/web",
    "statefulset/db",
    "daemonset/agent",
    "replicaset/set",
    "replicationcontroller/old",
    "job/once",
    "service/web",
    "ingress/web",
    "networkpolicy/closed",
    "configmap/settings",
    "secret/password",
    "serviceaccount/worker",
    "resourcequota/quota",
    "limitrange/limits",
    "pvc/data",
    "lease/leader",
]
NEWLY_DESCRIBED = ["cronjob/nightly", "pdb/web", "endpointslice/outside-1"]
"""Kubectls before 1.21 know their betas only."""


async def describes(tour: Guide) -> None:
    wanted = DESCRIBED + (NEWLY_DESCRIBED if tour.version >= (1, 21) else [])
    shown = " ".join((await tour(f"describe {' '.join(wanted)}")).split())
    for name in (one.partition("/")[2] for one in wanted):
        assert f"Name: {name} " in shown, name


async def creates(tour: Guide) -> None:
    assert "created" in await tour("create deployment made --image=fairlead/echo --replicas=2")
    assert "created" in await tour("create job made --image=fairlead/echo")
    if tour.version >= (1, 21):
        assert "created" in await tour("create job from --from=cronjob/nightly")
    if tour.version >= (1, 21):  # those before only know the betas of batch and policy
        assert "created" in await tour("create cronjob made --image=fairlead/echo", "--schedule=*/5 * * * *")
        assert "created" in await tour("create pdb made --selector=app=made --min-available=1")
    assert "created" in await tour("create configmap made --from-literal=a=b")
    assert "created" in await tour("create secret generic made --from-literal=a=b")
    assert "created" in await tour("create serviceaccount made")
    assert "created" in await tour("create quota made --hard=pods=5")
    assert "created" in await tour("create ingress made --rule=example.com/*=web:80")
    assert "created" in await tour("create service nodeport made --tcp=80:8080")
    assert "created" in await tour("run made --image=fairlead/echo --labels=app=made")
    assert "exposed" in await tour("expose deployment made --name=exposed --port=80")
    assert 'deployments.apps "made" already exists' in await tour(
        "create deployment made --image=x", fails=True
    )
    shown = await tour("create deployment tried --image=fairlead/echo --dry-run=server -o yaml")
    assert "progressDeadlineSeconds: 600" in shown
    assert '"tried" not found' in await tour("get deployment tried", fails=True)


async def changes(tour: Guide) -> None:
    assert "labeled" in await tour("label deployment web colour=blue")
    assert "annotated" in await tour("annotate deployment,statefulset --all note=x")
    assert "scaled" in await tour("scale deployment web --replicas=4 --current-replicas=3")
    assert "Expected replicas to be 3" in await tour(
        "scale deployment web --replicas=5 --current-replicas=3", fails=True
    )
    assert "scaled" in await tour("scale rs/set rc/old sts/db --replicas=2")
    assert "image updated" in await tour("set image deployment/web c=fairlead/echo:2")
    assert "env updated" in await tour("set env deployment/web COLOUR=red")
    for form, patch in (
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "c", "tty": True}]}}}}),
        ("merge", {"spec": {"paused": True}}),
        ("json", [{"op": "remove", "path": "/spec/paused"}]),
    ):
        assert "patched" in await tour(f"patch deployment web --type={form} -p", json.dumps(patch))
    web = await tour.read("apps/v1", "deployments/web")
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["tty"]) == ("fairlead/echo:2", True)
    assert container["env"] == [{"name": "COLOUR", "value": "red"}]
    assert container["readinessProbe"]["httpGet"]["path"] == "/"
    assert web["metadata"]["labels"]["colour"] == "blue"
    web["spec"]["minReadySeconds"] = 5
    assert "replaced" in await tour("replace -f -", stdin=json.dumps(web))
    stale = await tour("replace -f -", stdin=json.dumps(web), fails=True)
    assert "the object has been modified; please apply your changes to the latest version" in stale
    web["metadata"].pop("resourceVersion")
    assert "replaced" in await tour("replace -f -", stdin=json.dumps(web))
    assert "paused" in await tour("rollout pause deployment/web")
    assert "resumed" in await tour("rollout resume deployment/web")
    assert "restarted" in await tour("rollout restart statefulset/db")
    await tour("autoscale deployment web --max=3", fails=True)


async def is_told_of_mistakes(tour: Guide) -> None:
    said = await tour("scale deployment web --replicas=-1", fails=True)
    assert "replicas" in said
    said = await tour(
        "patch deployment web --type=merge -p", '{"spec":{"selector":{"matchLabels":{"a":"b"}}}}', fails=True
    )
    assert "field is immutable" in said
    assert "`selector` does not match template `labels`" in said
    said = await tour("patch statefulset db --type=merge -p", '{"spec":{"serviceName":"other"}}', fails=True)
    assert "updates to statefulset spec for fields other than 'replicas'" in said
    broken = POD.replace("containers", "container")
    assert "container" in await tour("apply -f -", stdin=broken, fails=True)


async def waits_and_watches(tour: Guide) -> None:
    waiting = asyncio.ensure_future(tour("wait --for=condition=Available deployment/web --timeout=120s"))
    # Of a single name kubectl drops the first event, which may be the one that is waited for; of a list it does not.
    shown = f"-n {tour.namespace} get deployments --field-selector=metadata.name=web --watch".split()
    shown += ["-o", "jsonpath={.status.readyReplicas}+"]
    watching = asyncio.ensure_future(tour.kubectl.until("4+", *shown))
    available = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
    status = {"replicas": 4, "readyReplicas": 4, "availableReplicas": 4, "updatedReplicas": 4}
    web = await tour.read("apps/v1", "deployments/web")
    status |= {"observedGeneration": web["metadata"]["generation"]}
    path = f"/apis/apps/v1/namespaces/{tour.namespace}/deployments/web/status"
    code, _ = await tour.client.patch(path, {"status": {**status, "conditions": [available]}})
    assert code == 200
    assert "condition met" in await waiting
    assert "successfully rolled out" in await tour("rollout status deployment/web --timeout=120s")
    await watching
    assert (await tour("get deployment web --no-headers")).split()[1:4] == ["4/4", "4", "4"]


async def uses_parts(tour: Guide) -> None:
    """Of objects: newer kubectls have an option for them."""
    if tour.version < (1, 24):
        return
    shown = (await tour("get deployment web --subresource=scale")).splitlines()
    assert shown[0].split() == ["NAME", "DESIRED", "AVAILABLE"] or "DESIRED" in shown[0]
    assert "patched" in await tour(
        "patch deployment web --subresource=scale --type=merge -p", '{"spec":{"replicas":2}}'
    )
    assert (await tour.read("apps/v1", "deployments/web"))["spec"]["replicas"] == 2
    assert "availableReplicas" in await tour("get deployment web --subresource=status -o yaml")


async def sees_events(tour: Guide) -> None:
    assert "it was seen" in await tour("get events")
    assert "it was seen" in await tour("get events.events.k8s.io")
    assert "it was seen" in await tour("get events.events.k8s.io --field-selector=regarding.name=alone")
    if tour.version >= (1, 24):
        assert "it was seen" in await tour("events --for pod/alone")


async def may(tour: Guide) -> None:
    """The administrator may do everything."""
    assert (await tour("auth can-i create deployments.apps")).strip() == "yes"


MANAGED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: managed}\ndata: {a: '%s'}\n"


async def applies_on_the_server(tour: Guide) -> None:
    assert "serverside-applied" in await tour("apply --server-side -f -", stdin=MANAGED % 1)
    assert "serverside-applied" in await tour("apply --server-side -f -", stdin=MANAGED % 2)
    other = "apply --server-side --field-manager=other -f -"
    assert "conflict" in (await tour(other, stdin=MANAGED % 3, fails=True)).lower()
    assert "serverside-applied" in await tour(f"{other} --force-conflicts", stdin=MANAGED % 3)
    assert (await tour.read("v1", "configmaps/managed"))["data"] == {"a": "3"}


async def drains(tour: Guide) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": tour.node}}
    await tour("create -f -", stdin=json.dumps(node))
    assert "cordoned" in await tour(f"cordon {tour.node}")
    assert "SchedulingDisabled" in await tour(f"get node {tour.node}")
    assert "uncordoned" in await tour(f"uncordon {tour.node}")
    assert "tainted" in await tour(f"taint node {tour.node} a=b:NoSchedule")
    await tour("apply -f -", stdin=POD)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "extra"},
        "target": {"name": tour.node},
    }
    await tour.client.create(f"/api/v1/namespaces/{tour.namespace}/pods/extra/binding", binding)
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await tour.client.patch(f"/api/v1/namespaces/{tour.namespace}/pods/extra/status", running)
    budget = f"/apis/policy/v1/namespaces/{tour.namespace}/poddisruptionbudgets/web/status"
    await tour.client.patch(budget, {"status": {"observedGeneration": 1, "disruptionsAllowed": 0}})
    # It tries again after 5 s, by which time it has to end; the first try may take as long.
    said = await tour(f"drain {tour.node} --force --grace-period=0 --timeout=4s", fails=True)
    assert "violate the pod's disruption budget" in said
    await tour.client.patch(budget, {"status": {"observedGeneration": 1, "disruptionsAllowed": 1}})
    assert "evicted" in await tour(f"drain {tour.node} --force --grace-period=0 --timeout=120s")
    assert '"extra" not found' in await tour("get pod extra", fails=True)
    assert (await tour.read("policy/v1", "poddisruptionbudgets/web"))["status"]["disruptionsAllowed"] == 0
    assert "deleted" in await tour(f"delete node {tour.node}")


async def deletes(tour: Guide) -> None:
    assert "deleted" in await tour("delete deployment made --cascade=foreground --timeout=120s")
    assert "deleted" in await tour("delete statefulset db --cascade=orphan")
    assert "deleted" in await tour("delete job once --cascade=background")
    assert "deleted" in await tour("delete pods,services -l app=made")
    assert "deleted" in await tour("delete configmaps --all")
    assert "not found" in await tour("delete configmap none", fails=True)
    assert await tour("delete configmap none --ignore-not-found") == ""
    if tour.version >= (1, 22):  # those before fail where it is gone already
        await tour("wait --for=delete job/once --timeout=120s")
    [left] = (await tour.read("v1", "configmaps"))["items"]
    assert left["metadata"]["name"] == "kube-root-ca.crt"
    await tour(f"delete --ignore-not-found -f {tour.everything}")
    shown = await tour("get", ",".join(KINDS), "-l", "tour=everything", "-o", "name")
    assert not [
        line for line in shown.splitlines() if line and not line.startswith(("Warning", "No resources"))
    ]
    assert "deleted" in await tour(f"delete namespace {tour.namespace} --timeout=120s")
    assert "not found" in await tour(f"get namespace {tour.namespace}", fails=True)


Chapter = Callable[[Guide], Awaitable[None]]
STAGES: tuple[tuple[tuple[Chapter, ...], ...], ...] = (
    ((discovers,),),
    ((finds_a_new_namespace_furnished, applies_everything), (explains, may), (boats.builds,)),
    ((gets,), (is_warned, describes)),
    (
        (changes, is_told_of_mistakes, waits_and_watches, uses_parts),
        (creates, applies_on_the_server),
        (drains, sees_events),
    ),
    ((deletes,),),
)
"""The chapters: those of a line come one after another, the lines of a stage go on beside each other."""


async def takes(tour: Guide) -> list[AssertionError]:
    """The whole tour; what is wrong in one chapter does not end it."""
    wrong: list[AssertionError] = []

    async def follows(line: tuple[Chapter, ...]) -> None:
        for chapter in line:
            try:
                await chapter(tour)
            except AssertionError as error:
                error.add_note(f"kubectl {tour.version}: {chapter.__name__}")
                wrong.append(error)

    for lines in STAGES:
        await asyncio.gather(*(follows(line) for line in lines))
    return wrong


@pytest.mark.timeout(600)
@pytest.mark.skipif(not kubectls(), reason="there is no kubectl")
def test_kubectl(tmp_path: Path) -> None:
    """All versions at once, each in its namespace."""

    async def test(client: Client) -> None:
        tours = [Guide(Kubectl(tmp_path, client, kubectls()[v]), v, client) for v in kubectls()]
        found = await asyncio.gather(*(takes(tour) for tour in tours))
        if wrong := [error for errors in found for error in errors]:
            raise ExceptionGroup("what the tours found", wrong)

    with_server(tmp_path, test)
