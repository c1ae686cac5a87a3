"""Linux namespaces as system calls: what Python 3.11 does not offer, by way of the C library.

Everything here works for real root and for the root of a user namespace alike. Errors are `OSError` that say
in words what could not be done. A call costs microseconds; making a network namespace costs milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000

MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_NAMES = {
    CLONE_NEWNS: "mount",
    CLONE_NEWCGROUP: "cgroup",
    CLONE_NEWUTS: "UTS",
    CLONE_NEWIPC: "IPC",
    CLONE_NEWUSER: "user",
    CLONE_NEWPID: "PID",
    CLONE_NEWNET: "network",
}
_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}


def _checked(result: int, what: str) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def _named(flags: int) -> str:
    return ", ".join(name for flag, name in _NAMES.items() if flags & flag) or "any"


def unshare(flags: int) -> None:
    """Puts this thread into new namespaces (CLONE_NEWUSER: the process, which must have one thread).

    With CLONE_NEWPID it is the next child that is in the new one, as its PID 1.
    """
    _checked(_libc.unshare(ctypes.c_int(flags)), f"cannot make a new namespace ({_named(flags)})")


def setns(fd: int, kind: int = 0) -> None:
    """Puts this thread into the namespace that `fd` is open on, or into those of a process by its pidfd.

    `kind` is one of CLONE_NEW*, or 0 for whatever `fd` is; with a pidfd it says which (several may be or-ed).
    """
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), f"cannot enter a namespace ({_named(kind)})")


def mount(
    source: str | Path | None, target: str | Path, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """mount(2). `kind` is the file system's type ("proc"); None with MS_BIND or a change of propagation."""
    result = _libc.mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _checked(result, f"cannot mount {kind or source or 'nothing'} on {target}")


def keep_mounts(propagation: int) -> None:
    """Keeps what is mounted from now on in this thread's mount namespace, which must be its own, from the others.

    `propagation` is MS_PRIVATE, or MS_SLAVE to go on following the others. In a chroot that is no mount itself, the
    one that it lies in cannot be named: there the tree is mounted once more, on a private mount, and becomes the root.
    """
    try:
        mount(None, "/", flags=MS_REC | propagation)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount(None, "/proc", flags=MS_PRIVATE)
        mount("/", "/proc", flags=MS_BIND | MS_REC)
        mount(None, "/proc", flags=MS_REC | propagation)
        os.chroot("/proc")
        os.chdir("/")


def enter_mounts(pidfd: int, others: int = 0) -> None:
    """Puts this thread into the mount namespace of a process, and into `others` of its namespaces, at its root.

    The root of a mount namespace is another than the process's where that has changed it (see `keep_mounts`).
    """
    described = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    pid = next(line.split()[1] for line in described.splitlines() if line.startswith("Pid:"))
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        setns(pidfd, CLONE_NEWNS | others)
        os.fchdir(root)
        os.chroot(".")
    finally:
        os.close(root)


def make_read_only(target: str | Path) -> None:
    """Makes one mount read-only, with what else it was mounted with; those below it stay as they are."""
    flags = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(None, target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def umount(target: str | Path, flags: int = 0) -> None:
    """umount2(2); with MNT_DETACH it goes as soon as nobody uses it."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"cannot unmount {target}")


def pivot_root(new_root: str | Path, put_old: str | Path) -> None:
    """Makes `new_root`, a mount point, the root; the old one is then at `put_old`, below it."""
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    result = _libc.syscall(ctypes.c_long(number), os.fsencode(new_root), os.fsencode(put_old))
    _checked(result, f"cannot make {new_root} the root")


def prctl(option: int, value: int | bytes = 0) -> int:
    """prctl(2) with one argument."""
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    return _checked(_libc.prctl(ctypes.c_int(option), argument, 0, 0, 0), f"prctl {option}")


def set_hostname(name: str) -> None:
    """The host name of this thread's UTS namespace."""
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), f"cannot set the host name {name}")


def pidfd_open(pid: int) -> int:
    """A descriptor of a process, readable once it has ended; close it. Raises ProcessLookupError."""
    return os.pidfd_open(pid)


def open_network(path: str | Path = "/proc/thread-self/ns/net") -> int:
    """A file descriptor of the network namespace at `path`, by default of this thread's; close it."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def entered(network: int) -> Iterator[None]:
    """Runs the block in the network namespace `network` (a file descriptor), in this thread alone.

    Never await inside: the event loop would go on in the other namespace. Costs a few microseconds.
    """
    before = open_network()
    try:
        setns(network, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(before, CLONE_NEWNET)
    finally:
        os.close(before)


def socket_in(network: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that belongs to the network namespace `network` for good, usable from any other."""
    with entered(network):
        return socket.socket(family, kind)


def kernel() -> tuple[int, int]:
    """The kernel's version, as (6, 12)."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(takewhile(str.isdigit, minor)) or 0)


def set_sysctl(name: str, value: int | str) -> None:
    """Writes /proc/sys/NAME (`net/ipv4/ip_forward`) as this thread's network namespace sees it."""
    Path("/proc/sys", name).write_text(str(value))


def make_network(path: str | Path) -> int:
    """Makes a network namespace that stays while it is mounted at `path`; gives a file descriptor of it.

    Loopback is down and there is nothing else in it. An existing one at `path` is opened instead: the call is
    idempotent. If this process's mount namespace is private, only it sees the mount.
    """
    target = Path(path)
    if is_namespace(target):
        return open_network(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    before = open_network()
    try:
        unshare(CLONE_NEWNET)
        try:
            mount("/proc/thread-self/ns/net", target, flags=MS_BIND)
            return open_network()
        finally:
            setns(before, CLONE_NEWNET)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(before)


def remove_network(path: str | Path) -> None:
    """Unmounts the namespace at `path` and removes the file; it ends with its last process. Idempotent."""
    target = Path(path)
    while is_namespace(target):
        umount(target, MNT_DETACH)
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _unlink_below(target)


def _unlink_below(target: Path) -> None:
    """Removes a file that has a mount below one of its directory over itself, as the first `ip netns add` makes it.

    The kernel lets go of the mounts on a file that is removed where nothing is mounted on it: here, in a mount
    namespace made for that.
    """

    def remove() -> None:
        unshare(CLONE_NEWNS)
        keep_mounts(MS_PRIVATE)
        directory = os.stat(target.parent)
        while os.path.samestat(directory, os.stat(target.parent)):
            while is_namespace(target):
                umount(target, MNT_DETACH)
            try:
                target.unlink(missing_ok=True)
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            umount(target.parent, MNT_DETACH)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), os.fspath(target))

    # Of its own, so that the caller stays where it is.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(remove).result()


def is_namespace(path: str | Path) -> bool:
    """Whether a namespace is mounted at `path`: it is then a file of the kernel's nsfs."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def become_root() -> None:
    """Moves the process into a user namespace in which its own user is root, if it is not root already.

    The process must have one thread. Raises OSError where the machine does not allow it to ordinary users.
    """
    if os.geteuid() == 0:
        return
    if threading.active_count() > 1:
        raise RuntimeError("only a process with one thread can enter a user namespace")
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    # user_namespaces(7): an unprivileged process may map its group only after it gave up setgroups.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
