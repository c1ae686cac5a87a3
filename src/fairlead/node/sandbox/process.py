"""A pod's sandbox: the process that is PID 1 of the pod, and the parent of its containers.

The agent forks it (no exec: what the agent has imported is there already, and its memory is shared). It makes the
pod's namespaces (`podnamespaces`), links the pod with the node, and then does what the agent asks for (`server`) over a
socket in the pod's state directory (`control`): start a container, send it a signal (`running`), run a command in it
(`commands`). It decides nothing: restarts are the agent's business. It outlives the agent, keeps every container's
history on disk and tells it to the next agent that connects.

When it dies the kernel kills the whole pod, network and all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from fairlead.node import container, namespaces, records, strays
from fairlead.node.images import Image
from fairlead.node.records import SandboxRecord, SandboxSpec
from fairlead.node.sandbox import podnamespaces
from fairlead.node.sandbox.control import control_socket
from fairlead.node.sandbox.server import Server


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
        _redirect(directory / strays.LOG)
        # /proc is still the node's: it says the pid by which the agent, and its successor, will know this process.
        outer = int(os.readlink("/proc/self"))
        record = SandboxRecord(pid=outer, ticks=records.start_ticks(outer), created_at=time.time(), spec=spec)
        records.write(directory / "sandbox.json", record)
        podnamespaces.make(spec, directory, node)
        server = Server(spec, directory, images, control_socket(directory, listen=True))
        os.write(ready, b"ok")
        os.close(ready)
        ready = -1
        server.serve()
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
