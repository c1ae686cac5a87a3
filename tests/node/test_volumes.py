"""What files a pod's volumes have, and how they reach a container."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from fairlead.client.events import Recorder
from fairlead.node import agent, atomicwriter, mounting, mounttable, volumes
from fairlead.node.environment import ConfigError
from fairlead.node.fieldrefs import NodeFacts
from fairlead.node.payloads import File, PayloadError, Sources, Token, payload
from fairlead.node.podstate import PodState
from fairlead.node.records import Mount
from fairlead.objects import codec
from fairlead.objects.core_v1 import ConfigMap, Container, Pod, Secret, Volume, VolumeMount
from fairlead.objects.resources import CONFIGMAPS, EVENTS, PERSISTENTVOLUMECLAIMS, PODS, SECRETS
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import eventually, signal_file, state


def pod(**spec: Any) -> Pod:
    meta = {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"b": 'say "hi"', "a": "1"}}
    limited = {"name": "c", "resources": {"limits": {"memory": "64Mi", "cpu": "250m"}}}
    return codec.decode(Pod, codec.encode({"metadata": meta, "spec": {"containers": [limited], **spec}}))


def volume(**source: Any) -> Volume:
    return codec.decode(Volume, codec.encode({"name": "v", **source}))


def field_file(path: str, **of: Any) -> dict[str, Any]:
    return {"downwardAPI": {"items": [{"path": path, **of}]}}


SOURCES = Sources(
    configs={("configmaps", "m"): {"k": b"v", "l": b"w"}, ("secrets", "s"): {"p": b"\x00"}},
    tokens={Token("vault", 600): "abc"},
    facts=NodeFacts("node1", ["10.0.0.1"], ["10.244.1.2"], {"cpu": "4"}),
)
LIMIT = {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}
CPU = {"containerName": "c", "resource": "limits.cpu"}
TOKEN = {"serviceAccountToken": {"audience": "vault", "expirationSeconds": 600, "path": "t"}}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ({"configMap": {"name": "m"}}, {"k": File(b"v"), "l": File(b"w")}),
        (
            {"configMap": {"name": "m", "defaultMode": 0o400}},
            {"k": File(b"v", 0o400), "l": File(b"w", 0o400)},
        ),
        (
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "a/b", "mode": 0o755}]}},
            {"a/b": File(b"v", 0o755)},
        ),
        ({"configMap": {"name": "none", "optional": True}}, {}),
        ({"configMap": {"name": "m", "items": [{"key": "x", "path": "x"}], "optional": True}}, {}),
        ({"secret": {"secretName": "s"}}, {"p": File(b"\x00")}),
        (
            field_file("l", fieldRef={"fieldPath": "metadata.labels"}),
            {"l": File(b'a="1"\nb="say \\"hi\\""')},
        ),
        (field_file("m", resourceFieldRef=LIMIT), {"m": File(b"64")}),
        (field_file("m", resourceFieldRef=CPU), {"m": File(b"1")}),
        (
            {"projected": {"sources": [TOKEN, {"configMap": {"name": "m"}}], "defaultMode": 0o440}},
            {"t": File(b"abc", 0o440), "k": File(b"v", 0o440), "l": File(b"w", 0o440)},
        ),
        ({"emptyDir": {}}, None),
    ],
)
def test_the_files_of_a_volume(source: dict[str, Any], files: dict[str, File] | None) -> None:
    assert payload(pod(), volume(**source), SOURCES) == files


def test_a_token_is_for_the_only_user_and_the_group() -> None:
    made = payload(pod(), volume(projected={"sources": [TOKEN]}), Sources(tokens=SOURCES.tokens, reader=7))
    assert made == {"t": File(b"abc", 0o600, 7)}
    grouped = pod(securityContext={"fsGroup": 5})
    made = payload(grouped, volume(projected={"sources": [TOKEN]}), Sources(tokens=SOURCES.tokens))
    assert made == {"t": File(b"abc", 0o600)}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        (
            {"configMap": {"name": "m", "items": [{"key": "x", "path": "x"}]}},
            "configmap references non-existent config key: x",
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "x", "path": "x"}]}},
            "references non-existent secret key: x",
        ),
        (field_file("m", fieldRef={"fieldPath": "spec.x"}), "unsupported fieldPath: spec.x"),
        (field_file("m", resourceFieldRef={**LIMIT, "containerName": "x"}), 'container "x" not found'),
    ],
)
def test_a_source_that_is_missing(source: dict[str, Any], problem: str) -> None:
    with pytest.raises(PayloadError, match=f"^{problem}$"):
        payload(pod(), volume(**source), SOURCES)


def tree(folder: Path) -> dict[str, bytes]:
    visible = (path for path in folder.iterdir() if not path.name.startswith(".."))
    found = {}
    for path in visible:
        for file in path.rglob("*") if path.is_dir() else [path]:
            found[str(file.relative_to(folder))] = file.read_bytes()
    return found


def test_files_are_replaced_all_at_once(tmp_path: Path) -> None:
    atomicwriter.write(tmp_path / "v", {"a": File(b"1"), "d/b": File(b"2", 0o400), "gone": File(b"3")})
    assert tree(tmp_path / "v") == {"a": b"1", "d/b": b"2", "gone": b"3"}
    assert os.readlink(tmp_path / "v/a") == "..data/a"
    before = os.readlink(tmp_path / "v/..data")
    assert (tmp_path / "v/..data/d/b").stat().st_mode & 0o777 == 0o400
    atomicwriter.write(tmp_path / "v", {"a": File(b"x"), "new": File(b"")})
    assert tree(tmp_path / "v") == {"a": b"x", "new": b""}
    assert not (tmp_path / "v" / before).exists()


def test_a_sub_path_does_not_lead_out_of_its_volume(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v/out").symlink_to("../..")
    with pytest.raises(OSError, match="leads out of the volume"):
        mounting.source(Mount(source=str(tmp_path / "v"), place="/x", sub_path="out"))
    assert mounting.source(Mount(source=str(tmp_path / "v"), place="/x", sub_path="a/b")) == str(
        tmp_path / "v/a/b"
    )
    assert (tmp_path / "v/a/b").is_dir()


def test_a_sub_path_of_the_environment() -> None:
    def mount(text: str) -> VolumeMount:
        return codec.decode(VolumeMount, codec.encode({"name": "v", "mountPath": "/x", "subPathExpr": text}))

    assert volumes.sub_path(Container(), mount("$(POD)/logs"), {"POD": "web-0"}) == "web-0/logs"
    with pytest.raises(ConfigError, match='failed to expand subPath for volumeMount "v" of container "c"'):
        volumes.sub_path(Container(name="c"), mount("$(NONE)"), {})


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("Directory", "is not a directory"), ("File", "is not a file"), ("Socket", "is not a socket file")],
)
def test_a_host_path_of_another_type(tmp_path: Path, kind: str, problem: str) -> None:
    source = volume(hostPath={"path": str(tmp_path / "none"), "type": kind}).hostPath
    assert source is not None
    with pytest.raises(OSError, match=f"hostPath type check failed: .*none {problem}"):
        volumes.check_host_path(source)


def test_a_host_path_is_made(tmp_path: Path) -> None:
    for name, kind in (("a/b", "DirectoryOrCreate"), ("f", "FileOrCreate"), ("g", "")):
        source = volume(hostPath={"path": str(tmp_path / name), "type": kind}).hostPath
        assert source is not None
        volumes.check_host_path(source)
    assert (tmp_path / "a/b").is_dir()
    assert (tmp_path / "f").is_file()
    assert (tmp_path / "g").is_dir()


MOUNTS = mounttable.parse(
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "23 22 0:5 / /proc rw - proc proc rw\n"
    "24 22 8:2 / /home rw - xfs /dev/sdb rw\n"
    "25 24 0:9 / /home/a\\040b rw - tmpfs tmpfs rw\n"
    "26 22 0:7 / /run rw - tmpfs tmpfs rw\n"
    "27 26 0:8 / /run/x rw - tmpfs tmpfs rw\n"
    "nonsense\n"
)


def test_the_mounts_of_a_host() -> None:
    assert [one.place for one in mounttable.below(MOUNTS, "/", ("/run",))] == ["/home", "/home/a b"]
    assert mounttable.kind_at(MOUNTS, "/home/x") == "xfs"
    assert mounttable.kind_at(MOUNTS, "/homes") == "ext4"
    assert mounttable.kind_at(MOUNTS, "/run/x/y") == "tmpfs"


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"image": "any", "command": ["sh", "-ec", script], **more}


@root
def test_volumes_in_a_container(tmp_path: Path) -> None:
    """Every kind at once, at places that the host does not have; then an update, and an end that leaves nothing."""

    async def test(cluster: Cluster) -> None:
        config = {"metadata": {"name": "settings"}, "data": {"a.conf": "one", "script": "echo ran"}}
        await cluster.api.create(CONFIGMAPS, codec.decode(ConfigMap, codec.encode(config)), "default")
        mounts = [
            {"name": "config", "mountPath": "/etc/no-such-program/conf.d"},
            {"name": "config", "mountPath": "/srv/only/a.conf", "subPath": "a.conf"},
            {"name": "scratch", "mountPath": "/data"},
            {"name": "memory", "mountPath": "/memory"},
            {"name": "token", "mountPath": "/var/run/secrets/vault"},
            {"name": "labels", "mountPath": "/labels"},
            {"name": "claim", "mountPath": "/var/lib/database", "subPath": "data"},
            {"name": "secret", "mountPath": "/no/such/folder"},
            {"name": "all", "mountPath": "/host", "readOnly": True, "mountPropagation": "HostToContainer"},
        ]
        sources = [
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "token", "projected": {"sources": [TOKEN]}},
            {
                "name": "labels",
                "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]},
            },
            {"name": "claim", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "secret", "secret": {"secretName": "password"}},
            {"name": "all", "hostPath": {"path": "/", "type": "Directory"}},
        ]
        script = (
            "test $(cat /etc/no-such-program/conf.d/a.conf) = one; test $(cat /srv/only/a.conf) = one;"
            " echo kept >/var/lib/database/file; echo x >/data/y; test $(cat /labels/n) = web;"
            " test -s /var/run/secrets/vault/t; test $(cat /no/such/folder/p) = secret;"
            " ! touch /etc/no-such-program/conf.d/x; ! head -c 2M /dev/zero >/memory/full;"
            " echo mine >/etc/fairlead-test; mkdir /var/lib/fairlead-test;"
            f" touch {told}.first; until grep -q two /etc/no-such-program/conf.d/a.conf; do sleep 0.02; done;"
            " test $(cat /srv/only/a.conf) = one; test -e /host/usr/bin/env; ! touch /host/fairlead-test"
        )
        container = shell(script, volumeMounts=mounts)
        await cluster.run("web", container, volumes=sources, restartPolicy="Never")

        async def complaint() -> str:
            events = (await cluster.api.list(EVENTS, "default")).items
            return next((e.message for e in events if e.reason == "FailedMount"), "")

        while not await complaint():
            await cluster.until("web", lambda pod: pod.status.phase == "Pending")
        waiting = state(await cluster.until("web", lambda pod: pod.status.containerStatuses)).state.waiting
        assert waiting is not None
        assert waiting.reason == "ContainerCreating"
        assert await complaint() == (
            'MountVolume.SetUp failed for volume "claim" : persistentvolumeclaim "disk" not found'
        )
        claim = {"metadata": {"name": "disk"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        claim["spec"] |= {"resources": {"requests": {"storage": "1Gi"}}}  # type: ignore[operator]
        kind = PERSISTENTVOLUMECLAIMS.type
        await cluster.api.create(PERSISTENTVOLUMECLAIMS, codec.decode(kind, codec.encode(claim)), "default")
        secret = {"metadata": {"name": "password"}, "stringData": {"p": "secret"}}
        await cluster.api.create(SECRETS, codec.decode(Secret, codec.encode(secret)), "default")
        await eventually(Path(f"{told}.first").exists)
        assert not Path("/etc/fairlead-test").exists()
        assert not Path("/var/lib/fairlead-test").exists()
        assert not Path("/data/y").exists()
        claims = list((cluster.config.claims_directory / "default").glob("disk.*/data/file"))
        assert [path.read_text() for path in claims] == ["kept\n"]
        await cluster.api.patch(CONFIGMAPS, "settings", "default", {"data": {"a.conf": "two"}})
        pod = await cluster.until("web", lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        assert pod.status.phase == "Succeeded", state(pod)
        await cluster.api.delete(PODS, "web", "default")
        await cluster.gone("web")
        await eventually(lambda: not list((cluster.config.state_directory / "pods").iterdir()))
        assert claims[0].exists()

    with signal_file() as (_, told):
        with_cluster(tmp_path, test)


@root
def test_a_token_in_a_volume_is_renewed_before_it_expires(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        mounts = [{"name": "token", "mountPath": "/var/run/secrets/vault"}]
        container = shell("exec sleep 1000", volumeMounts=mounts)
        source = [{"name": "token", "projected": {"sources": [TOKEN]}}]
        await cluster.run("web", container, volumes=source, terminationGracePeriodSeconds=0)
        made = await cluster.until("web", is_ready)
        api, config = cluster.node_api, cluster.config
        recorder = Recorder(api, "test", "node1")
        node = agent.node_of(api, config, recorder)
        kept = volumes.Volumes(PodState(node, made.metadata.uid, made))
        file = config.state_directory / "pods" / made.metadata.uid / "volumes/token/t"
        now = time.time()
        _, again = await kept.prepare(made, now)
        assert again is not None
        asked = time.time() - now  # its ten minutes began meanwhile, at a whole second
        assert 0.8 * 599 <= again - now <= 0.8 * (600 + asked), "80 % of its life"
        first = file.read_text()
        await kept.prepare(made, again - 1)
        assert file.read_text() == first
        await kept.prepare(made, again)
        assert file.read_text() not in ("", first)
        kept.release()
        await recorder.close()

    with_cluster(tmp_path, test)
