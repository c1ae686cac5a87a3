"""Probes: whether a container has started, lives and is ready, asked again and again.

HTTP, TCP and gRPC probes go out from the node's network namespace, in which the agent runs; commands run in the
container. Upstream: pkg/kubelet/prober (worker.go, prober.go), pkg/probe.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from fairlead.node import environment, httpprobe
from fairlead.node.records import Done
from fairlead.objects.core_v1 import Container, Probe
from fairlead.objects.scalars import IntOrString

STARTING = 2.0
"""Seconds of a container's life in which a probe over the network that has not succeeded yet is soon repeated,
uncounted.

The kubelet waits a whole period after its first probe, which comes before most programs listen: 10 seconds by default
for nothing. Commands are not repeated: they may do more than look.
"""

STARTING_PAUSE = 0.01
"""Seconds before the next attempt then; doubled each time."""


class Executor(Protocol):
    """What can run a command in a container: `runtime.Sandbox`."""

    async def execute(self, container: str, argv: tuple[str, ...], timeout: float) -> Done:
        """Runs it in the run of a container with that id."""


@dataclass(frozen=True)
class Target:
    """A run of a container, and how to reach it."""

    container: Container
    id: str
    ip: str
    executor: Executor
    started_at: float
    """Seconds since the epoch."""


class Outcome(Enum):
    """What came of one probe. An `ERROR` (the probe could not be made) counts neither way."""

    SUCCESS = "success"
    WARNING = "warning"
    """It counts as a success, and an Event tells of it."""
    FAILURE = "failure"
    ERROR = "unknown"


@dataclass(frozen=True)
class Answer:
    """The outcome of one probe, and the words for its Event."""

    outcome: Outcome
    message: str = ""

    @property
    def good(self) -> bool:
        """Whether it counts as a success."""
        return self.outcome in (Outcome.SUCCESS, Outcome.WARNING)

    def event(self, kind: str) -> tuple[str, str] | None:
        """The reason and text of the Event that tells of it, in the kubelet's words; None for a success."""
        name = kind.capitalize()
        if self.outcome is Outcome.WARNING:
            return "ProbeWarning", f"{name} probe warning: {self.message}"
        if self.outcome is Outcome.FAILURE:
            return "Unhealthy", f"{name} probe failed: {self.message}"
        if self.outcome is Outcome.ERROR:
            return "Unhealthy", f"{name} probe errored and resulted in unknown state: {self.message}"
        return None


@dataclass(frozen=True)
class Tally:
    """What a run of equal answers has decided: thresholds, counted. `verdict` is None until something has."""

    success_threshold: int
    failure_threshold: int
    verdict: bool | None = None
    last: bool | None = None
    row: int = 0

    @classmethod
    def of(cls, probe: Probe, known: bool | None) -> Tally:
        """A count that begins with what is known already."""
        return cls(max(1, probe.successThreshold), max(1, probe.failureThreshold), known)

    def count(self, good: bool) -> Tally:
        """The tally after one more answer. Upstream: doProbe in prober/worker.go."""
        row = self.row + 1 if good == self.last else 1
        enough = row >= (self.success_threshold if good else self.failure_threshold)
        verdict = good if enough else self.verdict
        return Tally(self.success_threshold, self.failure_threshold, verdict, good, row)


async def watch(
    target: Target,
    probe: Probe,
    known: bool | None,
    decided: Callable[[bool], None],
    answered: Callable[[Answer], None],
    *,
    final: bool,
) -> None:
    """Probes until cancelled; the first time at once (after `initialDelaySeconds`), then every period.

    `decided` is called with each change of what the thresholds make of the answers, counted from `known`; `answered`
    with every answer. With `final`, nothing is asked any more once the probe has failed.
    """
    age = max(0.0, time.time() - target.started_at)  # 0 where the clock was set back
    await asyncio.sleep(max(0.0, probe.initialDelaySeconds - age))
    tally, pause = Tally.of(probe, known), STARTING_PAUSE
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        answer = await ask(target, probe)
        new = tally.last is None and probe.exec is None
        if answer.outcome is Outcome.FAILURE and new and 0 <= time.time() - target.started_at < STARTING:
            await asyncio.sleep(pause)
            pause *= 2
            due = loop.time()
            continue
        answered(answer)
        if answer.outcome is not Outcome.ERROR:
            before, tally = tally.verdict, tally.count(answer.good)
            if tally.verdict is not None and tally.verdict != before:
                decided(tally.verdict)
                if final and not tally.verdict:
                    return
        due = max(due + max(1, probe.periodSeconds), loop.time())
        await asyncio.sleep(due - loop.time())


async def ask(target: Target, probe: Probe) -> Answer:
    """Probes once, within `timeoutSeconds`."""
    timeout = float(max(1, probe.timeoutSeconds))
    try:
        if probe.exec is not None:
            return await _execute(target, probe.exec.command, timeout)
        if probe.httpGet is not None:
            request = httpprobe.request(
                probe.httpGet, target.ip, port_of(target.container, probe.httpGet.port)
            )
            return await _get(request, timeout)
        if probe.tcpSocket is not None:
            host = probe.tcpSocket.host or target.ip
            return await _connect(host, port_of(target.container, probe.tcpSocket.port), timeout)
        if probe.grpc is not None:
            return await _check(target.ip, probe.grpc.port, probe.grpc.service or "", timeout)
    except (OSError, ValueError) as error:
        return Answer(Outcome.ERROR, str(error))
    return Answer(Outcome.ERROR, "missing probe handler")


async def _execute(target: Target, command: tuple[str, ...], timeout: float) -> Answer:
    # Upstream: ExpandContainerCommandOnlyStatic, which knows the variables with a value in the spec alone.
    values = {
        variable.name: variable.value for variable in target.container.env if variable.valueFrom is None
    }
    argv = tuple(environment.expand(word, values) for word in command)
    done = await target.executor.execute(target.id, argv, timeout)
    if done.timed_out:
        text = f'command timed out: "{" ".join(argv)}" timed out after {timeout:g}s'
        return Answer(Outcome.FAILURE, text)
    return Answer(Outcome.SUCCESS if done.exit_code == 0 else Outcome.FAILURE, done.output)


async def _get(request: httpprobe.Request, timeout: float) -> Answer:
    try:
        async with asyncio.timeout(timeout):
            status, body = await httpprobe.follow(request)
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Answer(Outcome.FAILURE, f'Get "{request.url}": {reason}')
    except httpprobe.HTTPError as error:
        return Answer(Outcome.FAILURE, str(error))
    if 200 <= status < 300:
        return Answer(Outcome.SUCCESS, body)
    if status < 400 and status >= 200:
        return Answer(Outcome.WARNING, f"Probe terminated redirects, Response body: {body}")
    return Answer(Outcome.FAILURE, f"HTTP probe failed with statuscode: {status}")


async def _connect(host: str, port: int, timeout: float) -> Answer:
    try:
        async with asyncio.timeout(timeout):
            _, writer = await httpprobe.dial(host, port)
    except TimeoutError:
        return Answer(Outcome.FAILURE, f"dial tcp {httpprobe.join(host, port)}: i/o timeout")
    except OSError as error:
        return Answer(Outcome.FAILURE, str(error))
    writer.transport.abort()
    return Answer(Outcome.SUCCESS)


async def _check(host: str, port: int, service: str, timeout: float) -> Answer:
    from fairlead.node import grpcprobe  # with its library for HTTP/2, which few nodes need

    problem = await grpcprobe.check(host, port, service, timeout)
    return Answer(Outcome.FAILURE, problem) if problem else Answer(Outcome.SUCCESS, "service healthy")


def port_of(container: Container, port: IntOrString | None) -> int:
    """The port's number; names are those of the container's ports. Raises ValueError, in the kubelet's words."""
    number: int | None = None
    if isinstance(port, int):
        number = port
    else:
        for declared in container.ports:
            if declared.name == port:
                number = declared.containerPort
        if number is None:
            if not re.fullmatch(r"[+-]?[0-9]+", port or ""):
                raise ValueError(f'strconv.Atoi: parsing "{port or ""}": invalid syntax')
            number = int(port or "")
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number
