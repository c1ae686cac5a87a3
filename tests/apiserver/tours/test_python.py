"""The tour with the official Python client: typed, dynamic, watching."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.dynamic
import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from tests.apiserver.kubectl import write_kubeconfig
from tests.apiserver.serving import Client, with_server
from tests.apiserver.tours import boats
from tests.waiting import LIMIT

K8S: Any = kubernetes
"""Its types say that everything may be absent, which is not what is tried here."""

EVERYTHING = Path(__file__).parent / "everything.yaml"
PATCHES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}
DELETED = {
    "apps": ("deployment", "replica_set", "stateful_set", "daemon_set", "controller_revision"),
    "core": (
        "pod",
        "replication_controller",
        "service",
        "endpoints",
        "config_map",
        "secret",
        "service_account",
        "persistent_volume_claim",
        "limit_range",
        "resource_quota",
    ),
    "batch": ("job", "cron_job"),
    "networking": ("ingress", "network_policy"),
    "policy": ("pod_disruption_budget",),
    "coordination": ("lease",),
    "discovery": ("endpoint_slice",),
    "events": ("event",),
}
"""What the tour has made, by the name that the client has for it."""


class Apis:
    """The client's classes, one a group."""

    def __init__(self, api: Any) -> None:
        self.api: Any = api
        self.apps: Any = K8S.client.AppsV1Api(api)
        self.core = K8S.client.CoreV1Api(api)
        self.batch = K8S.client.BatchV1Api(api)
        self.networking = K8S.client.NetworkingV1Api(api)
        self.policy = K8S.client.PolicyV1Api(api)
        self.coordination = K8S.client.CoordinationV1Api(api)
        self.discovery = K8S.client.DiscoveryV1Api(api)
        self.events = K8S.client.EventsV1Api(api)


def discovers(apis: Apis) -> None:
    assert K8S.client.VersionApi(apis.api).get_code().minor == "36"
    assert K8S.client.CoreApi(apis.api).get_api_versions().versions == ["v1"]
    groups = [group.name for group in K8S.client.ApisApi(apis.api).get_api_versions().groups]
    assert {"apps", "batch", "policy"} <= set(groups)
    listed = {one.name: one for one in apis.apps.get_api_resources().resources}
    assert listed["deployments/scale"].kind == "Scale"
    assert listed["deployments"].short_names == ["deploy"]


def makes_everything(apis: Apis) -> None:
    apis.core.create_namespace({"metadata": {"name": "tour"}})
    with pytest.raises(ApiException) as refused:
        apis.core.create_namespace({"metadata": {"name": "tour"}})
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    for document in yaml.safe_load_all(EVERYTHING.read_text()):
        K8S.utils.create_from_dict(apis.api, document, namespace="tour")
    pod = apis.core.read_namespaced_pod("alone", "tour")
    assert pod.spec.containers[0].ports[0].container_port == 8080
    assert pod.metadata.creation_timestamp.year >= 2025


def lists(apis: Apis) -> None:
    assert [one.metadata.name for one in apis.apps.list_namespaced_deployment("tour").items] == ["web"]
    assert apis.core.list_pod_for_all_namespaces(label_selector="app=alone").items[0].metadata.name == "alone"
    fields = apis.core.list_namespaced_pod("tour", field_selector="status.phase=Running")
    assert fields.items == []
    first = apis.core.list_namespaced_config_map("tour", limit=1)
    rest = apis.core.list_namespaced_config_map("tour", limit=1, _continue=first.metadata._continue)
    assert [first.items[0].metadata.name, rest.items[0].metadata.name] == ["kube-root-ca.crt", "settings"]
    assert first.metadata.remaining_item_count == 1
    assert apis.events.list_namespaced_event("tour").items[0].note == "it was seen"
    assert apis.core.list_namespaced_event("tour").items[0].message == "it was seen"


def changes(apis: Apis) -> None:
    for form, change in (
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "c", "tty": True}]}}}}),
        ("merge", {"metadata": {"labels": {"colour": "blue"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels/size", "value": "large"}]),
    ):
        kind = PATCHES[form]
        apis.apps.patch_namespaced_deployment("web", "tour", change, _content_type=kind)
    web = apis.apps.read_namespaced_deployment("web", "tour")
    assert (web.spec.template.spec.containers[0].image, web.spec.template.spec.containers[0].tty) == (
        "fairlead/echo",
        True,
    )
    assert web.metadata.labels == {"tour": "everything", "colour": "blue", "size": "large"}
    web.spec.min_ready_seconds = 3
    replaced = apis.apps.replace_namespaced_deployment("web", "tour", web)
    assert replaced.metadata.generation == web.metadata.generation + 1
    with pytest.raises(ApiException) as refused:
        apis.apps.replace_namespaced_deployment("web", "tour", web)
    assert refused.value.status == 409
    tried = apis.apps.patch_namespaced_deployment("web", "tour", {"spec": {"paused": True}}, dry_run="All")
    assert tried.spec.paused is True
    assert not apis.apps.read_namespaced_deployment("web", "tour").spec.paused
    selector = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    with pytest.raises(ApiException) as refused:
        apis.apps.patch_namespaced_deployment("web", "tour", selector)
    assert (refused.value.status, "field is immutable" in str(refused.value.body)) == (422, True)


def scales(apis: Apis) -> None:
    scale = apis.apps.read_namespaced_deployment_scale("web", "tour")
    assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")
    scale.spec.replicas = 4
    assert apis.apps.replace_namespaced_deployment_scale("web", "tour", scale).spec.replicas == 4
    apis.core.patch_namespaced_replication_controller_scale("old", "tour", {"spec": {"replicas": 3}})
    assert apis.core.read_namespaced_replication_controller("old", "tour").spec.replicas == 3


def has_status(apis: Apis) -> None:
    change = {"status": {"replicas": 1, "readyReplicas": 1}}
    apis.apps.patch_namespaced_stateful_set_status("db", "tour", change)
    assert apis.apps.read_namespaced_stateful_set_status("db", "tour").status.ready_replicas == 1
    budget = {"status": {"observedGeneration": 1, "disruptionsAllowed": 1}}
    seen = apis.policy.patch_namespaced_pod_disruption_budget_status("web", "tour", budget)
    assert seen.status.disruptions_allowed == 1


def evicts(apis: Apis) -> None:
    apis.core.create_namespaced_pod_eviction("alone", "tour", {"metadata": {"name": "alone"}})
    with pytest.raises(ApiException) as gone:
        apis.core.read_namespaced_pod("alone", "tour")
    assert gone.value.status == 404


def watches(apis: Apis) -> None:
    """Until the third event."""
    watch = K8S.watch.Watch()
    version = apis.core.list_namespaced_config_map("tour").metadata.resource_version
    seen = []

    def write() -> None:
        apis.core.create_namespaced_config_map("tour", {"metadata": {"name": "watched"}})
        apis.core.patch_namespaced_config_map("watched", "tour", {"data": {"a": "b"}})
        apis.core.delete_namespaced_config_map("watched", "tour")

    writer = threading.Thread(target=write)
    writer.start()
    stream = watch.stream(
        apis.core.list_namespaced_config_map, "tour", resource_version=version, timeout_seconds=120
    )
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watch.stop()
    writer.join()
    assert seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]


def uses_the_dynamic_client(apis: Apis) -> None:
    dynamic = K8S.dynamic.DynamicClient(apis.api)
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.get(name="web", namespace="tour").spec.replicas == 4
    jobs = dynamic.resources.get(short_names=["deploy"])
    assert jobs.kind == "Deployment"
    budgets = dynamic.resources.get(api_version="policy/v1", kind="PodDisruptionBudget")
    patched = budgets.patch(
        name="web",
        namespace="tour",
        body={"metadata": {"labels": {"a": "b"}}},
        content_type=PATCHES["merge"],
    )
    assert patched.metadata.labels["a"] == "b"
    made = dynamic.resources.get(api_version="v1", kind="ConfigMap").create(
        namespace="tour", body={"metadata": {"generateName": "made-"}}
    )
    assert made.metadata.name.startswith("made-")


def builds_boats(apis: Apis) -> None:
    """Custom resources, by the class for them and by the dynamic client."""
    definitions = K8S.client.ApiextensionsV1Api(apis.api)
    definitions.create_custom_resource_definition(boats.definition())
    name = f"boats.{boats.GROUP}"
    watch = K8S.watch.Watch()
    stream = watch.stream(
        definitions.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        timeout_seconds=120,
    )
    for event in stream:
        conditions = {one.type: one.status for one in event["object"].status.conditions or ()}
        if conditions.get("Established") == "True":
            watch.stop()
    customs = K8S.client.CustomObjectsApi(apis.api)
    place = (boats.GROUP, "v1", "tour", "boats")
    made = customs.create_namespaced_custom_object(*place, boats.boat("swan"))
    assert made["spec"] == {"length": 12, "crew": 1, "rig": "sloop"}
    for spec, said in boats.MISTAKES.values():
        with pytest.raises(ApiException) as refused:
            customs.create_namespaced_custom_object(*place, boats.boat("wreck", **spec))
        assert (refused.value.status, said in json.loads(refused.value.body or "")["message"]) == (
            422,
            True,
        ), spec
    customs.patch_namespaced_custom_object_status(*place, "swan", {"status": {"aboard": 3}})
    customs.patch_namespaced_custom_object_scale(*place, "swan", {"spec": {"replicas": 5}})
    scale = customs.get_namespaced_custom_object_scale(*place, "swan")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (5, 3)
    dynamic = K8S.dynamic.DynamicClient(apis.api)
    older = dynamic.resources.get(api_version=f"{boats.GROUP}/v1beta1", kind="Boat")
    assert older.get(name="swan", namespace="tour").spec.crew == 5
    newer = dynamic.resources.get(api_version=f"{boats.GROUP}/v1", kind="Boat")
    for owner, line in (("mate", "sheet"), ("master", "halyard")):
        body = boats.boat("swan", lines=[{"name": line}])
        newer.server_side_apply(
            body=body, name="swan", namespace="tour", field_manager=owner, force_conflicts=True
        )
    assert [line.name for line in newer.get(name="swan", namespace="tour").spec.lines] == ["sheet", "halyard"]
    definitions.delete_custom_resource_definition(name)
    for event in watch.stream(
        definitions.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        timeout_seconds=120,
    ):
        if event["type"] == "DELETED":
            watch.stop()
    deadline = time.monotonic() + LIMIT
    while is_served(customs, *place):  # until the server has heard of the end, too
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_served(customs: Any, *place: str) -> bool:
    """Whether there are custom resources at a place."""
    try:
        customs.list_namespaced_custom_object(*place)
    except ApiException as error:
        assert error.status == 404  # noqa: PT017 - anything else is wrong
        return False
    return True


def deletes(apis: Apis) -> None:
    for group, names in DELETED.items():
        for name in names:
            if name == "pod":
                continue  # it was evicted
            delete: Any = getattr(getattr(apis, group), f"delete_collection_namespaced_{name}")
            delete("tour", label_selector="tour=everything", propagation_policy="Background")
            listed: Any = getattr(getattr(apis, group), f"list_namespaced_{name}")
            assert listed("tour", label_selector="tour=everything").items == [], name
    apis.core.delete_namespace("tour", propagation_policy="Foreground")


CHAPTERS = (
    discovers,
    makes_everything,
    lists,
    changes,
    scales,
    has_status,
    evicts,
    watches,
    uses_the_dynamic_client,
    builds_boats,
    deletes,
)


@pytest.mark.timeout(300)
def test_the_official_python_client(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        config = write_kubeconfig(tmp_path / "kubeconfig", tmp_path, client)

        def tour() -> None:
            with K8S.config.new_client_from_config(str(config)) as api:
                apis = Apis(api)
                for chapter in CHAPTERS:
                    chapter(apis)

        await asyncio.to_thread(tour)
        await client.until("/api/v1/namespaces/tour", lambda status, _: status == 404)

    with_server(tmp_path, test)
