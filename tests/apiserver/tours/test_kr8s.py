"""The tour with kr8s, an asynchronous client that knows kinds by discovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kr8s
import kr8s.asyncio
import pytest
import yaml
from kr8s.asyncio.objects import (
    ConfigMap,
    CronJob,
    CustomResourceDefinition,
    Deployment,
    Ingress,
    Job,
    Namespace,
    Pod,
    Service,
    StatefulSet,
    new_class,
    object_from_spec,
)

from tests.apiserver.kubectl import write_kubeconfig
from tests.apiserver.serving import Client, with_server
from tests.apiserver.tours import boats

EVERYTHING = Path(__file__).parent / "everything.yaml"


async def discovers(api: Any) -> None:
    assert (await api.version())["gitVersion"].startswith("v1.36")
    kinds = {(one["version"], one["kind"]): one for one in await api.api_resources()}
    assert kinds["apps/v1", "Deployment"]["shortNames"] == ["deploy"]
    assert kinds["networking.k8s.io/v1", "Ingress"]["namespaced"] is True
    assert await api.lookup_kind("sts") == ("statefulset.apps/v1", "statefulsets", True)


async def makes_everything(api: Any) -> None:
    space = await Namespace({"metadata": {"name": "tour"}}, api=api)
    await space.create()
    for document in yaml.safe_load_all(EVERYTHING.read_text()):
        document["metadata"]["namespace"] = "tour"
        made = await object_from_spec(document, api=api, allow_unknown_type=True)
        await made.create()
        assert await made.exists()
        assert made.labels["tour"] == "everything"


async def gets(api: Any) -> None:
    for kind in ("deployments", "deploy", "deployment.apps", "sts", "cronjobs.batch", "ing", "pdb", "netpol"):
        found = [one async for one in api.get(kind, namespace="tour")]
        assert len(found) == 1, kind
    pods = [one async for one in api.get("pods", namespace="tour", label_selector={"app": "alone"})]
    assert [pod.name for pod in pods] == ["alone"]
    selected = api.get("pods", namespace=kr8s.ALL, field_selector={"metadata.name": "alone"})
    assert [one.name async for one in selected] == ["alone"]
    with pytest.raises(kr8s.NotFoundError):
        await Pod.get("none", namespace="tour", api=api, timeout=1)
    kinds: tuple[Any, ...] = (Service, Ingress, Job, CronJob, StatefulSet)
    for of in kinds:
        assert [one.namespace async for one in of.list(namespace="tour", api=api)] == ["tour"], of


async def changes(api: Any) -> None:
    web = await Deployment.get("web", namespace="tour", api=api)
    await web.label(colour="blue")
    await web.annotate(note="x")
    assert (web.labels["colour"], web.annotations["note"]) == ("blue", "x")
    await web.remove_label("colour")
    assert "colour" not in web.labels
    await web.patch({"spec": {"minReadySeconds": 2}})
    await web.patch([{"op": "replace", "path": "/spec/minReadySeconds", "value": 3}], type="json")
    await web.patch({"status": {"replicas": 4, "readyReplicas": 4}}, subresource="status")
    assert (web.spec.minReadySeconds, web.status.readyReplicas) == (3, 4)
    await web.patch({"spec": {"replicas": 4}})
    await web.scale(4)
    assert web.replicas == 4
    await web.refresh()
    assert web.spec.template.spec.containers[0].image == "fairlead/echo"
    with pytest.raises(kr8s.ServerError) as refused:
        await web.patch({"spec": {"selector": {"matchLabels": {"a": "b"}}}})
    assert "field is immutable" in str(refused.value)


async def waits_and_watches(api: Any) -> None:
    settings = await ConfigMap.get("settings", namespace="tour", api=api)
    seen = []
    async for change, obj in api.watch("configmaps", namespace="tour"):
        if obj.name != "settings":
            continue
        seen.append(change)
        if change == "ADDED":
            await settings.patch({"data": {"colour": "red"}})
        elif change == "MODIFIED":
            await settings.delete()
        else:
            break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]
    pod = await Pod.get("alone", namespace="tour", api=api)
    await pod.patch({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, subresource="status")
    await pod.wait("condition=Ready", timeout=120)
    await pod.delete(propagation_policy="Background")
    await pod.wait("delete", timeout=120)


async def owns(api: Any) -> None:
    """What belongs to a Deployment goes with it."""
    web = await Deployment.get("web", namespace="tour", api=api)
    dependent = await ConfigMap({"metadata": {"name": "dependent", "namespace": "tour"}}, api=api)
    await dependent.create()
    await dependent.set_owner(web)
    assert (await ConfigMap.get("dependent", namespace="tour", api=api)).metadata.ownerReferences[
        0
    ].name == "web"
    await web.delete(propagation_policy="Foreground")
    await web.wait("delete", timeout=120)
    assert not await dependent.exists()


async def builds_boats(api: Any) -> None:
    """Custom resources; kr8s makes a class for them."""
    definition = await CustomResourceDefinition(boats.definition(), api=api)
    await definition.create()
    await definition.wait("condition=Established", timeout=120)
    boat: Any = new_class(
        "Boat", f"{boats.GROUP}/v1", asyncio=True, namespaced=True, scalable=True, scalable_spec="crew"
    )
    swan = await boat({**boats.boat("swan"), "metadata": {"name": "swan", "namespace": "tour"}}, api=api)
    await swan.create()
    assert swan.spec.to_dict() == {"length": 12, "crew": 1, "rig": "sloop"}
    await swan.patch({"status": {"aboard": 2}}, subresource="status")
    await swan.scale(2)
    assert (swan.spec.crew, swan.status.aboard) == (2, 2)
    for spec, said in boats.MISTAKES.values():
        with pytest.raises(kr8s.ServerError) as refused:
            await swan.patch({"spec": spec})
        assert said in str(refused.value), spec
    assert [one.name async for one in api.get("bt", namespace="tour")] == ["swan"]
    await definition.delete()
    await definition.wait("delete", timeout=120)
    assert not await definition.exists()


async def deletes(api: Any) -> None:
    for kind in ("EndpointSlice.discovery.k8s.io/v1", "Lease.coordination.k8s.io/v1"):
        of: Any = new_class(kind, asyncio=True, namespaced=True)
        found = [one async for one in of.list(namespace="tour", api=api)]
        for one in found:
            await one.delete()
    space = await Namespace.get("tour", api=api)
    await space.delete()
    await space.wait("delete", timeout=120)


CHAPTERS = (discovers, makes_everything, gets, changes, waits_and_watches, owns, builds_boats, deletes)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:Kubernetes version")  # it knows those before 1.36
def test_kr8s(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        config = write_kubeconfig(tmp_path / "kubeconfig", tmp_path, client)
        api = await kr8s.asyncio.api(kubeconfig=str(config))
        for chapter in CHAPTERS:
            await chapter(api)

    with_server(tmp_path, test)
