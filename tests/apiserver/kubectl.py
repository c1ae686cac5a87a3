"""kubectl against the server of a test, in the versions that there are on this machine."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from fairlead.client import kubeconfig
from tests.apiserver.serving import TOKEN, Client

SECONDS = 150
"""How long a command may take: many run at once, also on machines that do other things."""


@cache
def kubectls() -> dict[str, str]:
    """The programs by their version: on PATH, in the virtual environment, named by FAIRLEAD_KUBECTLS."""
    beside = Path(sys.executable).parent / "kubectl"
    named = os.environ.get("FAIRLEAD_KUBECTLS", "").split(os.pathsep)
    found: dict[str, str] = {}
    for program in (*named, shutil.which("kubectl"), str(beside)):
        if program and os.access(program, os.X_OK):
            found.setdefault(version(program), program)
    return found


def version(program: str) -> str:
    """Such as "1.20"."""
    said = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True
    ).stdout
    _, _, rest = said.partition('"gitVersion": "v')
    return ".".join(rest.split(".")[:2])


def write_kubeconfig(path: Path, directory: Path, client: Client) -> Path:
    """What a client's program needs to reach the server of a test, whose files are in `directory`."""
    url = client.session._base_url
    assert url is not None
    kubeconfig.write(path, str(url).rstrip("/"), (directory / "ca.crt").read_bytes(), TOKEN)
    return path


class Kubectl:
    """Runs kubectl against the server of a test."""

    def __init__(self, directory: Path, client: Client, program: str = "kubectl") -> None:
        home = directory / f"kubectl-{version(program)}"
        home.mkdir(exist_ok=True)
        self._use(write_kubeconfig(home / "kubeconfig", directory, client), program)

    @classmethod
    def of(cls, kubeconfig: Path, program: str) -> Kubectl:
        """One for any server; its cache is beside the kubeconfig."""
        made = cls.__new__(cls)
        made._use(kubeconfig, program)
        return made

    def _use(self, kubeconfig: Path, program: str) -> None:
        self.kubeconfig = kubeconfig
        self._program = program
        # Go's collector is a quarter of what a short command costs.
        self._environment = {
            "GOGC": "400",
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(kubeconfig.parent),
        }

    async def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """What it prints."""
        status, output = await self._run(*arguments, stdin=stdin)
        assert (status != 0) is fails, f"kubectl {' '.join(arguments)}: {output}"
        return output

    async def ask(self, command: str) -> str:
        """What it prints, whether it likes the answer or not."""
        _, output = await self._run(*command.split())
        return output

    def bearing(self, token: str) -> Kubectl:
        """One that is known by nothing but a token."""
        other = copy.copy(self)
        other.kubeconfig = self.kubeconfig.with_name("bearing")
        other.kubeconfig.write_text(self.kubeconfig.read_text().replace(TOKEN, token))
        other._environment = {**self._environment, "KUBECONFIG": str(other.kubeconfig)}
        return other

    async def until(self, text: str, *arguments: str) -> None:
        """Runs one that goes on for ever, until it has printed the text."""
        printed = b""
        async with self._started(*arguments) as process:
            assert process.stdout is not None
            try:
                async with asyncio.timeout(SECONDS):
                    while text.encode() not in printed:
                        more = await process.stdout.read(4096)
                        assert more, f"kubectl {' '.join(arguments)} has ended: {printed.decode()}"
                        printed += more
            except TimeoutError:
                raise AssertionError(
                    f"kubectl {' '.join(arguments)} has printed: {printed.decode()}"
                ) from None

    async def _run(self, *arguments: str, stdin: str = "") -> tuple[int | None, str]:
        """Its status and what it prints."""
        async with self._started(*arguments, stdin=stdin) as process:
            try:
                async with asyncio.timeout(SECONDS):
                    output, _ = await process.communicate()
            except TimeoutError:
                raise AssertionError(f"kubectl {' '.join(arguments)} has not ended in {SECONDS} s") from None
        return process.returncode, output.decode()

    @asynccontextmanager
    async def _started(self, *arguments: str, stdin: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """A process that has ended after the block, killed if need be.

        Its input is a file: a command that ends without reading would break a pipe that is written to.
        """
        with tempfile.TemporaryFile() as file:
            file.write(stdin.encode())
            file.seek(0)
            process = await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                env=self._environment,
                stdin=file,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
