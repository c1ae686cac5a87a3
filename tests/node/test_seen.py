"""What containers see of their pod, their node and their cluster: several at once on one node, each writes it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairlead.objects import codec
from fairlead.objects.core_v1 import ConfigMap, Pod, Secret, Service
from fairlead.objects.resources import CONFIGMAPS, PODS, SECRETS, SERVICES
from tests.node.isolation import root
from tests.node.places import Cluster, with_cluster
from tests.node.pods import eventually, signal_file

NOTE = """
mkdir FOLDER/POD; mkdir FOLDER/POD/$NAME; cd FOLDER/POD/$NAME
cat /proc/$$$$/environ >env; cat /etc/hosts >hosts; cat /etc/resolv.conf >resolv.conf
hostname >hostname; cat /proc/1/comm >first
for kind in net pid ipc uts mnt; do readlink /proc/self/ns/$kind >$kind; done
ls /sys/class/net >links; touch done; exec sleep 1000
"""
"""Of two $ in a command one is left; the shell does not pass on all names of variables."""
FIELDS = {
    "metadata.name": "fields",
    "metadata.namespace": "default",
    "metadata.labels['app']": "web",
    "metadata.annotations['example.org/what']": 'say "hi"',
    "spec.nodeName": "node1",
    "spec.serviceAccountName": "default",
    "status.hostIP": "192.168.1.10",
    "status.hostIPs": "192.168.1.10",
}
RESOURCES = {
    ("limits.cpu", "1m"): "1500",
    ("limits.memory", "1Mi"): "64",
    ("requests.cpu", None): "1",
    ("requests.memory", "1Ki"): "32768",
    ("limits.ephemeral-storage", "1Gi"): "2",
}
SEARCHES = [".", *(f"zone-{number}.under_score.{'x' * 30}.example.org" for number in range(8))]
SIZES = {"cpu": "1500m", "memory": "64Mi", "ephemeral-storage": "2Gi"}


def variables() -> list[dict[str, Any]]:
    """One for each field and resource, and those that are made of others."""
    fields = [*FIELDS, "metadata.uid", "status.podIP", "status.podIPs"]
    made: list[dict[str, Any]] = [
        {"name": path, "valueFrom": {"fieldRef": {"fieldPath": path}}} for path in fields
    ]
    for name, divisor in RESOURCES:
        reference = {"resource": name, **({"divisor": divisor} if divisor else {})}
        made.append({"name": name, "valueFrom": {"resourceFieldRef": reference}})
    made.append({"name": "SAID", "value": "$(metadata.name) at $(C_colour), $$(C_colour), $(NOTHING)"})
    return made


def container(folder: Path, pod: str, name: str, **more: Any) -> dict[str, Any]:
    script = NOTE.replace("FOLDER", str(folder)).replace("POD", pod).replace("$NAME", name)
    mounts = [{"name": "shared", "mountPath": str(folder)}]
    return {"name": name, "image": "any", "command": ["sh", "-c", script], "volumeMounts": mounts, **more}


def pod(folder: Path, name: str, *containers: dict[str, Any], **spec: Any) -> Pod:
    annotations = {"example.org/what": 'say "hi"'}
    body = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"app": "web"},
            "annotations": annotations,
        },
        "spec": {
            "nodeName": "node1",
            "containers": containers,
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "shared", "hostPath": {"path": str(folder)}}],
            **spec,
        },
    }
    return codec.decode(Pod, codec.encode(body))


def environment(folder: Path) -> dict[str, str]:
    entries = (folder / "env").read_text().split("\0")
    return dict(entry.partition("=")[::2] for entry in entries if entry)


async def make_sources(cluster: Cluster) -> str:
    """What environments are made of; gives the Service's address."""
    config = {"metadata": {"name": "colours"}, "data": {"colour": "blue"}}
    await cluster.api.create(CONFIGMAPS, codec.decode(ConfigMap, codec.encode(config)), "default")
    secret = {"metadata": {"name": "words"}, "stringData": {"word": "sesame"}}
    await cluster.api.create(SECRETS, codec.decode(Secret, codec.encode(secret)), "default")
    service = {"metadata": {"name": "my-db"}, "spec": {"ports": [{"name": "sql", "port": 5432}]}}
    made = await cluster.api.create(SERVICES, codec.decode(Service, codec.encode(service)), "default")
    return made.spec.clusterIP


@root
def test_what_containers_see(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        address = await make_sources(cluster)
        given = {
            "env": variables(),
            "envFrom": [
                {"prefix": "C_", "configMapRef": {"name": "colours"}},
                {"secretRef": {"name": "words"}},
                {"configMapRef": {"name": "none", "optional": True}},
            ],
            "resources": {"limits": SIZES, "requests": {"cpu": "1", "memory": "32Mi"}},
        }
        pods = [
            pod(
                folder,
                "fields",
                container(folder, "fields", "c", **given),
                container(folder, "fields", "d"),
                hostname="web-0",
                subdomain="db",
                hostAliases=[{"ip": "192.0.2.7", "hostnames": ["old", "older.example.org"]}],
                dnsConfig={"searches": SEARCHES, "options": [{"name": "ndots", "value": "2"}]},
            ),
            pod(
                folder,
                "shared",
                container(folder, "shared", "c"),
                container(folder, "shared", "d"),
                shareProcessNamespace=True,
                enableServiceLinks=False,
                dnsPolicy="None",
                dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["example.org"]},
            ),
            pod(
                folder,
                "host",
                container(folder, "host", "c"),
                hostNetwork=True,
                dnsPolicy="ClusterFirstWithHostNet",
            ),
            pod(folder, "ipc", container(folder, "ipc", "c"), hostNetwork=True, hostIPC=True, hostPID=True),
        ]
        for one in pods:
            await cluster.api.create(PODS, one)
        wanted = [folder / of / name / "done" for of, name in SEEN]
        await eventually(lambda: all(path.exists() for path in wanted))
        made = await cluster.until("fields", lambda pod: pod.status.podIP)
        sees_its_fields(made, environment(folder / "fields/c"))
        sees_services(address)
        sees_names()
        sees_namespaces()

    SEEN = (("fields", "c"), ("fields", "d"), ("shared", "c"), ("shared", "d"), ("host", "c"), ("ipc", "c"))

    def text(path: str) -> str:
        return (folder / path).read_text()

    def sees_its_fields(made: Pod, found: dict[str, str]) -> None:
        for path, value in FIELDS.items():
            assert found[path] == value
        assert found["metadata.uid"] == made.metadata.uid
        assert found["status.podIP"] == found["status.podIPs"] == made.status.podIP
        for (name, _), value in RESOURCES.items():
            assert found[name] == value, name
        assert (found["C_colour"], found["word"]) == ("blue", "sesame")
        assert found["SAID"] == "fields at blue, $(C_colour), $(NOTHING)"

    def sees_services(address: str) -> None:
        found = environment(folder / "fields/d")
        assert (found["MY_DB_SERVICE_HOST"], found["MY_DB_SERVICE_PORT_SQL"]) == (address, "5432")
        assert found["MY_DB_PORT_5432_TCP"] == f"tcp://{address}:5432"
        assert "KUBERNETES_SERVICE_HOST" in found
        assert "MY_DB_SERVICE_HOST" not in environment(folder / "shared/c")

    def sees_names() -> None:
        assert text("fields/c/hostname") == "web-0\n"
        hosts = text("fields/c/hosts")
        assert "\tweb-0.db.default.svc.cluster.local\tweb-0\n" in hosts
        assert "192.0.2.7\told\tolder.example.org\n" in hosts
        lines = text("fields/c/resolv.conf").splitlines()
        cluster = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]
        searches = lines[0].split()[1:]
        assert searches[:3] == cluster
        assert searches[-len(SEARCHES) :] == SEARCHES  # 11 at least, of more than 256 bytes
        assert len(lines[0]) > 400
        assert lines[1:] == ["nameserver 10.96.0.10", "options ndots:2"]
        assert text("shared/c/resolv.conf") == "search example.org\nnameserver 192.0.2.53\n"
        assert "nameserver 10.96.0.10" in text("host/c/resolv.conf")
        assert "nameserver 10.96.0.10" not in text("ipc/c/resolv.conf")

    def sees_namespaces() -> None:
        def same(kind: str, *of: str) -> bool:
            return len({text(f"{each}/{kind}") for each in of}) == 1

        for kind in ("net", "ipc", "uts"):
            assert same(kind, "fields/c", "fields/d")
            assert not same(kind, "fields/c", "shared/c")
        assert not same("mnt", "fields/c", "fields/d")
        assert not same("pid", "fields/c", "fields/d")
        assert same("pid", "shared/c", "shared/d")
        assert text("fields/c/first") == "sh\n"
        assert text("ipc/c/first") != "sh\n"
        assert same("net", "host/c", "ipc/c")
        assert not same("ipc", "host/c", "ipc/c")
        assert "eth0" in text("fields/c/links").split()
        assert "eth0" not in text("host/c/links").split()

    with signal_file() as (_, file):
        folder = file.parent
        with_cluster(tmp_path, test)
