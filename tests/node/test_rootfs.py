"""The root of a container: an image's folder alone, or over the host's files; the disk keeps nothing of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from fairlead.node import trees
from fairlead.node.images import Image
from tests.node.isolation import in_child
from tests.node.places import ORDINARY, Cluster, root, with_cluster
from tests.node.pods import state
from tests.ordinary import user_namespaces

BUSYBOX = shutil.which("busybox", path="/usr/bin:/bin")


def make_root(folder: Path) -> None:
    """The smallest root there is: busybox, the libraries it needs, two files in /etc."""
    assert BUSYBOX is not None
    needed = subprocess.run(["ldd", BUSYBOX], capture_output=True, text=True, check=False).stdout
    for path in ("/bin/busybox", *re.findall(r"(/\S+) \(0x", needed)):
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUSYBOX if path == "/bin/busybox" else path, target)
    (folder / "etc").mkdir()
    (folder / "var").mkdir()
    (folder / "var/image").touch()
    (folder / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\napp:x:1234:1235::/:/bin/sh\n")
    (folder / "etc/issue").write_text("of the image\n")
    for applet in ("sh", "grep", "mkdir", "id"):
        (folder / "bin" / applet).symlink_to("busybox")


def entry(script: str) -> tuple[str, ...]:
    """A script in which every command is busybox's."""
    return ("/bin/busybox", "sh", "-exc", script)


SAME = (
    "grep 'of the image' /etc/issue; test -s /etc/resolv.conf; test -d /proc/1; test -c /dev/null; echo x >/new;"
    " echo changed >/etc/issue; mkdir -p /var/lib/made; test -e /deep/er/place/file; test -f /single/file"
)
ALONE = f"{SAME}; test ! -e /usr/bin; test ! -e /host-only"
OVER = f"{SAME}; test -d /usr/bin; test -e /var/image; test -d /var/cache; test -r /etc/services; test -e /etc/hosts"
NAMED = "test $(id -u):$(id -g) = 1234:1235"


@root
@pytest.mark.skipif(BUSYBOX is None, reason="the root folder of this test is busybox's: install busybox")
@pytest.mark.parametrize("ordinary", [False, pytest.param(True, marks=user_namespaces)])
def test_a_root_folder_alone_and_over_the_host(ordinary: bool) -> None:
    # The folder lies in one that it has itself, /var: the kernel does not lay one over the other.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="a:b,c") as temporary:
        folder = Path(temporary, "root")
        folder.parent.chmod(0o755)
        make_root(folder)
        if ordinary:
            subprocess.run(["chown", "-R", f"{ORDINARY}:{ORDINARY}", str(folder)], check=True)
        source = Path(temporary, "source")
        (source / "deep").mkdir(parents=True)
        (source / "deep/file").touch()
        state_directory = Path(temporary, "state")
        state_directory.mkdir()

        async def test(cluster: Cluster) -> None:
            volume = {"name": "v", "hostPath": {"path": str(source), "type": "Directory"}}
            mounts = [
                {"name": "v", "mountPath": "/deep/er/place", "subPath": "deep"},
                {"name": "v", "mountPath": "/single/file", "subPath": "deep/file", "readOnly": True},
            ]
            for name in ("alone", "over", "named"):
                one = {"image": name, "volumeMounts": mounts}
                await cluster.run(name, one, volumes=[volume], restartPolicy="Never")
            for name in ("alone", "over", "named"):
                done = await cluster.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
                logs = (cluster.config.state_directory / "pods" / done.metadata.uid / "logs").rglob("*.log")
                assert done.status.phase == "Succeeded", (
                    name,
                    [log.read_text() for log in logs],
                    state(done),
                )

        images = {
            "alone": Image(entrypoint=entry(ALONE), root=folder),
            "over": Image(entrypoint=entry(OVER), root=folder, overlay=True),
            "named": Image(entrypoint=entry(NAMED), root=folder, user="app"),
        }
        with_cluster(state_directory, test, images, ordinary=ordinary)
        assert (folder / "etc/issue").read_text() == "of the image\n"
        assert not (folder / "new").exists()
        assert not (folder / "deep").exists()
        assert not Path("/new").exists()


def test_a_folder_is_removed_whatever_its_modes_are(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    closed = tmp_path / "tree/closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner/file").touch()
    (closed / "link").symlink_to(tmp_path / "kept")
    (closed / "inner").chmod(0)
    closed.chmod(0o500)
    trees.remove(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert (tmp_path / "kept/file").exists()
    trees.remove(tmp_path / "tree")


@root
@pytest.mark.parametrize("user", [0, ORDINARY], ids=["root", "a user"])
def test_a_folder_is_removed_however_deep_it_is(user: int) -> None:
    """Deeper than Python recurses, than a process has descriptors, and than a path is long."""
    with tempfile.TemporaryDirectory(
        prefix="fairlead-test-", dir="/dev/shm"
    ) as text:  # in memory: in no time
        os.chown(text, user, user)

        def child() -> None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            os.chdir(text)
            for name in ("tree", *["deep"] * 1500):
                os.mkdir(name)
                os.chdir(name)
                Path("file").touch()
            Path("../closed").mkdir(0o500)
            os.chdir("..")
            os.chmod(".", 0o500)
            trees.remove(Path(text, "tree"))
            assert os.listdir(text) == []

        in_child(child)
