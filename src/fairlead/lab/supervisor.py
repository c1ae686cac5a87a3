"""The supervisor of a lab and its keeper: a pair of which each brings the other back, and one its components.

Both are forks of the process that imported everything, so bringing one back costs milliseconds and no memory:

    keeper ── watches ──> supervisor ── watches ──> API server, controllers, node1, node2, ...
       ^──── watches ─────────┘

They hold the lab's lock, its listening sockets and its namespaces. A component that ended is forked again; a
supervisor that ended is forked again by the keeper and takes over the running components from the lab's record; a
keeper that ended is forked again by the supervisor. SIGTERM to either removes the lab. Neither has threads or an
event loop: they wait in poll(2), on process descriptors and on a pipe that signals write to.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from msgspec.structs import replace

from fairlead.client.retry import Backoff
from fairlead.lab import processes
from fairlead.lab.processes import Identity, identify, this_process
from fairlead.lab.state import NoLab, Process, StateDirectory, now
from fairlead.node import namespaces
from fairlead.process import configure_logging

log = logging.getLogger("fairlead.lab")

HEALTHY_SECONDS = 10.0
"""A component that lived so long is started again at once when it ends, and with the shortest delay after that."""


@dataclass(frozen=True)
class Component:
    """A process of a lab: `run` is called in the fork and gives the exit status.

    `keeps` are descriptors of the supervisor's that it alone of the components gets: the API server's sockets.
    """

    name: str
    run: Callable[[], int]
    keeps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lab:
    """What keeper and supervisor share. `held` are descriptors that no component may inherit.

    `components` gives those that there are to be now; it is asked at the start and whenever SIGUSR1 comes.
    `remove` ends the lab's processes, other than the pair, and removes what it made; it must be idempotent.
    """

    directory: StateDirectory
    components: Callable[[], Sequence[Component]]
    held: tuple[int, ...]
    remove: Callable[[], None]


class Wakeups:
    """SIGTERM, SIGCHLD and SIGUSR1 as something to poll: `fd` is readable when one came."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

    def seen(self) -> bytes:
        """The numbers of the signals that have come since the last call."""
        seen = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.fd, 4096):
                seen += chunk
        return seen

    def close(self) -> None:
        """For a fork that does not want its parent's."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write)


def fork(name: str, run: Callable[[], int]) -> int:
    """Forks a child that runs `run` and ends with its status, whatever happens in it; gives its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    # A SIGTERM between the fork and the child's own handlers would go lost in the parent's.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    pid = os.fork()
    if pid == 0:
        _child(name, run)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    return pid


def _child(name: str, run: Callable[[], int]) -> NoReturn:
    status = 1
    try:
        gc.freeze()  # what was imported before is never looked at again, so its pages stay shared
        namespaces.prctl(namespaces.PR_SET_NAME, f"fairlead-{name}"[:15].encode())
        status = run()
    except BaseException:
        logging.getLogger("fairlead.lab").exception("%s ended", name)
    finally:
        logging.shutdown()
        os._exit(status)


def reap() -> None:
    """Takes note of the ended children, so that they do not stay as zombies."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def keep(lab: Lab, supervisor: Identity | None = None) -> int:
    """The keeper's life: until the lab is removed. Without a `supervisor` to watch it forks one."""
    configure_logging("keeper", "info")
    wakeups = Wakeups()
    # Orphans of a killed supervisor become this process's children, which it waits for.
    namespaces.prctl(namespaces.PR_SET_CHILD_SUBREAPER, 1)
    backoff, forked_at = Backoff(), 0.0
    while True:
        if supervisor is None:
            if time.monotonic() - forked_at > HEALTHY_SECONDS:
                backoff.reset()
            elif forked_at:
                time.sleep(backoff.next())
            forked_at = time.monotonic()
            supervisor = _fork_supervisor(lab, wakeups)
        ended = _watch(supervisor, wakeups)
        if not (lab.directory.path / "state.json").exists():
            return 0
        if ended:
            log.warning("the supervisor ended; starting it again")
            supervisor = None


def _fork_supervisor(lab: Lab, wakeups: Wakeups) -> Identity | None:
    me = this_process()

    def run() -> int:
        wakeups.close()
        return supervise(lab, me)

    return identify(fork("supervisor", run))


def _watch(supervisor: Identity | None, wakeups: Wakeups) -> bool:
    """Waits until the supervisor has ended; hands on SIGTERM, waits for children meanwhile."""
    fd = supervisor.pidfd() if supervisor else None
    if fd is None:
        reap()
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(wakeups.fd, select.POLLIN)
    try:
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if signal.SIGTERM in wakeups.seen():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGTERM)
            reap()
            if fd in ready:
                return True
    finally:
        os.close(fd)


@dataclass
class _Running:
    """A component as the supervisor sees it: its descriptor while it runs, else when to start it again."""

    component: Component
    process: Process | None = None
    pidfd: int | None = None
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial=0.1, limit=10.0))


class Supervisor:
    """The supervisor's loop; its only state beyond the lab's record is descriptors and timers."""

    def __init__(self, lab: Lab, keeper: Identity) -> None:
        self.lab = lab
        self.wakeups = Wakeups()
        self.record = lab.directory.read()
        self.keeper = Process("keeper", keeper, since=now())
        if self.record.keeper is not None:
            self.keeper = replace(self.record.keeper, identity=keeper)
        self.keeper_fd = keeper.pidfd()
        before = self.record.supervisor
        self.me = Process("supervisor", this_process(), before.restarts + 1 if before else 0, now())
        known = {process.name: process for process in self.record.components}
        self.running = [_Running(c, known.pop(c.name, None)) for c in lab.components()]
        # What a supervisor left that was killed between two acts: the list said so, but the process was still there.
        processes.stop((process.identity for process in known.values()), grace_seconds=0)
        for entry in self.running:
            if entry.process is not None and not entry.process.waiting:
                entry.pidfd = entry.process.identity.pidfd()

    def run(self) -> int:
        """Keeps everything running until SIGTERM, then removes the lab."""
        self._write()
        poll_again = True
        while poll_again and not self.record.stopping:
            for entry in self.running:
                if entry.pidfd is None and entry.start_at <= time.monotonic():
                    self._start(entry)
            if self.keeper_fd is None:
                self._fork_keeper()
            poll_again = self._wait()
        self.record = replace(self.record, stopping=True)
        self._write()
        self.lab.remove()
        return 0

    def _wait(self) -> bool:
        """Waits for something to do; False when the lab is to be removed."""
        poll = select.poll()
        entries = {entry.pidfd: entry for entry in self.running if entry.pidfd is not None}
        for fd in (*entries, self.wakeups.fd, self.keeper_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        timers = [entry.start_at for entry in self.running if entry.pidfd is None]
        timeout = max(0.0, min(timers) - time.monotonic()) * 1000 + 1 if timers else None
        ready = {fd for fd, _ in poll.poll(timeout)}
        signals = self.wakeups.seen()
        if signal.SIGTERM in signals:
            return False
        reap()
        for fd in ready & entries.keys():
            self._ended(entries[fd])
        if self.keeper_fd in ready and self.keeper_fd is not None:
            os.close(self.keeper_fd)
            self.keeper_fd = None
        if signal.SIGUSR1 in signals:
            self._look()
        return True

    def _look(self) -> None:
        """Follows a change of what is to run: kills what is not any more, and lets the rest be started."""
        wanted = {component.name: component for component in self.lab.components()}
        gone = [entry for entry in self.running if entry.component.name not in wanted]
        if gone:
            identities = [entry.process.identity for entry in gone if entry.process is not None]
            processes.stop(identities, grace_seconds=0)
            for entry in gone:
                if entry.pidfd is not None:
                    os.close(entry.pidfd)
            self.running = [entry for entry in self.running if entry not in gone]
            reap()
            self._write()
        there = {entry.component.name for entry in self.running}
        self.running += [_Running(component) for name, component in wanted.items() if name not in there]

    def _start(self, entry: _Running) -> None:
        # The child does nothing before it stands in the record: were this process killed now, its successor would
        # start the component a second time.
        go_read, go_write = os.pipe()

        def run() -> int:
            os.close(go_write)
            self.wakeups.close()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            os.setsid()
            self._close_inherited(entry.component)
            self._redirect(entry.component.name)
            if os.read(go_read, 1) != b"g":
                return 1
            os.close(go_read)
            return entry.component.run()

        pid = fork(entry.component.name, run)
        os.close(go_read)
        try:
            restarts = 0 if entry.process is None else entry.process.restarts + 1
            identity = identify(pid) or Identity(pid, 0)
            entry.process = Process(entry.component.name, identity, restarts, now())
            entry.pidfd = identity.pidfd()
            self._write()
            with contextlib.suppress(BrokenPipeError):
                os.write(go_write, b"g")
        finally:
            os.close(go_write)
        if entry.pidfd is None:
            self._delay(entry)

    def _ended(self, entry: _Running) -> None:
        if entry.pidfd is not None:
            os.close(entry.pidfd)
            entry.pidfd = None
        log.warning("%s ended; starting it again", entry.component.name)
        self._delay(entry)

    def _delay(self, entry: _Running) -> None:
        """Sets when it is started again: at once if it lived long enough, later and later if not."""
        process = entry.process
        if process is None or now() - process.since > HEALTHY_SECONDS:
            entry.backoff.reset()
            entry.start_at = 0.0
        else:
            entry.start_at = time.monotonic() + entry.backoff.next()
        if process is not None:
            entry.process = replace(process, waiting=True)
            self._write()

    def _fork_keeper(self) -> None:
        log.warning("the keeper ended; starting it again")
        me = self.me.identity

        def run() -> int:
            self.wakeups.close()
            return keep(self.lab, me)

        identity = identify(fork("keeper", run))
        if identity is not None:
            self.keeper_fd = identity.pidfd()
            self.keeper = Process("keeper", identity, self.keeper.restarts + 1, now())
            self._write()

    def _write(self) -> None:
        self.record = replace(
            self.record,
            keeper=self.keeper,
            supervisor=self.me,
            components=tuple(entry.process for entry in self.running if entry.process is not None),
        )
        self.lab.directory.write(self.record)

    def _close_inherited(self, component: Component) -> None:
        inherited = {fd for other in self.running for fd in other.component.keeps}
        inherited.update(self.lab.held)
        for entry in self.running:
            if entry.pidfd is not None:
                inherited.add(entry.pidfd)
        if self.keeper_fd is not None:
            inherited.add(self.keeper_fd)
        for fd in inherited.difference(component.keeps):
            with contextlib.suppress(OSError):
                os.close(fd)

    def _redirect(self, name: str) -> None:
        redirect_output(self.lab.directory, name)


def redirect_output(directory: StateDirectory, name: str) -> None:
    """Sends what this process says to its log file, and takes the terminal away from it."""
    path = directory.log(name)
    path.parent.mkdir(exist_ok=True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(nothing)
    os.close(file)


def supervise(lab: Lab, keeper: Identity) -> int:
    """The supervisor's life: until the lab is removed."""
    configure_logging("supervisor", "info")
    namespaces.prctl(namespaces.PR_SET_CHILD_SUBREAPER, 1)
    try:
        return Supervisor(lab, keeper).run()
    except NoLab:
        return 0
