"""What tests of pods have in common: containers for them to run, and questions about what became of those."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairlead.objects.core_v1 import ContainerStatus, Pod
from fairlead.objects.resources import EVENTS
from tests.node.places import Cluster
from tests.waiting import LIMIT

SHELL = {"image": "anything"}
"""Of a container whose command is given: it needs no image."""
PROBE = {"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}}
"""Of an echo that is ready when it listens."""


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    """A container that runs a script."""
    return {"name": name, "image": "any", "command": ["sh", "-c", script], **more}


def obedient(name: str, last: str, **more: Any) -> dict[str, Any]:
    """A container that runs the command `last` when it is told to end.

    It has started when it would: the first process of a PID namespace ignores what it has no handler for yet.
    """
    script = f"trap '{last}' TERM; touch /tmp/listens; while :; do sleep 0.02; done"
    listens = {"exec": {"command": ["sh", "-c", "until test -e /tmp/listens; do sleep 0.02; done"]}}
    hooks = {"postStart": listens, **more.pop("lifecycle", {})}
    return shell(name, script, lifecycle=hooks, **more)


def telling(name: str, file: Path, **more: Any) -> dict[str, Any]:
    """A container that writes its name into a file when it is told to end."""
    return obedient(name, f"echo {name} >>{file}; exit 0", **more)


def probe_of(port: int, failures: int = 1) -> dict[str, Any]:
    """A probe of an echo that asks often, believes what it hears, and waits for a machine that is busy."""
    return {
        "httpGet": {"path": "/healthz", "port": port},
        "periodSeconds": 1,
        "timeoutSeconds": 60,
        "failureThreshold": failures,
    }


def slow_start(port: int) -> dict[str, Any]:
    """What keeps the other probes of an echo waiting until it listens."""
    return {"startupProbe": probe_of(port, 600)}


@contextmanager
def signal_file() -> Iterator[tuple[str, Path]]:
    """A shell command that waits for a file, which pods see, too; and the file, which is not there yet."""
    with tempfile.TemporaryDirectory(prefix="fairlead-test-", dir="/var/tmp") as folder:
        file = Path(folder, "go")
        yield f"until test -e {file}; do sleep 0.02; done", file


async def ask(pod: Pod, port: int = 8080, text: str = "GET / HTTP/1.0\r\n\r\n") -> str:
    """What a pod answers, as soon as it listens: one without a readiness probe is ready before."""
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                reader, writer = await asyncio.open_connection(pod.status.podIP, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                break
    writer.write(text.encode())
    writer.write_eof()
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def eventually(true: Callable[[], bool]) -> None:
    """Returns as soon as it holds."""
    async with asyncio.timeout(LIMIT):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def state(pod: Pod) -> ContainerStatus:
    """The status of the pod's first container."""
    return pod.status.containerStatuses[0]


def waits(reason: str) -> Callable[[Pod], bool]:
    """Whether a pod's first container waits for this reason."""

    def true(pod: Pod) -> bool:
        found = pod.status.containerStatuses
        return bool(found and found[0].state.waiting and found[0].state.waiting.reason == reason)

    return true


async def reasons(cluster: Cluster, name: str) -> list[str]:
    """The reasons of the Events about a pod."""
    events = (await cluster.api.list(EVENTS, "default")).items
    return [event.reason for event in events if event.involvedObject.name == name]


class Defects(logging.Handler):
    """What the node logs of errors that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []
        logging.getLogger("fairlead").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what is logged."""
        self.said.append(self.format(record))
