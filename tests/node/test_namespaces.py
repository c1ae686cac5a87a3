"""Namespaces, made and entered in the real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.node import namespaces
from tests.node.places import in_child, interfaces, root
from tests.ordinary import user_namespaces


@root
def test_a_network_namespace_stays_at_its_path_until_removed(tmp_path: Path) -> None:
    def test() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.keep_mounts(namespaces.MS_PRIVATE)
        path = tmp_path / "net"
        before = os.stat("/proc/self/ns/net").st_ino
        fd = namespaces.make_network(path)
        assert os.stat("/proc/self/ns/net").st_ino == before
        assert os.fstat(fd).st_ino == os.stat(path).st_ino != before
        again = namespaces.make_network(path)
        assert os.fstat(again).st_ino == os.fstat(fd).st_ino
        with namespaces.entered(fd):
            assert interfaces() == ["lo"]
            assert os.stat("/proc/thread-self/ns/net").st_ino == os.fstat(fd).st_ino
        assert os.stat("/proc/thread-self/ns/net").st_ino == before
        namespaces.remove_network(path)
        assert not path.exists()
        namespaces.remove_network(path)

    in_child(test)


@root
def test_a_network_namespace_goes_though_its_directory_was_mounted_over_itself(tmp_path: Path) -> None:
    """The first `ip netns add` of a machine does that."""

    def test() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.keep_mounts(namespaces.MS_PRIVATE)
        path, stays = tmp_path / "net", tmp_path / "stays"
        for each in (path, stays):
            os.close(namespaces.make_network(each))
        namespaces.mount(tmp_path, tmp_path, flags=namespaces.MS_BIND | namespaces.MS_REC)
        namespaces.remove_network(path)
        assert not path.exists()
        assert namespaces.is_namespace(stays)
        namespaces.umount(tmp_path, namespaces.MNT_DETACH)
        assert not path.exists()
        assert namespaces.is_namespace(stays)
        assert str(path) not in Path("/proc/self/mountinfo").read_text()

    in_child(test)


@root
def test_a_socket_belongs_to_the_namespace_it_was_made_in(tmp_path: Path) -> None:
    def test() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.keep_mounts(namespaces.MS_PRIVATE)
        fd = namespaces.make_network(tmp_path / "net")
        with namespaces.socket_in(fd) as sock, pytest.raises(OSError, match="unreachable"):
            sock.connect(("127.0.0.1", 9))  # its loopback is down
        namespaces.remove_network(tmp_path / "net")

    in_child(test)


@root
def test_an_error_says_what_failed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot mount tmpfs on {tmp_path}/nowhere: No such file"):
        namespaces.mount("none", tmp_path / "nowhere", "tmpfs")


@root
@user_namespaces
def test_an_ordinary_user_becomes_root_of_a_user_namespace() -> None:
    def test() -> None:
        os.setgroups([])
        os.setgid(1234)
        os.setuid(1234)
        namespaces.prctl(namespaces.PR_SET_DUMPABLE, 1)  # as after an exec: /proc/self is the user's own
        namespaces.become_root()
        assert os.geteuid() == 0
        namespaces.unshare(namespaces.CLONE_NEWNET | namespaces.CLONE_NEWUTS)
        namespaces.set_hostname("fairlead-test")
        assert os.uname().nodename == "fairlead-test"
        namespaces.set_sysctl("net/ipv4/ip_forward", 1)

    in_child(test)
