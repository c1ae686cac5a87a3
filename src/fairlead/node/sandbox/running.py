"""The containers of a pod, as its sandbox holds them: started, signalled, attached to, and recorded when they end."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.node import container, logs, namespaces, records, terminals, termination
from fairlead.node.images import Image, program
from fairlead.node.logs import ContainerLog
from fairlead.node.records import Attach, ContainerRecord, History, SandboxSpec, Signal, Start
from fairlead.node.sandbox.forking import fork_into
from fairlead.node.sandbox.streams import Output


@dataclass
class Running:
    """A container's process, and what it takes to run a command beside it."""

    start: Start
    pid: int
    pidfd: int
    log: ContainerLog
    outputs: dict[str, Output] = field(default_factory=dict)
    input: int = -1
    """Where its standard input is written to, or its terminal; -1 if nobody can."""

    def close_input(self) -> None:
        """Lets the input end, or leaves it to those who have a copy."""
        os.close(self.input)
        self.input = -1


class Containers:
    """All containers that the pod has had. `changed` is told what has become of one, when that is on disk."""

    def __init__(
        self,
        spec: SandboxSpec,
        directory: Path,
        images: Mapping[str, Image],
        selector: selectors.BaseSelector,
        changed: Callable[[History], None],
    ) -> None:
        self.histories = records.read_histories(directory)
        self._spec = spec
        self._directory = directory
        self._images = images
        self._selector = selector
        self._changed = changed
        self._running: dict[str, Running] = {}
        (directory / "containers").mkdir(exist_ok=True)

    def start(self, start: Start) -> None:
        """Starts a container, or records why it cannot be. Raises OSError for what should not have been asked for."""
        known = self.histories.get(start.name)
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
        pid = fork_into(namespaces.CLONE_NEWPID if own else 0, beside.pidfd if beside and own else -1)
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
            running = Running(start, pid, pidfd, log, input=entry)
            self._running[record.id] = running
            for stream, fd in outputs.items():
                self._follow(running, fd, stream)
        self._record(History(record, known.current if known else None))

    def known(self, container_id: str) -> Running:
        """The container with this id. Raises OSError if it does not run."""
        running = self._running.get(container_id)
        if running is None:
            raise OSError("the container is not running")
        return running

    def signal(self, request: Signal) -> None:
        """Sends a signal to a container's first process; nothing if that has ended."""
        running = self._running.get(request.id)
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(running.pidfd, request.number)

    def attach(self, request: Attach, given: list[int], owner: object) -> Running:
        """Copies the container's output to the descriptors given, which are closed when it ends or `owner` is gone.

        Raises OSError if it does not run, or has too many clients already.
        """
        try:
            running = self.known(request.id)
            while given:
                # What has ended already is at its end for those who come late.
                if (output := running.outputs.get(request.streams[-len(given)])) is not None:
                    output.attach(given[0], owner)
                else:
                    os.close(given[0])
                del given[0]
        finally:
            for fd in given:
                os.close(fd)
        return running

    def detach(self, owner: object) -> None:
        """Lets go of everything that `owner` has attached."""
        for running in self._running.values():
            for output in running.outputs.values():
                output.forget(owner)

    def ended(self, pid: int, code: int) -> None:
        """Records the end of a container; `pid` may be another process that has come to the sandbox."""
        for history in self.histories.values():
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

    def _last_message(self, running: Running, record: ContainerRecord, code: int) -> str:
        def log() -> Path:
            for output in tuple(running.outputs.values()):
                output.drain()
            return self._log_file(record.name, record.attempt)

        file = termination.file_of(self._directory, record.name, record.attempt)
        return termination.message(file, running.start.message_policy, code, log)

    def _record(self, history: History) -> None:
        name = history.current.name
        self.histories[name] = history
        try:
            records.write(self._directory / "containers" / f"{name}.json", history)
        except OSError as error:  # a full disk: this process knows, and only who comes after it would not
            logs.complain(f"cannot record what container {name} does: {error}")
        self._changed(history)

    def _log_file(self, name: str, attempt: int) -> Path:
        return self._directory / "logs" / name / f"{attempt}.log"

    def _builtin(self, start: Start) -> Callable[[], int]:
        image = self._images.get(start.builtin)
        run = program(image) if image is not None else None
        if run is None:
            raise OSError(f"the pod's sandbox knows no built-in image {start.builtin}")
        return run

    def _follow(self, running: Running, fd: int, stream: str) -> None:
        def ended(output: Output) -> None:
            del running.outputs[output.name]
            if not running.outputs:
                running.log.close()

        running.outputs[stream] = Output(self._selector, fd, stream, running.log, ended)


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
