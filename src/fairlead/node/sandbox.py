"""A pod's sandbox: the process that is PID 1 of the pod, and the parent of its containers.

The agent forks it (no exec: what the agent has imported is there already, and its memory is shared). It makes the pod's
namespaces, links the pod with the node, and then does what the agent asks for over a socket in the pod's state
directory: start a container, send it a signal, run a command in it. It decides nothing: restarts are the agent's
business. It outlives the agent, keeps every container's history on disk and tells it to the next agent that connects.

When it dies the kernel kills the whole pod, network and all.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from fairlead.node import container, logs, namespaces, network, records, terminals, termination
from fairlead.node.commands import Commands
from fairlead.node.images import Image, program
from fairlead.node.logs import ContainerLog
from fairlead.node.records import (
    Attach,
    Changed,
    ContainerRecord,
    Done,
    Exec,
    History,
    MemoryVolume,
    Message,
    Request,
    Run,
    SandboxRecord,
    SandboxSpec,
    Signal,
    Snapshot,
    Start,
)
from fairlead.node.streams import Output

MOST_DESCRIPTORS = 8
"""Descriptors that come with one message."""


MOST_PROCESSES = 4096
"""Processes and threads that a pod may have at a time, where the kernel can limit them."""


def fork(spec: SandboxSpec, directory: Path, images: Mapping[str, Image]) -> tuple[int, int]:
    """Forks a sandbox; gives a child that is to be waited for, and a pipe.

    The pipe tells "ok" when the socket `directory`/control can be connected to and the network is there, and a
    sentence when that failed. The sandbox is the child's child: a PID namespace is for children, and only its owner
    can leave it again, which the root of a user namespace is not. Blocks only for the fork itself: about 2 ms for a
    process of 100 MB.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.unshare(namespaces.CLONE_NEWPID)
            if os.fork() == 0:
                _main(spec, directory, images, writer)
        except BaseException as error:
            os.write(writer, (str(error) or repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    return pid, reader


def control_socket(directory: Path, *, listen: bool) -> socket.socket:
    """The sandbox's socket, listening or connected. By way of /proc, since a socket's path has 107 bytes at most."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{fd}/control"
        if listen:
            (directory / "control").unlink(missing_ok=True)
            sock.bind(path)
            sock.listen(8)
        else:
            sock.connect(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(fd)
    sock.setblocking(False)
    return sock


def _main(spec: SandboxSpec, directory: Path, images: Mapping[str, Image], ready: int) -> NoReturn:
    """The life of the sandbox's process, from the fork to its end."""
    try:
        gc.freeze()  # what came from the agent is never looked at again, so its pages stay shared
        # The agent's event loop is not ours, though it seems to run.
        asyncio._set_running_loop(None)
        os.setsid()
        container.reset_signals()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        namespaces.prctl(namespaces.PR_SET_NAME, f"pod:{spec.name}"[:15].encode())
        node = namespaces.open_network()
        container.forget_descriptors((ready, node))
        _redirect(directory / "sandbox.log")
        # /proc is still the node's: it says the pid by which the agent, and its successor, will know this process.
        outer = int(os.readlink("/proc/self"))
        record = SandboxRecord(pid=outer, ticks=records.start_ticks(outer), created_at=time.time(), spec=spec)
        records.write(directory / "sandbox.json", record)
        _make_namespaces(spec, directory, node)
        sandbox = _Sandbox(spec, directory, images, control_socket(directory, listen=True))
        os.write(ready, b"ok")
        os.close(ready)
        ready = -1
        sandbox.serve()
    except BaseException as error:
        if ready >= 0:
            os.write(ready, (str(error) or repr(error)).encode())
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _redirect(path: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _make_namespaces(spec: SandboxSpec, directory: Path, node: int) -> None:
    flags = namespaces.CLONE_NEWNS
    if not spec.host_ipc:
        flags |= namespaces.CLONE_NEWIPC
    if not spec.host_network:
        flags |= namespaces.CLONE_NEWNET | namespaces.CLONE_NEWUTS
    namespaces.unshare(flags)
    if not spec.host_network:
        namespaces.set_hostname(spec.hostname)
        network.connect(node, spec.uid, spec.addresses)
    os.close(node)
    # What is unmounted on the host goes here too, or the pod would hold other nodes' namespaces for ever.
    namespaces.keep_mounts(namespaces.MS_SLAVE)
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV
    if not spec.host_processes:
        namespaces.mount("proc", "/proc", "proc", quiet | namespaces.MS_NOEXEC)
        _limit_processes()
    if not spec.host_ipc:
        namespaces.mount("tmpfs", "/dev/shm", "tmpfs", quiet, "mode=1777,size=64m")  # noqa: S108
    _set_sysctls(spec)
    for volume in spec.memory:
        _mount_memory(directory / "volumes" / volume.name, volume)
    files = directory / "etc"
    files.mkdir(exist_ok=True)
    (files / "resolv.conf").write_text(spec.resolv_conf)
    (files / "hosts").write_text(spec.hosts)
    (files / "hostname").write_text(spec.hostname + "\n")


def _set_sysctls(spec: SandboxSpec) -> None:
    """What the pod asks for, and what container runtimes give to every pod: low ports and ping for all users."""
    if not spec.host_network:
        for name, value in (("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")):
            with contextlib.suppress(OSError):  # groups that an ordinary user's namespace does not have
                namespaces.set_sysctl(f"net/ipv4/{name}", value)
    for name, value in spec.sysctls.items():
        try:
            namespaces.set_sysctl(name.translate({ord("."): "/", ord("/"): "."}), value)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot set the sysctl {name} to {value}: {error.strerror}"
            ) from error


def _mount_memory(folder: Path, volume: MemoryVolume) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    options = ["mode=2777" if volume.group is not None else "mode=777"]
    if volume.size:
        options.append(f"size={volume.size}")
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV
    namespaces.mount("tmpfs", folder, "tmpfs", quiet, ",".join(options))
    if volume.group is not None:
        with contextlib.suppress(OSError):  # a group that the lab's user namespace does not have
            os.chown(folder, -1, volume.group)


def _limit_processes() -> None:
    """Leaves the node some process ids when a container forks without end: the pod's PID namespace has its own limit.

    Before Linux 6.14 there is one limit for the whole machine, which is not ours to change: a pod is not limited then.
    """
    if namespaces.kernel() >= (6, 14):
        namespaces.set_sysctl("kernel/pid_max", MOST_PROCESSES)


@dataclass
class _Running:
    """A container's process, and what it takes to run a command beside it."""

    start: Start
    pid: int
    pidfd: int
    log: ContainerLog
    outputs: dict[str, Output] = field(default_factory=dict)
    input: int = -1
    """Where its standard input is written to, or its terminal; -1 if nobody can."""


@dataclass(eq=False)
class _Peer:
    """A connection from the agent."""

    sock: socket.socket
    received: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    """Those that came along, for the next request."""


class _Sandbox:
    def __init__(
        self, spec: SandboxSpec, directory: Path, images: Mapping[str, Image], listener: socket.socket
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._images = images
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._histories = records.read_histories(directory)
        self._running: dict[str, _Running] = {}
        self._commands: Commands[_Peer] = Commands(
            self._selector, lambda pidfd: self._fork_into(namespaces.CLONE_NEWPID, pidfd), self._send
        )
        self._peers: set[_Peer] = set()
        (directory / "containers").mkdir(exist_ok=True)

    def serve(self) -> None:
        """Does the agent's bidding until it is killed."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while True:
            for key, _ in self._selector.select(self._commands.timeout()):
                key.data()
            self._reap()
            self._commands.expire()

    # The agent's connections.

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        peer = _Peer(sock)
        self._peers.add(peer)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._receive(peer))
        self._send(peer, Snapshot(self._histories))

    def _receive(self, peer: _Peer) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                peer.sock, 65536, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        peer.descriptors += descriptors
        if not data:
            self._drop(peer)
            return
        *lines, peer.received = (peer.received + data).split(b"\n")
        for line in lines:
            self._answer(peer, records.decode_request(line))

    def _answer(self, peer: _Peer, request: Request) -> None:
        try:
            if isinstance(request, Start):
                self._start(request)
            elif isinstance(request, Signal):
                self._signal(request)
            elif isinstance(request, Attach):
                self._attach(peer, request)
                return
            else:
                self._execute(peer, request)
                return  # answered when the command has ended
        except (OSError, IndexError, ValueError) as error:
            self._send(peer, Done(request=request.request, error=str(error)))
        else:
            self._send(peer, Done(request=request.request))

    def _send(self, peer: _Peer, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends or drops the connection: an agent that does not read must not stop the pod."""
        data = records.encode(message) + b"\n"
        try:
            if socket.send_fds(peer.sock, [data], descriptors) != len(data):
                raise BlockingIOError
        except OSError:
            self._drop(peer)

    def _drop(self, peer: _Peer) -> None:
        if peer in self._peers:
            self._peers.discard(peer)
            self._selector.unregister(peer.sock)
            peer.sock.close()
            for fd in peer.descriptors:
                os.close(fd)
            self._commands.abandon(peer)
            for running in self._running.values():
                for output in running.outputs.values():
                    output.forget(peer)

    def _record(self, history: History) -> None:
        name = history.current.name
        self._histories[name] = history
        try:
            records.write(self._directory / "containers" / f"{name}.json", history)
        except OSError as error:  # a full disk: this process knows, and only who comes after it would not
            logs.complain(f"cannot record what container {name} does: {error}")
        for peer in tuple(self._peers):
            self._send(peer, Changed(name=name, history=history))

    # Containers.

    def _start(self, start: Start) -> None:
        known = self._histories.get(start.name)
        if known and known.current.running:
            raise OSError(f"container {start.name} runs already")
        own = not (self._spec.share_processes or self._spec.host_processes)
        beside = self._running.get(start.target)
        if start.target and own and beside is None:
            raise OSError("the target container is not running")
        run = self._builtin(start) if start.builtin else None
        logs.prune(self._directory / "logs" / start.name, start.attempt)
        log = ContainerLog(self._log_file(start.name, start.attempt))
        door, theirs, outputs, entry = _door() if start.tty else _pipes(start)
        report, to_report = os.pipe()
        pid = self._fork_into(namespaces.CLONE_NEWPID if own else 0, beside.pidfd if beside and own else -1)
        if pid == 0:
            container.become(
                start,
                shared=self._spec.shared,
                own_processes=own,
                pod_files=self._directory / "etc",
                streams=theirs,
                terminal=start.tty,
                report=to_report,
                run=run,
            )
        started = time.time()
        pidfd = os.pidfd_open(pid)
        for fd in {*theirs, to_report}:
            os.close(fd)
        problem = _drain(report)
        if door is not None:
            with door:
                terminal = None if problem else terminals.given(door)
            if terminal is not None:
                outputs, entry = {"stdout": terminal}, os.dup(terminal)
        record = ContainerRecord(
            name=start.name,
            id=secrets.token_hex(32),
            attempt=start.attempt,
            image=start.image,
            pid=pid,
            started_at=started,
        )
        if problem:
            os.waitpid(pid, 0)
            for fd in {*outputs.values(), entry, pidfd} - {-1}:
                os.close(fd)
            log.close()
            record = _not_started(record, problem)
        else:
            running = _Running(start, pid, pidfd, log, input=entry)
            self._running[record.id] = running
            for stream, fd in outputs.items():
                self._follow(running, fd, stream)
        self._record(History(record, known.current if known else None))

    def _log_file(self, name: str, attempt: int) -> Path:
        return self._directory / "logs" / name / f"{attempt}.log"

    def _builtin(self, start: Start) -> Callable[[], int]:
        image = self._images.get(start.builtin)
        run = program(image) if image is not None else None
        if run is None:
            raise OSError(f"the pod's sandbox knows no built-in image {start.builtin}")
        return run

    def _fork_into(self, kind: int, pidfd: int = -1) -> int:
        """Forks a child into a new PID namespace (CLONE_NEWPID), that of `pidfd`, or this one (0)."""
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if pidfd >= 0:
                namespaces.setns(pidfd, namespaces.CLONE_NEWPID)
            elif kind:
                namespaces.unshare(kind)
            pid = -1
            try:
                pid = os.fork()
            finally:
                if pid != 0:
                    namespaces.setns(own, namespaces.CLONE_NEWPID)
            return pid
        finally:
            os.close(own)

    def _follow(self, running: _Running, fd: int, stream: str) -> None:
        def ended(output: Output) -> None:
            del running.outputs[output.name]
            if not running.outputs:
                running.log.close()

        running.outputs[stream] = Output(self._selector, fd, stream, running.log, ended)

    def _attach(self, peer: _Peer, request: Attach) -> None:
        """Gives the container's output to descriptors of the agent, and its input to the agent."""
        given, peer.descriptors = peer.descriptors, []
        try:
            running = self._known(request.id)
            while given:
                # What has ended already is at its end for those who come late.
                if (output := running.outputs.get(request.streams[-len(given)])) is not None:
                    output.attach(given[0], peer)
                else:
                    os.close(given[0])
                del given[0]
        finally:
            for fd in given:
                os.close(fd)
        wanted = (request.stdin or running.start.tty) and running.input >= 0
        answer = Done(request=request.request, tty=running.start.tty)
        self._send(peer, answer, (running.input,) if wanted else ())
        if wanted and running.start.stdin_once and not running.start.tty:
            os.close(running.input)  # it ends with the copy that was sent
            running.input = -1

    def _known(self, container_id: str) -> _Running:
        running = self._running.get(container_id)
        if running is None:
            raise OSError("the container is not running")
        return running

    def _signal(self, request: Signal) -> None:
        running = self._running.get(request.id)
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(running.pidfd, request.number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            if not self._commands.ended(pid, code):
                self._ended(pid, code)

    def _ended(self, pid: int, code: int) -> None:
        for history in self._histories.values():
            record = history.current
            if record.pid == pid and record.running:
                running = self._running.pop(record.id)
                # Its end is told when its last words are in the log: the pod may be ended then at once.
                for output in tuple(running.outputs.values()):
                    output.drain()
                for fd in {running.pidfd, running.input} - {-1}:
                    os.close(fd)
                ended = ContainerRecord(
                    name=record.name,
                    id=record.id,
                    attempt=record.attempt,
                    image=record.image,
                    started_at=record.started_at,
                    finished_at=time.time(),
                    exit_code=code,
                    reason="Error" if code else "Completed",
                    message=self._last_message(running, record, code),
                )
                self._record(History(ended, history.previous))
                return

    def _last_message(self, running: _Running, record: ContainerRecord, code: int) -> str:
        def log() -> Path:
            for output in tuple(running.outputs.values()):
                output.drain()
            return self._log_file(record.name, record.attempt)

        file = termination.file_of(self._directory, record.name, record.attempt)
        return termination.message(file, running.start.message_policy, code, log)

    # Commands in containers.

    def _execute(self, peer: _Peer, request: Exec | Run) -> None:
        given: list[int] = []
        if isinstance(request, Run):
            given, peer.descriptors = peer.descriptors, []
        try:
            running = self._known(request.id)
            if isinstance(request, Run):
                self._commands.run(peer, request, running.start, running.pidfd, given)
            else:
                self._commands.execute(peer, request, running.start, running.pidfd)
        finally:
            for fd in given:
                os.close(fd)


Streams = tuple[socket.socket | None, tuple[int, int, int], dict[str, int], int]
"""Of a container: where its terminal comes from; its standard input, output and error; its outputs to read from; its
input to write to, or -1."""


def _pipes(start: Start) -> Streams:
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    source, entry = os.pipe() if start.stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    return None, (source, to_out, to_err), {"stdout": out, "stderr": err}, entry


def _door() -> Streams:
    """For a terminal, which the container opens itself: what is printed on it counts as standard output."""
    ours, theirs = socket.socketpair()
    return ours, (theirs.detach(),) * 3, {}, -1


def _drain(fd: int) -> str:
    """Reads a pipe to its end, and closes it."""
    with open(fd, "rb") as file:
        return file.read().decode(errors="replace")


def _not_started(record: ContainerRecord, problem: str) -> ContainerRecord:
    """As containerd reports a program that could not be started: exit code 128, and the epoch as its start."""
    now = time.time()
    return ContainerRecord(
        name=record.name,
        id=record.id,
        attempt=record.attempt,
        image=record.image,
        started_at=0,
        finished_at=now,
        exit_code=128,
        reason="StartError",
        message=(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
            f"runc create failed: unable to start container process: error during container init: {problem}"
        ),
    )
