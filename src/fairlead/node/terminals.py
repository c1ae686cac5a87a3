"""Terminals of containers: opened inside, where their names are true, and handed out to those who read and write them.

Each container has terminals of its own (a devpts that is mounted for it alone), as runc makes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import termios

TIOCSPTLCK = 0x40045431
"""ioctl_tty(2): unlocks the other side of a terminal."""

TIOCGPTPEER = 0x5441
"""ioctl_tty(2): opens the other side of a terminal, whatever is mounted where."""


def take(door: int, owner: int | None) -> None:
    """Makes a new terminal the calling process's own, with its streams; the other side goes out at a socket.

    The process leads a session. Raises OSError where the container has no terminals.
    """
    ours = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(ours, TIOCSPTLCK, b"\0\0\0\0")
    theirs = fcntl.ioctl(ours, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    if owner is not None:
        with contextlib.suppress(OSError):  # a user that the namespace does not know
            os.fchown(theirs, owner, -1)
    with socket.socket(fileno=os.dup(door)) as sock:
        socket.send_fds(sock, [b"t"], [ours])
    os.close(ours)
    for target in (0, 1, 2):
        os.dup2(theirs, target)
    os.close(theirs)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def given(sock: socket.socket) -> int | None:
    """The terminal that came at a socket; None where none will come. Raises BlockingIOError while it may."""
    _, descriptors, _, _ = socket.recv_fds(sock, 1, 1, socket.MSG_CMSG_CLOEXEC)
    return descriptors[0] if descriptors else None
