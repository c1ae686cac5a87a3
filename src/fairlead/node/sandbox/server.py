"""What a sandbox does until it is killed: the agent's requests, the containers' output, the ends of processes."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from fairlead.node import namespaces
from fairlead.node.images import Image
from fairlead.node.records import (
    Attach,
    Changed,
    Done,
    Exec,
    Request,
    Run,
    SandboxSpec,
    Signal,
    Snapshot,
    Start,
)
from fairlead.node.sandbox.commands import Commands
from fairlead.node.sandbox.control import Connections, Peer
from fairlead.node.sandbox.forking import fork_into
from fairlead.node.sandbox.running import Containers


class Server:
    """Serves those who connect to `listener`. Nothing in it may block for longer than a container takes to start."""

    def __init__(
        self, spec: SandboxSpec, directory: Path, images: Mapping[str, Image], listener: socket.socket
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._containers = Containers(
            spec,
            directory,
            images,
            self._selector,
            lambda history: self._connections.tell(Changed(name=history.current.name, history=history)),
        )
        self._connections = Connections(
            self._selector,
            listener,
            lambda: Snapshot(self._containers.histories),
            self._answer,
            self._forget,
        )
        self._commands: Commands[Peer] = Commands(
            self._selector,
            lambda pidfd: fork_into(namespaces.CLONE_NEWPID, pidfd),
            self._connections.send,
        )

    def serve(self) -> NoReturn:
        """Does the agent's bidding until this process is killed."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        while True:
            for key, _ in self._selector.select(self._commands.timeout()):
                key.data()
            self._reap()
            self._commands.expire()

    def _answer(self, peer: Peer, request: Request) -> None:
        try:
            if isinstance(request, Start):
                self._containers.start(request)
            elif isinstance(request, Signal):
                self._containers.signal(request)
            elif isinstance(request, Attach):
                self._attach(peer, request)
                return
            else:
                self._execute(peer, request)
                return  # answered when the command has ended
        except (OSError, IndexError, ValueError) as error:
            self._connections.send(peer, Done(request=request.request, error=str(error)))
        else:
            self._connections.send(peer, Done(request=request.request))

    def _attach(self, peer: Peer, request: Attach) -> None:
        """Gives the container's output to descriptors of the agent, and its input to the agent."""
        running = self._containers.attach(request, peer.take(), peer)
        wanted = (request.stdin or running.start.tty) and running.input >= 0
        answer = Done(request=request.request, tty=running.start.tty)
        self._connections.send(peer, answer, (running.input,) if wanted else ())
        if wanted and running.start.stdin_once and not running.start.tty:
            running.close_input()  # it ends with the copy that was sent

    def _execute(self, peer: Peer, request: Exec | Run) -> None:
        given = peer.take() if isinstance(request, Run) else []
        try:
            running = self._containers.known(request.id)
            if isinstance(request, Run):
                self._commands.run(peer, request, running.start, running.pidfd, given)
            else:
                self._commands.execute(peer, request, running.start, running.pidfd)
        finally:
            for fd in given:
                os.close(fd)

    def _forget(self, peer: Peer) -> None:
        self._commands.abandon(peer)
        self._containers.detach(peer)

    def _reap(self) -> None:
        """Takes the status of every process that has ended, those that the pod's own have left behind among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            if not self._commands.ended(pid, code):
                self._containers.ended(pid, code)
