"""The birth of a lab's keeper: forked by the command that makes a lab, it makes the rest and outlives the command."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fairlead.lab.interruption import Interruption
from fairlead.lab.network import Refused
from fairlead.lab.processes import Identity, identify
from fairlead.lab.state import StateDirectory
from fairlead.lab.supervisor import Lab, fork, keep, redirect_output
from fairlead.node import namespaces

Report = Callable[[str], None]
"""Is told, in a few words, of each thing that has been made."""

Prepare = Callable[[Report, tuple[int, ...]], Lab]
"""Makes what the lab needs; given the descriptors that its components may not inherit."""

_USER_NAMESPACE_SETTINGS = {
    "kernel/unprivileged_userns_clone": "1",
    "kernel/apparmor_restrict_unprivileged_userns": "0",
}
"""Settings of distributions that forbid user namespaces, with the value that allows them."""


@dataclass(frozen=True)
class Keeper:
    """A keeper that was forked. `life` ends when neither the keeper nor the supervisor, nor a successor, lives."""

    identity: Identity
    messages: int
    life: int

    def progress(self) -> Iterator[str]:
        """What it reports, until it has made everything. Raises Refused with its sentence if it could not."""
        with os.fdopen(self.messages) as lines:
            for line in lines:
                message = json.loads(line)
                if "refused" in message:
                    raise Refused(message["refused"])
                yield message["made"]

    def is_over(self, seconds: float | None, interruption: Interruption | None = None) -> bool:
        """Waits until the lab's pair is gone, `seconds` at most; says whether it is. Raises Interrupted."""
        poll = select.poll()
        poll.register(self.life, select.POLLHUP)
        if interruption is not None:
            poll.register(interruption.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)}
        if interruption is not None:
            interruption.check()
        return self.life in ready


def fork_keeper(directory: StateDirectory, lock: int, prepare: Prepare) -> Keeper:
    """Forks the keeper, which calls `prepare` and then starts the supervisor. `lock` becomes the pair's."""
    read_messages, write_messages = os.pipe()
    read_life, write_life = os.pipe()

    def run() -> int:
        os.close(read_messages)
        os.close(read_life)
        os.setsid()
        redirect_output(directory, "supervisor")
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

        def report(made: str) -> None:
            _say(write_messages, {"made": made})

        try:
            lab = prepare(report, (lock, write_life))
        except Refused as error:
            _say(write_messages, {"refused": str(error)})
            return 2
        except OSError as error:
            _say(write_messages, {"refused": f"cannot make the lab: {error}"})
            return 2
        os.close(write_messages)
        return keep(lab)

    pid = fork("keeper", run)
    os.close(write_messages)
    os.close(write_life)
    os.close(lock)
    # A child that ended at once has said why on the pipe.
    return Keeper(identify(pid) or Identity(pid, 0), read_messages, read_life)


def _say(pipe: int, message: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, json.dumps(message).encode() + b"\n")


def become_root() -> int:
    """Puts an ordinary user's process into user and mount namespaces of its own, where it is root.

    Gives the user namespace's inode number; 0 for real root, who stays where he is. Raises Refused with what the
    machine's owner has to change where it is forbidden.
    """
    if os.geteuid() == 0:
        return 0
    try:
        namespaces.become_root()
        # A network namespace too: whoever leaves that of the host for another one may not come back to it. Sockets
        # that were made there stay there.
        namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET)
        namespaces.keep_mounts(namespaces.MS_PRIVATE)
    except OSError as error:
        raise Refused(
            f"this machine forbids user namespaces to ordinary users ({error.strerror or error}): "
            f"{_what_allows_user_namespaces()}, or run it as root"
        ) from error
    return os.stat("/proc/self/ns/user").st_ino


def _what_allows_user_namespaces() -> str:
    for name, value in _USER_NAMESPACE_SETTINGS.items():
        path = Path("/proc/sys", name)
        if path.exists() and path.read_text().strip() != value:
            return f"'sysctl {name.replace('/', '.')}={value}' as root allows them"
    if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
        return "'sysctl user.max_user_namespaces=10000' as root allows them"
    return "a container's or the system's security profile has to allow unshare(2)"
