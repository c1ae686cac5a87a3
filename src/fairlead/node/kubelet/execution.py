"""Commands in containers, and attachments to them: their streams connected with a client's."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.node import terminals
from fairlead.node.kubelet import descriptors, remotecommand
from fairlead.node.kubelet.clients import Client, Input, InputEnd, Size
from fairlead.node.kubelet.remotecommand import Output, Wanted
from fairlead.node.records import Attach, Run, Stream
from fairlead.node.runtime import SandboxError
from fairlead.node.session import Session
from fairlead.objects.meta_v1 import Status

IDLE_SECONDS = 4 * 3600.0
"""After how long without a byte in either direction a client is sent away (upstream: the kubelet's own default)."""


@dataclass
class _Ends:
    """Our ends of a command's streams: outputs by name, its input or its terminal."""

    outputs: dict[Output, int]
    input: int = -1
    terminal: int = -1

    def close_input(self) -> None:
        """Nothing more comes. A terminal has no such end."""
        if self.input >= 0 and self.input != self.terminal:
            os.close(self.input)
        self.input = -1

    def close(self) -> None:
        """Closes all of them."""
        for fd in {*self.outputs.values(), self.input, self.terminal} - {-1}:
            os.close(fd)


async def execute(
    client: Client, directory: Path, container_id: str, argv: tuple[str, ...], wanted: Wanted
) -> None:
    """Runs a command in a running container for a client, and ends it when the client is gone.

    `directory` is the state directory of the pod. Raises ConnectionError where the client is gone first.
    """
    status = remotecommand.failed("the pod is gone")
    try:
        session = Session(directory)
    except SandboxError as error:
        await client.finish(remotecommand.failed(str(error)))
        return
    door, inside = socket.socketpair() if wanted.tty else (None, None)
    ends, theirs = (_Ends({}), {}) if inside is not None else _open(wanted)
    try:
        given = [*theirs.values(), *([inside.detach()] if inside is not None else [])]
        try:
            session.send(Run(id=container_id, argv=argv, streams=tuple(theirs), tty=wanted.tty), given)
        finally:
            for fd in given:
                os.close(fd)
        if door is not None and (terminal := await _handed_out(door)) is not None:
            ends.terminal = terminal
            ends.input = terminal if wanted.stdin else -1
            ends.outputs = {"stdout": terminal} if wanted.stdout else {}
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        status = await _serve(client, ends, over, _exit_status(session, over))
    finally:
        session.close()
        ends.close()
        if door is not None:
            door.close()
    await client.finish(status)


async def _handed_out(door: socket.socket) -> int | None:
    """The command's terminal; None where it could not be run, and the answer says why."""
    door.setblocking(False)
    while True:
        try:
            terminal = terminals.given(door)
        except BlockingIOError:
            await descriptors.readable(door.fileno())
            continue
        if terminal is not None:
            os.set_blocking(terminal, False)
        return terminal


async def attach(client: Client, directory: Path, container_id: str, wanted: Wanted) -> None:
    """Connects a client with the streams of a running container until either ends. Raises as `execute`."""
    try:
        session = Session(directory)
    except SandboxError as error:
        await client.finish(remotecommand.failed(str(error)))
        return
    pairs = {name: os.pipe2(os.O_CLOEXEC) for name in wanted.outputs}
    ends = _Ends({name: ours for name, (ours, _) in pairs.items()})
    try:
        for ours, _ in pairs.values():
            os.set_blocking(ours, False)
        try:
            asked = Attach(id=container_id, streams=tuple(pairs), stdin=wanted.stdin)
            session.send(asked, tuple(theirs for _, theirs in pairs.values()))
        finally:
            for _, theirs in pairs.values():
                os.close(theirs)
        try:
            done, came = await session.answer()
        except SandboxError as error:
            await client.finish(remotecommand.failed(str(error)))
            return
        if came:
            os.set_blocking(came[0], False)
            ends.input = came[0] if wanted.stdin else -1
            ends.terminal = came[0] if done.tty else -1
            if ends.input < 0 and ends.terminal < 0:
                os.close(came[0])
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        status = await _serve(client, ends, over, None)
    finally:
        session.close()
        ends.close()
    await client.finish(status)


def _open(wanted: Wanted) -> tuple[_Ends, Mapping[Stream, int]]:
    """Pipes for a command: our ends, and its own by their names."""
    ends, streams = _Ends({}), dict[Stream, int]()
    if wanted.stdin:
        streams["stdin"], ends.input = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ends.input, False)
    for name in wanted.outputs:
        ends.outputs[name], streams[name] = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ends.outputs[name], False)
    return ends, streams


async def _exit_status(session: Session, over: asyncio.Future[None]) -> Status:
    try:
        done, _ = await session.answer()
    except SandboxError as error:
        return remotecommand.failed(str(error))
    finally:
        # What others, whom the command has left behind, write to its streams from now on is not waited for.
        if not over.done():
            over.set_result(None)
    return remotecommand.exited(done.exit_code)


async def _serve(
    client: Client,
    ends: _Ends,
    over: asyncio.Future[None],
    exit_status: Coroutine[Any, Any, Status] | None,
) -> Status:
    """Copies until the command has ended and all it wrote is sent. Raises ConnectionError where the client is gone."""
    outputs = [asyncio.ensure_future(_show(client, name, fd, over)) for name, fd in ends.outputs.items()]
    ended = asyncio.ensure_future(exit_status) if exit_status is not None else None
    waited: list[asyncio.Future[Any]] = [*outputs, *([ended] if ended is not None else [])]
    # An attachment without output lasts until its client goes.
    finished = asyncio.gather(*waited) if waited else asyncio.get_running_loop().create_future()
    listening = asyncio.ensure_future(_listen(client, ends))
    idle = asyncio.ensure_future(_idle(client))
    try:
        await asyncio.wait((finished, listening, idle), return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            for one in (listening, idle):
                if one.done():
                    one.result()
            raise ConnectionError("the client is gone")
        await finished
        return ended.result() if ended is not None else remotecommand.succeeded()
    finally:
        tasks = [*outputs, listening, idle, *([ended] if ended is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(finished, *tasks, return_exceptions=True)


async def _show(client: Client, name: Output, fd: int, over: asyncio.Future[None]) -> None:
    while data := await descriptors.read(fd, over):
        await client.send(name, data)


async def _listen(client: Client, ends: _Ends) -> None:
    """What the client does, until it is gone."""
    while (event := await client.receive()) is not None:
        if isinstance(event, Size):
            if ends.terminal >= 0:
                with contextlib.suppress(OSError):
                    size = struct.pack("HHHH", event.rows, event.columns, 0, 0)
                    fcntl.ioctl(ends.terminal, termios.TIOCSWINSZ, size)
        elif isinstance(event, Input):
            if ends.input >= 0:
                try:
                    await descriptors.write(ends.input, event.data)
                except OSError:  # nobody reads it any more
                    ends.close_input()
        elif isinstance(event, InputEnd):
            ends.close_input()


async def _idle(client: Client) -> None:
    while (left := client.active + IDLE_SECONDS - time.monotonic()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left)
    raise ConnectionError(f"nothing has passed for {IDLE_SECONDS:.0f} s")
