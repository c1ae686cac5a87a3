"""Commands inside a lab: on a node, in a pod, outside the cluster."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fairlead.lab import members, topology
from fairlead.lab.network import Refused
from fairlead.lab.state import Record, StateDirectory
from fairlead.node import namespaces
from fairlead.node.records import ContainerRecord, SandboxRecord, open_process, read_histories, read_sandbox

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""What a shell gives for a command that is not there, or that is no program."""

_POD = namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWUTS


@dataclass(frozen=True)
class Pod:
    """Where a pod runs: its sandbox's process, and a container of it that runs, if one does."""

    sandbox: SandboxRecord
    container: ContainerRecord | None


def execute(directory: StateDirectory, target: str, command: Sequence[str]) -> int:
    """Runs a command in the foreground, with this process's terminal and working folder; gives its exit status.

    `target` is node/NAME, pod/NAME, pod/NAMESPACE/NAME or outside. A command that a signal ended gives 128 and the
    signal's number. Raises Refused when there is no such place, NoLab when there is no such lab.
    """
    record = directory.read()
    kind, _, rest = target.partition("/")
    if kind == "outside" and not rest:
        _enter_lab(record)
        return _in_namespace(directory, topology.OUTSIDE, command)
    if kind == "node" and rest:
        names = {member.name: member.stopped for member in members.read(directory)}
        if rest not in names:
            raise Refused(f"there is no node {rest!r} in the lab; its nodes are {', '.join(names)}")
        if names[rest]:
            raise Refused(f"{rest} is stopped; 'fairlead lab node start{directory.option} {rest}' starts it")
        _enter_lab(record)
        return _in_namespace(directory, rest, command)
    if kind == "pod" and rest and rest.count("/") <= 1:
        namespace, _, name = rest.rpartition("/")
        pod = find_pod(directory, namespace or "default", name)
        _enter_lab(record)
        return _in_pod(pod, command)
    raise Refused(f"{target!r} is no place in a lab: use node/NAME, pod/NAME, pod/NAMESPACE/NAME or outside")


def find_pod(directory: StateDirectory, namespace: str, name: str) -> Pod:
    """The pod of that name, as its node's agent has recorded it. Raises Refused when none runs.

    Of two it is the younger: one that was deleted without a grace may run on when its successor is there.
    """
    found = [
        (path, sandbox)
        for path in directory.pods()
        if (sandbox := read_sandbox(path))
        and (sandbox.spec.namespace, sandbox.spec.name) == (namespace, name)
    ]
    for path, sandbox in sorted(found, key=lambda each: each[1].ticks, reverse=True):
        pidfd = open_process(sandbox)
        if pidfd is None:
            continue
        os.close(pidfd)
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            running = [h.current for h in read_histories(path).values() if h.current.running]
            return Pod(sandbox, running[0] if running else None)
    raise Refused(f"there is no running pod {name!r} in namespace {namespace!r} of the lab")


def inside(record: Record, work: Callable[[], None]) -> None:
    """Does something to the lab's network, in a fork that has joined the namespaces of an ordinary user's lab.

    Raises Refused with what the fork has to say when it fails.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            # Not to go on, in a lab that may be removed, when the command is killed.
            namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)
            _enter_lab(record)
            if record.user_namespace:
                # Whoever leaves the host's network namespace for another one may not come back to it.
                namespaces.unshare(namespaces.CLONE_NEWNET)
            work()
            status = 0
        except (Refused, OSError) as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status:
        raise Refused(said or "the lab's network could not be changed: the process that does it was ended")


def _enter_lab(record: Record) -> None:
    """Joins the namespaces that an ordinary user's lab lives in; nothing to do for root's."""
    if not record.user_namespace:
        return
    here = os.getcwd()
    for process in (record.supervisor, record.keeper):
        fd = process.identity.pidfd() if process else None
        if fd is not None:
            namespaces.setns(fd, namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNS)
            os.close(fd)
            os.chdir(here)
            return
    raise Refused(
        f"the lab {record.name!r} does not run any more; 'fairlead lab down' removes what is left of it"
    )


def _in_namespace(directory: StateDirectory, name: str, command: Sequence[str]) -> NoReturn:
    try:
        network = namespaces.open_network(directory.network.path(name))
    except FileNotFoundError:
        raise Refused(
            f"the lab {directory.name!r} has no namespace for {name}: is it being removed?"
        ) from None
    namespaces.setns(network, namespaces.CLONE_NEWNET)
    namespaces.unshare(namespaces.CLONE_NEWUTS)
    namespaces.set_hostname(name)
    _become(command, dict(os.environ))


def _in_pod(pod: Pod, command: Sequence[str]) -> int:
    try:
        pid = _container_pid(pod) if pod.container else None
        environment = _environment(pod, pid)
        pidfd = os.pidfd_open(pid or pod.sandbox.pid)
        # Joining a PID namespace concerns children only: the command is one, and this process waits for it.
        namespaces.enter_mounts(pidfd, _POD)
    except (FileNotFoundError, ProcessLookupError):
        spec = pod.sandbox.spec
        raise Refused(f"pod {spec.namespace}/{spec.name} has just ended") from None
    child = os.fork()
    if child == 0:
        try:
            os.chdir("/")
            _become(command, environment)
        finally:
            os._exit(NOT_FOUND)
    return _wait(child)


def _container_pid(pod: Pod) -> int | None:
    """The container's process as this process sees it; its record has the number that the sandbox sees."""
    sandbox, wanted = pod.sandbox.pid, pod.container.pid if pod.container else 0
    for child in Path(f"/proc/{sandbox}/task/{sandbox}/children").read_text().split():
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                numbers = line.split()
                # NSpid: one number for each PID namespace, from ours inwards; the sandbox's comes next.
                if numbers[0] == "NSpid:" and str(wanted) in numbers[2:3]:
                    return int(child)
    return None


def _environment(pod: Pod, pid: int | None) -> dict[str, str]:
    """The container's environment; that of a built-in image, which runs without exec, cannot be read."""
    found: dict[str, str] = {}
    if pid is not None:
        with contextlib.suppress(OSError):
            entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape").split("\0")
            found = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    if found.get("HOSTNAME") != pod.sandbox.spec.hostname:
        found = {"HOSTNAME": pod.sandbox.spec.hostname, "PATH": os.environ.get("PATH", os.defpath)}
    if "TERM" in os.environ:
        found.setdefault("TERM", os.environ["TERM"])
    return found


def _become(command: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Replaces the process by the command."""
    # Debian keeps ip, nft and the like where an ordinary user's PATH does not look.
    path = environment.get("PATH", os.defpath)
    environment["PATH"] = os.pathsep.join(
        [path, *(d for d in ("/usr/sbin", "/sbin") if d not in path.split(":"))]
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 -- the user's own command
    except (FileNotFoundError, NotADirectoryError):
        os.write(2, f"fairlead: {command[0]}: command not found\n".encode())
        os._exit(NOT_FOUND)
    except OSError as error:
        os.write(2, f"fairlead: {command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_EXECUTABLE)


def _wait(child: int) -> int:
    """Waits for the command, handing on what should end it; the terminal's signals reach it by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
