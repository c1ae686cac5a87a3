"""A container's first process, from the fork to the program: the code that runs inside the child.

The container sees the host's files, so that whatever is installed there can be run, and keeps what it writes in a layer
of its own (`rootfs`). Of its own it has, besides:

- /proc, of its own PID namespace (the pod's with `shareProcessNamespace`), /sys and /dev (`kernelfiles`);
- /etc/resolv.conf, /etc/hosts, /etc/hostname and /dev/shm, which are the pod's;
- /run and /tmp, empty at first but for the token of the pod: pods of one host would otherwise find each other's files
  there, and a probe like `cat /tmp/healthy`, which half the manifests have, would speak of another pod. What a program
  needs of the host's (this very package in a checkout there) stays visible at its place;
- its volumes (`mounting`).

It runs with the user and the capabilities that the pod says (`privileges`).
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from fairlead.node import kernelfiles, mounting, mounttable, namespaces, privileges, terminals, trees
from fairlead.node.records import Mount, Start
from fairlead.node.rootfs import FRESH, RootFS

POD_FILES = ("resolv.conf", "hosts", "hostname")

ACCOUNT = "account"
"""The folder in the pod's state directory with the files of its ServiceAccount."""

ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a container finds them."""

LAYERS = "layers"
"""The folder in the pod's state directory with what the containers have written."""


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

    `streams` are the descriptors for standard input, output and error; with `terminal` they are a socket, at which the
    terminal goes out that is opened. On failure a sentence is written to `report`, which is otherwise closed when the
    program starts.
    """
    try:
        os.setsid()
        if not terminal:
            _wire(streams)
        _own_files(start, shared=shared, own_processes=own_processes, pod_files=pod_files)
        if terminal:
            terminals.take(streams[0], start.user)
        _settle(start, terminal=terminal)
        if run is None:
            _execute(start.argv)
        forget_descriptors((report,))
        _handle_signals()
        os.close(report)
    except BaseException as error:
        os.write(report, (str(error) or repr(error)).encode())
        os._exit(128)
    os._exit(_call(run, start.argv) if run else 128)


def join(
    start: Start, argv: Sequence[str], streams: tuple[int, int, int], report: int, *, terminal: bool
) -> NoReturn:
    """Turns this process, forked by the sandbox into a container's namespaces, into a command there; as `become`."""
    try:
        os.setsid()
        if terminal:
            terminals.take(streams[0], start.user)
        else:
            _wire(streams)
        _settle(start, terminal=terminal)
        _execute(argv)
    except BaseException as error:
        os.write(report, (str(error) or repr(error)).encode())
    os._exit(128)


def _settle(start: Start, *, terminal: bool) -> None:
    """Gives this process the signals, user, folder and environment that a program of the container begins with."""
    reset_signals()
    privileges.take(start)
    _change_directory(start)
    os.environ.clear()
    os.environ.update(start.environment)
    if terminal:
        os.environ.setdefault("TERM", "xterm")  # as containerd does


def _wire(streams: tuple[int, int, int]) -> None:
    for fd, target in zip(streams, (0, 1, 2), strict=True):
        os.dup2(fd, target)


def _own_files(start: Start, *, shared: Sequence[str], own_processes: bool, pod_files: Path) -> None:
    """Enters the container's root, with everything mounted that it is to see."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    layers = pod_files.with_name(LAYERS) / start.name
    trees.remove(layers)  # what an earlier run of the container wrote is lost, as anywhere
    lowers = [start.root] if start.root else ["/"]
    if start.over_host:
        lowers.append("/")
    mounts = _mounts(start, shared if "/" in lowers else (), pod_files)
    held = mounting.Held(mounts)
    root = RootFS(
        lowers, layers / str(start.attempt), [*(mount.place for mount in mounts), *start.files, *start.links]
    )
    kernelfiles.make(root.build(), own_processes=own_processes, privileged=start.privileged)
    with root.entered():
        _add_files(start)
        if start.directory:
            _make_folder(os.path.join("/", start.directory))
        placed = held.place()
    if start.read_only_root:
        for place in _places():
            if place == "/" or not any(mounttable.is_below(place, volume) for volume in placed):
                namespaces.make_read_only(place)
    if not start.unmasked_proc:
        kernelfiles.restrict()


def _make_folder(path: str) -> None:
    """Makes the working directory where it is missing, as runc does, and raises OSError with its words."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno or 0
        raise OSError(f"mkdir {path}: {os.strerror(number).lower()}") from error


def _add_files(start: Start) -> None:
    """Puts the files and links of the image into the root, in place of what is there: it may be another user's."""
    for path, text in start.files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).unlink(missing_ok=True)
        Path(path).write_text(text)
    for path, target in start.links.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).unlink(missing_ok=True)
        os.symlink(target, path)


def _places() -> set[str]:
    """Where files are mounted in this root, but for those in /dev."""
    mounts = mounttable.parse(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    return {"/", *(mount.place for mount in mounttable.below(mounts, "/", ("/dev",)))}


def _mounts(start: Start, shared: Sequence[str], pod_files: Path) -> list[Mount]:
    """Everything that is mounted in the root: the volumes, and what every container of the pod has."""
    taken = {os.path.normpath(mount.place) for mount in start.mounts}
    given = [Mount(source=os.fspath(pod_files / name), place=f"/etc/{name}") for name in POD_FILES]
    given.append(Mount(source="/dev/shm", place="/dev/shm"))  # noqa: S108
    account = pod_files.with_name(ACCOUNT)
    if account.is_dir():
        given.append(Mount(source=os.fspath(account), place=ACCOUNT_MOUNT, read_only=True))
    for path in shared:
        if os.path.exists(path) and any(mounttable.is_below(path, fresh) for fresh in FRESH):
            given.append(Mount(source=path, place=path, read_only=True))
    return [*(mount for mount in given if mount.place not in taken), *start.mounts]


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


def _handle_signals() -> None:
    """Gives this process the handlers of signals that a built-in image begins with, before anybody may send one.

    PID 1 ignores what it has no handler for, and programs that are imported first are late with theirs.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as the interpreter does at its start
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def _call(run: Callable[[], int], argv: Sequence[str]) -> int:
    """Calls a built-in image as if its program had just started; gives the exit status."""
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = list(argv)
    logging.getLogger("fairlead").handlers.clear()
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
