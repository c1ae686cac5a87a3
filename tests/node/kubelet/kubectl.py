"""kubectl against a node of a test, in the versions that there are on this machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.node.places import Cluster
from tests.waiting import LIMIT


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class Kubectl:
    """Runs a kubectl as the administrator."""

    program: str
    kubeconfig: Path
    spdy: bool = False
    """Whether it speaks SPDY as those before 1.31 do, which know nothing else."""

    @classmethod
    def of(cls, program: str, cluster: Cluster, *, spdy: bool = False) -> Kubectl:
        """One for a cluster."""
        return cls(program, cluster.kubeconfig.with_name("admin.kubeconfig"), spdy)

    @property
    def environment(self) -> dict[str, str]:
        """What it runs with."""
        found = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent)}
        for what in ("REMOTE_COMMAND", "PORT_FORWARD"):
            found[f"KUBECTL_{what}_WEBSOCKETS"] = "false" if self.spdy else "true"
        return found

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts it, with pipes for all three streams."""
        return await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Runs it to its end."""
        process = await self.start(*arguments)
        try:
            async with asyncio.timeout(LIMIT):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One that goes on until the block ends."""
        process = await self.start(*arguments)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @asynccontextmanager
    async def in_window(self, *arguments: str, rows: int, columns: int) -> AsyncIterator[Window]:
        """One that has a terminal of this size, until the block ends."""
        ours, its = pty.openpty()
        window = Window(ours)
        try:
            window.resize(rows=rows, columns=columns)
            process = await asyncio.create_subprocess_exec(
                "setsid",
                "--ctty",  # so that the kernel tells it of changes
                self.program,
                *arguments,
                env=self.environment,
                stdin=its,
                stdout=its,
                stderr=its,
            )
            try:
                yield window
            finally:
                process.kill()
                await process.wait()
        finally:
            os.close(ours)
            os.close(its)


@dataclass
class Window:
    """The terminal of a program, from outside."""

    descriptor: int
    said: bytes = b""

    def resize(self, *, rows: int, columns: int) -> None:
        """What its user does with the mouse: the kernel tells the program."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def says(self, text: str) -> None:
        """Returns when the text has been seen."""
        async with asyncio.timeout(LIMIT):
            while text.encode() not in self.said:
                self.said += await asyncio.to_thread(os.read, self.descriptor, 4096)
