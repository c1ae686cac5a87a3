"""A container's first process, from the fork to the program: the code that runs inside the child.

The container sees the host's files as they are, so that whatever is installed there can be run, with these of its own:

- /proc, of its own PID namespace (the pod's with `shareProcessNamespace`);
- /etc/resolv.conf, /etc/hosts, /etc/hostname and /dev/shm, which are the pod's (mounted by the sandbox);
- /run, empty but for the pod's token, which client libraries look for in it;
- /tmp, empty: pods of one host would otherwise find each other's files there, and a probe like `cat /tmp/healthy`,
  which half the manifests have, would speak of another pod. What a program needs of the host's /tmp and /run (this very
  package in a checkout there, what /etc/resolv.conf leads to) stays visible at its place.

It runs as the user of the agent unless the pod says otherwise; resources are not limited.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import signal
import sys
import termios
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from fairlead.node import namespaces
from fairlead.node.records import Start

POD_FILES = ("resolv.conf", "hosts", "hostname")

ACCOUNT = "account"
"""The folder in the pod's state directory with the files of its ServiceAccount."""

ACCOUNT_MOUNT = "secrets/kubernetes.io/serviceaccount"
"""Where a container finds them, below /var/run."""


def forget_descriptors(keep: Sequence[int] = ()) -> None:
    """Points every inherited descriptor above 2, but those in `keep`, at /dev/null.

    They are not closed: objects of the parent which this process will never use (sockets, the event loop's pipes)
    still hold their numbers, and would close or write to whatever took a number next.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in os.listdir("/proc/self/fd"):
        fd = int(entry)
        if fd > 2 and fd != null and fd not in keep:
            try:
                os.dup2(null, fd, inheritable=False)
            except OSError as error:  # the descriptor of the listing itself is gone by now
                if error.errno != errno.EBADF:
                    raise


def reset_signals() -> None:
    """Every signal does what it does in a new program, and none is blocked."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):  # those that the C library keeps for itself
                continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def become(
    start: Start,
    *,
    shared: Sequence[str],
    own_processes: bool,
    pod_files: Path,
    streams: tuple[int, int, int],
    terminal: bool,
    report: int,
    run: Callable[[], int] | None,
) -> NoReturn:
    """Turns this process, forked by the sandbox, into the container. Never returns.

    `streams` are the descriptors for standard input, output and error, and `terminal` says whether they are one. On
    failure a sentence is written to `report`, which is otherwise closed when the program starts.
    """
    try:
        os.setsid()
        _wire(streams, terminal=terminal)
        _own_files(start, shared=shared, own_processes=own_processes, pod_files=pod_files)
        reset_signals()
        _change_user(start)
        _change_directory(start)
        os.environ.clear()
        os.environ.update(start.environment)
        if terminal:
            os.environ.setdefault("TERM", "xterm")  # as containerd does
        if run is None:
            _execute(start.argv)
        forget_descriptors((report,))
        os.close(report)
    except BaseException as error:
        os.write(report, (str(error) or repr(error)).encode())
        os._exit(128)
    os._exit(_call(run, start.argv) if run else 128)


def join(
    start: Start, argv: Sequence[str], streams: tuple[int, int, int], report: int, *, terminal: bool
) -> NoReturn:
    """Turns this process, forked by the sandbox into a container's namespaces, into a command there."""
    try:
        os.setsid()
        _wire(streams, terminal=terminal)
        reset_signals()
        _change_user(start)
        _change_directory(start)
        os.environ.clear()
        os.environ.update(start.environment)
        if terminal:
            os.environ.setdefault("TERM", "xterm")  # as containerd does
        _execute(argv)
    except BaseException as error:
        os.write(report, (str(error) or repr(error)).encode())
    os._exit(128)


def mount_pod_files(root: Path, directory: Path) -> None:
    """Puts the pod's resolv.conf, hosts and hostname over those in ROOT/etc.

    Where one of them is missing on the host, there is nothing to mount on; then /etc as a whole becomes a read-only
    union of the pod's files and the host's.
    """
    targets = {name: root / "etc" / name for name in POD_FILES}
    if all(target.is_file() for target in targets.values()):
        for name, target in targets.items():
            namespaces.mount(directory / name, target, flags=namespaces.MS_BIND)
    else:
        namespaces.mount("overlay", root / "etc", "overlay", data=f"lowerdir={directory}:{root}/etc")


def _wire(streams: tuple[int, int, int], *, terminal: bool) -> None:
    for fd, target in zip(streams, (0, 1, 2), strict=True):
        os.dup2(fd, target)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _own_files(start: Start, *, shared: Sequence[str], own_processes: bool, pod_files: Path) -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    account = pod_files.with_name(ACCOUNT)
    if start.root:
        _enter_root(Path(start.root), pod_files, account)
    if own_processes or start.root:
        flags = namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC
        namespaces.mount("proc", "/proc", "proc", flags)
    if not start.root:
        leads_to = (os.path.realpath(f"/etc/{name}") for name in POD_FILES)
        _own_run(Path("/var/run").resolve(), (*shared, *leads_to), account)
        _empty("/tmp", shared, "mode=1777,size=50%")  # noqa: S108


def _own_run(run: Path, shared: Sequence[str], account: Path) -> None:
    """Gives the container a /run with nothing but the account's files in it, where the pod has some."""
    if not run.is_dir():
        return
    files = os.open(account, os.O_PATH | os.O_CLOEXEC) if account.is_dir() else -1
    _empty(str(run), shared, "mode=755,size=10%")
    if files >= 0:
        (run / ACCOUNT_MOUNT).mkdir(parents=True)
        namespaces.mount(f"/proc/self/fd/{files}", run / ACCOUNT_MOUNT, flags=namespaces.MS_BIND)
        os.close(files)


def _empty(place: str, shared: Sequence[str], options: str) -> None:
    """Hides what the host has at a place, but for what is shared."""
    inside = [path for path in shared if Path(path).is_relative_to(place)]
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in inside if os.path.exists(path)]
    namespaces.mount("tmpfs", place, "tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV, options)
    for path, fd in held:
        if os.path.exists(path):  # inside another one of them
            continue
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.makedirs(path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).touch()
        namespaces.mount(f"/proc/self/fd/{fd}", path, flags=namespaces.MS_BIND | namespaces.MS_REC)
        os.close(fd)


def _enter_root(root: Path, pod_files: Path, account: Path) -> None:
    namespaces.mount(root, root, flags=namespaces.MS_BIND | namespaces.MS_REC)
    for name in ("dev", "sys"):
        if (root / name).is_dir():
            namespaces.mount(Path("/", name), root / name, flags=namespaces.MS_BIND | namespaces.MS_REC)
    if (root / "etc").is_dir():
        mount_pod_files(root, pod_files)
    var_run = root / "var/run"
    _own_run(root / "run" if var_run.is_symlink() or not var_run.is_dir() else var_run, (), account)
    # pivot_root(".", "."): the old root lands on top of the new one, and is taken off (pivot_root(2)).
    os.chdir(root)
    namespaces.pivot_root(".", ".")
    namespaces.umount(".", namespaces.MNT_DETACH)
    os.chdir("/")
    if not Path("/proc").is_dir():
        raise OSError(f"the image's folder {root} has no /proc to mount on")


def _change_user(start: Start) -> None:
    if start.group is not None or start.user is not None:
        os.setgroups(())
        os.setgid(start.group or 0)
    if start.user is not None:
        os.setuid(start.user)


def _change_directory(start: Start) -> None:
    try:
        os.chdir(start.directory or "/")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OSError(f'chdir to cwd ("{start.directory}") set in config.json failed: {reason}') from error


def _execute(argv: Sequence[str]) -> None:
    """Replaces this process by the program. Raises with the words of runc where it cannot be."""
    program = argv[0]
    path = program if "/" in program else shutil.which(program)
    if path is None:
        raise OSError(f'exec: "{program}": executable file not found in $PATH')
    try:
        os.execv(path, list(argv))  # noqa: S606 -- what the pod asks for
    except FileNotFoundError as error:
        raise OSError(f'exec: "{program}": stat {program}: no such file or directory') from error
    except OSError as error:
        raise OSError(f'exec: "{program}": {(error.strerror or "").lower()}') from error


def _call(run: Callable[[], int], argv: Sequence[str]) -> int:
    """Calls a built-in image as if its program had just started; gives the exit status."""
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = list(argv)
    logging.getLogger("fairlead").handlers.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as the interpreter does at its start
    try:
        status = run()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status
