"""The agent's hold on a pod's sandbox: making one, finding one again, asking it for things.

All of it belongs to the agent's event loop. The sandbox's own side is `sandbox/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fairlead.node import namespaces, records, strays, trees
from fairlead.node.images import Image
from fairlead.node.records import (
    Changed,
    Done,
    Exec,
    History,
    Message,
    Request,
    SandboxRecord,
    SandboxSpec,
    Signal,
    Snapshot,
    Start,
)
from fairlead.node.sandbox.control import control_socket
from fairlead.node.sandbox.process import fork

START_TIMEOUT = 30.0
"""Seconds that a sandbox may take to make its namespaces, to start a container, and to send a signal."""


DYING_SECONDS = 10.0
"""How long pods that were killed are waited for. The kernel takes milliseconds, unless a process waits for a disk."""


class SandboxError(OSError):
    """The sandbox could not be made, is gone, or refused a request; the message says why."""


class Sandbox:
    """A running sandbox. `histories` is what it has told of its containers; `changed` is called when that changes.

    `gone` is set once its process has ended, and `changed` is called then, too.
    """

    def __init__(self, directory: Path, record: SandboxRecord, changed: Callable[[], None]) -> None:
        self.directory = directory
        self.record = record
        self.histories: Mapping[str, History] = {}
        self.gone = asyncio.Event()
        self._changed = changed
        self._pidfd = -1
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[Done]] = {}
        self._requests = 0

    async def start(self, request: Start) -> None:
        """Starts a container. Whether its program could be started, its history tells. Raises `SandboxError`."""
        await self._soon(request, f"start container {request.name}")

    async def signal(self, container: str, number: int) -> None:
        """Signals the run of a container with this id; nothing happens if that has ended. Raises `SandboxError`."""
        await self._soon(Signal(id=container, number=number), "signal a container")

    async def _soon(self, request: Request, what: str) -> None:
        """Asks for what takes no time.

        A sandbox that has not answered within `START_TIMEOUT` is killed, and the pod with it: nobody would see its
        containers end, and the pod begins anew in another, or goes.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._ask(request)
        except TimeoutError:
            self._kill()
            text = f"the pod's sandbox did not {what} within {START_TIMEOUT:g} s; it is killed"
            raise SandboxError(text) from None

    async def execute(self, container: str, argv: tuple[str, ...], timeout: float) -> Done:
        """Runs a command in a running container, for at most `timeout` seconds."""
        return await self._ask(Exec(id=container, argv=argv, timeout=timeout))

    async def kill(self) -> None:
        """Ends the pod's every process at once, and waits until they are gone."""
        self._kill()
        await self.gone.wait()

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def release(self) -> None:
        """Lets go of the sandbox, which goes on running: the agent ends."""
        self._forget_process()
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def _ask(self, request: Request) -> Done:
        if self._writer is None or self.gone.is_set():
            raise SandboxError("the pod's sandbox is gone")
        self._requests += 1
        number = self._requests
        answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._writer.write(records.encode(msgspec.structs.replace(request, request=number)) + b"\n")
        try:
            done = await answer
        finally:
            self._answers.pop(number, None)
        if done.error:
            raise SandboxError(done.error)
        return done

    async def _connect(self) -> None:
        """Watches the process, connects to it, and waits for its first words."""
        pidfd = records.open_process(self.record)
        if pidfd is None:
            raise SandboxError("the pod's sandbox is gone")
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._ended)
        try:
            sock = control_socket(self.directory, listen=False)
            reader, self._writer = await asyncio.open_unix_connection(sock=sock, limit=1 << 20)
            self._heard(records.decode_message(await reader.readline()))
        except (OSError, msgspec.DecodeError) as error:
            self._forget_process()
            raise SandboxError(f"the pod's sandbox does not answer: {error}") from error
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hears what the sandbox says, to the end. One that hangs up is killed: nobody would see its containers end."""
        try:
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    self._heard(records.decode_message(line))
                    self._changed()
            self._kill()
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(SandboxError("the pod's sandbox is gone"))

    def _heard(self, message: Message) -> None:
        if isinstance(message, Snapshot):
            self.histories = message.containers
        elif isinstance(message, Changed):
            self.histories = {**self.histories, message.name: message.history}
        else:
            answer = self._answers.get(message.request)
            if answer is not None and not answer.done():
                answer.set_result(message)

    def _ended(self) -> None:
        self._forget_process()
        _reap(self.record.pid)
        self.gone.set()
        self._changed()

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


async def create(
    spec: SandboxSpec, directory: Path, images: Mapping[str, Image], changed: Callable[[], None]
) -> Sandbox:
    """Makes a pod's sandbox; what an earlier one left in `directory` (the containers' histories) is kept.

    Returns when the pod has its network, after about 20 ms. Raises `SandboxError`, leaving no process behind.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    records.settle(directory)
    (directory / "sandbox.json").unlink(missing_ok=True)
    # The sandbox's parent ends at once; it is for us then to take the sandbox's exit status.
    namespaces.prctl(namespaces.PR_SET_CHILD_SUBREAPER, 1)
    child, pipe = fork(spec, directory, images)
    try:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                said = await _read_all(pipe)
        except TimeoutError:
            said = f"it was not ready after {START_TIMEOUT:.0f} s"
        if said != "ok":
            raise SandboxError(f"cannot make the pod's sandbox: {said or 'its process died'}")
        record = records.read_sandbox(directory)
        if record is None:
            raise SandboxError("cannot make the pod's sandbox: it left no record")
        made = Sandbox(directory, record, changed)
        await made._connect()
    except BaseException:
        end(directory)
        raise
    finally:
        _reap(child)
    return made


async def adopt(directory: Path, changed: Callable[[], None]) -> Sandbox | None:
    """Takes hold of the sandbox that runs in `directory`; None if none does."""
    record = records.read_sandbox(directory)
    if record is None:
        return None
    found = Sandbox(directory, record, changed)
    try:
        await found._connect()
    except SandboxError:
        # Without its socket it is of no use: it was killed while it was being made.
        end(directory)
        return None
    return found


def end(directory: Path) -> bool:
    """Kills the sandbox that `directory` tells of, if it still runs, and all of the pod with it."""
    record = records.read_sandbox(directory)
    pidfd = records.open_process(record) if record else None
    if pidfd is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    return True


def remove_all(state_directory: Path) -> list[str]:
    """Ends every pod that the agent with this state directory has started; gives their namespaces and names.

    For taking down a node whose agent does not run. Their files go when the last process of each has ended: one that
    still writes would leave some.
    """
    pods = sorted((state_directory / "pods").glob("*"))
    known = [(directory, records.read_sandbox(directory)) for directory in pods]
    killed = [record for directory, record in known if record is not None and end(directory)]
    deadline = time.monotonic() + DYING_SECONDS
    for record in killed:
        _wait(record, deadline - time.monotonic())
    for directory in pods:
        trees.remove(directory)
    strays.end(state_directory)
    return [f"{record.spec.namespace}/{record.spec.name}" for record in killed]


def _wait(record: SandboxRecord, seconds: float) -> None:
    """Returns when a sandbox that was killed has ended, which it does after all other processes of its pod."""
    pidfd = records.open_process(record)
    if pidfd is not None:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        ended.poll(max(0.0, seconds) * 1000)
        os.close(pidfd)


def _reap(pid: int) -> None:
    """Takes the status of a process that has ended, if it is a child: an earlier agent's sandbox is not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


async def _read_all(fd: int) -> str:
    """Reads a pipe to its end without blocking the loop, and closes it.

    By hand: uvloop's transport closes the descriptor of a pipe twice, and what another thread has opened in between
    with it.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    parts: list[bytes] = []

    def read() -> None:
        try:
            part = os.read(fd, 65536)
        except BlockingIOError:
            return
        parts.append(part)
        if not part and not ended.done():
            ended.set_result(None)

    os.set_blocking(fd, False)
    loop.add_reader(fd, read)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return b"".join(parts).decode()
