"""Whether the lab's cloud holds a node to be well: what it answers, and what follows from its answers so far.

A node that is dead and a program that is slow are told apart by who answers. The connection is the node's kernel's to
accept, which takes no time to speak of; the line that follows it is a program's, which may wait for a processor.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass
from enum import Enum

PATIENCE = 0.4
"""Seconds that a node has for its answer."""
FAILURES = 2
"""So many in a row, and a node gets no more connections; one good answer brings it back."""
LATE = 10
"""So many answers in a row that do not come in time, and the next ones are failures."""
DEAD_AFTER = 5
"""So many times in a row no answer at all, and what the node carried is dealt out anew, to be refused elsewhere."""

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
_LONGEST_LINE = 1024

Place = tuple[str, int]
"""A node's address, and the port at which it is asked."""


class Answer(Enum):
    """How a node answers."""

    WELL = "well"
    UNWELL = "unwell"
    """It says that it is not, or nobody listens: what it carries may go on."""
    LATE = "late"
    """Its kernel has accepted the connection, and its program says nothing yet: the node is alive, and busy."""
    SILENT = "silent"
    """Nothing comes back: the node is dead, or cannot be reached."""


@dataclass(frozen=True)
class Standing:
    """How a place has answered until now: in a row, each. One that is new has to answer before it gets anything."""

    failures: int = FAILURES
    late: int = 0
    silences: int = 0

    @property
    def is_well(self) -> bool:
        """Whether new connections may be led there."""
        return self.failures < FAILURES

    @property
    def is_dead(self) -> bool:
        """Whether what it carries is lost."""
        return self.silences >= DEAD_AFTER

    def after(self, answer: Answer) -> Standing:
        """The standing after one more answer. What is late tells nothing new, until it is late too often."""
        if answer is Answer.WELL:
            return Standing(failures=0)
        late = self.late + 1 if answer is Answer.LATE else 0
        excused = answer is Answer.LATE and late <= LATE
        silences = self.silences + 1 if answer is Answer.SILENT else 0
        return Standing(self.failures + (not excused), late, silences)


async def answer_of(place: Place) -> Answer:
    """How a node's health server answers: well is a status of 200."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(asking, place)
                await loop.sock_sendall(
                    asking, b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
                )
                line = b""
                while b"\n" not in line and len(line) < _LONGEST_LINE:
                    if not (more := await loop.sock_recv(asking, _LONGEST_LINE)):
                        break
                    line += more
                return Answer.WELL if b" 200 " in line.partition(b"\n")[0] else Answer.UNWELL
        except TimeoutError:
            return Answer.LATE if _is_connected(asking) else Answer.SILENT
        except OSError as error:
            return Answer.SILENT if error.errno in _UNREACHABLE else Answer.UNWELL


def _is_connected(sock: socket.socket) -> bool:
    """As the kernel knows it: this process may have been too late itself to hear of it."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
