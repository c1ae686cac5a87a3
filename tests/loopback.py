"""Addresses and ports of the loopback network that stay free until a test uses them."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack


def own_address() -> str:
    """An address of 127.0.0.0/8 for this process alone: from 127.64.0.0 on, by the process's number.

    A port of 127.0.0.1 that was free a moment ago may be anybody's now: a server's, or that of a connection, for which
    the kernel picks from the same range. Here nobody else listens, and no connection begins here.
    """
    number = os.getpid()  # 22 bits at most
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def free_ports(count: int) -> list[int]:
    """So many different ports of `own_address` that nobody listens on, over TCP."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((own_address(), 0))
        return [sock.getsockname()[1] for sock in sockets]
