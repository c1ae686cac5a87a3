"""BIRD as a child of this process: started, told its configuration, started again when it ends."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import shutil
import signal
from pathlib import Path

from fairlead import files
from fairlead.client.retry import Backoff

log = logging.getLogger("fairlead.loadbalancer")

PROGRAM = "bird"
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_PR_SET_PDEATHSIG = 1
_RECONFIGURED = (b"0003", b"0004", b"0006", b"0019")
"""Done, under way, ignored because it ends, undone: BIRD's doc/reply_codes."""
_MOMENT = 5.0
"""Seconds that BIRD has to answer, or to end."""


class BirdMissing(OSError):
    """There is no BIRD here; the text says what to do."""


def program() -> str:
    """Where BIRD is. Raises BirdMissing."""
    found = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=_PATH)
    if found is None:
        raise BirdMissing("announcing by BGP needs BIRD: install the Debian package bird2")
    return found


class Bird:
    """One BIRD, with its files in `directory`. It ends with this process, whose standard error it shares."""

    def __init__(self, directory: Path) -> None:
        """Raises BirdMissing."""
        self._program = program()
        self._file = directory / "bird.conf"
        self._control = directory / "bird.ctl"

    async def run(self) -> None:
        """Keeps BIRD going until cancelled; it takes leave of its neighbours then. `configure` has to come first."""
        libc = ctypes.CDLL(None)

        def end_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

        backoff = Backoff()
        while True:
            process = await asyncio.create_subprocess_exec(
                *(self._program, "-f", "-c", self._file, "-s", self._control),
                preexec_fn=end_with_parent,
            )
            try:
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.terminate()
                    try:
                        await asyncio.wait_for(process.wait(), _MOMENT)
                    except TimeoutError:
                        process.kill()
                        await process.wait()
            log.warning("BIRD ended with status %d; starting it again", status)
            await backoff.wait()

    async def configure(self, text: str) -> bool:
        """Replaces the configuration; a BIRD that runs changes to it at once.

        Gives whether one heard it: one that is just starting may have read the file before. Raises OSError with what
        BIRD says, and TimeoutError.
        """
        files.replace(self._file, text.encode())
        async with asyncio.timeout(_MOMENT):
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._control))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            try:
                await _answer(reader)
                writer.write(b"configure\n")
                answer = await _answer(reader)
            finally:
                writer.close()
        if answer[:4] not in _RECONFIGURED:
            said = answer[5:].decode(errors="replace").strip()
            raise OSError(f"BIRD does not take its configuration: {said}")
        return True


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The last line of an answer: the others have a '-' after the code, or are indented."""
    while True:
        line = await reader.readline()
        if not line:
            raise OSError("BIRD closed its control socket")
        if line[:4].isdigit() and line[4:5] == b" ":
            return line
