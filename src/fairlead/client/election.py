"""Leader election: of several replicas the one that holds a Lease does the work.

As client-go's leaderelection: nobody believes the times that others write. A replica takes a lease over once it has
seen no change of it for as long as the lease says it lasts, by its own clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from msgspec.structs import replace

from fairlead.client import metrics
from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import trimmed
from fairlead.objects.coordination_v1 import Lease, LeaseSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import LEASES
from fairlead.objects.scalars import microtime
from fairlead.objects.status import StatusError
from fairlead.process import Health

log = logging.getLogger("fairlead.client")

GIVING_BACK = 2.0
"""Seconds that the end of a leader may take to give its lease back."""

JITTER = 1.2
"""A candidate waits up to so many retry periods more, so that not all ask at once."""


class NotLeading(OSError):
    """A write was held back: another replica may lead by now."""


@dataclass(frozen=True)
class ElectionConfig:
    """Seconds; named as the flags `--leader-elect-*`. Raises ValueError where they do not fit together."""

    resource_name: str
    resource_namespace: str = "kube-system"
    lease_duration: float = 15
    renew_deadline: float = 10
    retry_period: float = 2
    identity: str = field(default_factory=lambda: f"{socket.gethostname()}_{uuid.uuid4()}")

    def __post_init__(self) -> None:
        if self.lease_duration < 1:
            raise ValueError("leader-elect-lease-duration must be at least a second")
        if self.renew_deadline >= self.lease_duration:
            raise ValueError("leader-elect-lease-duration must be greater than leader-elect-renew-deadline")
        if self.retry_period <= 0:
            raise ValueError("leader-elect-retry-period must be greater than zero")
        if self.retry_period * JITTER >= self.renew_deadline:
            raise ValueError(
                f"leader-elect-renew-deadline must be greater than leader-elect-retry-period*{JITTER}"
            )


@dataclass(frozen=True)
class Observed:
    """The lease as it was last seen, and when that was, by our clock."""

    lease: Lease
    at: float


def bid(observed: Observed | None, config: ElectionConfig, now: float, wall: float) -> Lease | None:
    """The lease to write in order to lead, or to go on leading; None while another one leads.

    `now` is the time of a clock that nobody sets, `wall` the time of day that is written for people to read.
    """
    moment = microtime(wall)
    spec = LeaseSpec(
        holderIdentity=config.identity,
        leaseDurationSeconds=int(config.lease_duration),
        acquireTime=moment,
        renewTime=moment,
        leaseTransitions=0,
    )
    if observed is None:
        meta = ObjectMeta(name=config.resource_name, namespace=config.resource_namespace)
        return Lease(metadata=meta, spec=spec)
    held = observed.lease.spec
    if held.holderIdentity == config.identity:
        spec = replace(spec, acquireTime=held.acquireTime, leaseTransitions=held.leaseTransitions)
    else:
        if held.holderIdentity and now < observed.at + (held.leaseDurationSeconds or 0):
            return None
        spec = replace(spec, leaseTransitions=(held.leaseTransitions or 0) + 1)
    return replace(observed.lease, spec=spec)


class Election:
    """One replica's part in the election."""

    def __init__(self, api: Api, config: ElectionConfig, heard: Callable[[], None] = lambda: None) -> None:
        """`heard` is called whenever the server has told who leads."""
        self._api = api
        self._heard = heard
        self._config = config
        self._observed: Observed | None = None
        self._renewed = float("-inf")
        self._complaint = ""
        metrics.leading(config.resource_name, leads=False)

    def check(self) -> None:
        """Raises `NotLeading` unless we are sure that no other replica leads.

        A process that was stopped for a while finds out here, before it writes, and not after.
        """
        if _clock() >= self._renewed + self._config.renew_deadline:
            raise NotLeading(f"the lease {self._config.resource_name} was not renewed in time")

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does `work` whenever we lead, and cancels it when we do not any more, until cancelled itself."""
        name = self._config.resource_name
        recorder = Recorder(self._api, name)
        try:
            while True:
                await self._acquire()
                log.info("leading: %s holds the lease %s", self._config.identity, name)
                self._tell(recorder, "became leader")
                metrics.leading(name, leads=True)
                task = asyncio.ensure_future(work())
                try:
                    await self._renew(task)
                    log.warning("the lease %s is lost, the work stops", name)
                finally:
                    metrics.leading(name, leads=False)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    self._tell(recorder, "stopped leading")
                    await self._release()
        finally:
            await recorder.close()

    async def _acquire(self) -> None:
        """Returns when we lead."""
        while not await self._attempt():  # noqa: ASYNC110  nothing tells us when the lease is free
            await asyncio.sleep(self._config.retry_period * random.uniform(1, 1 + JITTER))  # noqa: S311

    async def _renew(self, task: asyncio.Future[None]) -> None:
        """Returns when we could not renew the lease in time; raises what the work failed with."""
        while _clock() < self._renewed + self._config.renew_deadline:
            await asyncio.wait([task], timeout=self._config.retry_period)
            if task.done():
                task.result()
                raise RuntimeError("the work of a leader ended by itself")
            await self._attempt()
            held = self._observed.lease.spec.holderIdentity if self._observed else None
            if held is not None and held != self._config.identity:
                break

    async def _attempt(self) -> bool:
        """One try to get or keep the lease; whether we have it."""
        asked = _clock()
        try:
            async with asyncio.timeout(self._config.renew_deadline):
                if not self._leads():
                    await self._look()
                wanted = bid(self._observed, self._config, _clock(), time.time())
                if wanted is None:
                    self._heard()
                    return False
                asked = _clock()
                if self._observed is None:
                    lease = await self._api.create(LEASES, wanted)
                else:
                    lease = await self._api.replace(LEASES, wanted)
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                self._complain(error)
            if self._leads():  # our idea of it may be old
                self._observed = None
            return False
        except OSError as error:
            self._complain(error)
            return False
        self._complaint = ""
        self._observed = Observed(trimmed(lease), _clock())
        self._renewed = asked
        self._heard()
        return True

    def _complain(self, error: StatusError | OSError) -> None:
        """Says why we cannot get the lease, and what to do; the same kind again is for debugging."""
        kind = str(error) if isinstance(error, StatusError) else type(error).__name__
        hint = ""
        if isinstance(error, StatusError) and error.code == HTTPStatus.FORBIDDEN:
            hint = (
                f"; give this user the right to get, create and update leases in {self._config.resource_namespace},"
                " or run one replica with --leader-elect=false"
            )
        level = logging.DEBUG if kind == self._complaint else logging.WARNING
        log.log(level, "the lease %s: %s%s", self._config.resource_name, error, hint)
        self._complaint = kind

    async def _look(self) -> None:
        """Reads the lease; one that did not change keeps the time at which it was first seen so."""
        try:
            lease = await self._api.get(LEASES, self._config.resource_name, self._config.resource_namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            self._observed = None
            return
        lease = trimmed(lease)
        if self._observed is None or self._observed.lease.spec != lease.spec:
            self._observed = Observed(lease, _clock())
        else:
            self._observed = Observed(lease, self._observed.at)

    def _leads(self) -> bool:
        return (
            self._observed is not None and self._observed.lease.spec.holderIdentity == self._config.identity
        )

    async def _release(self) -> None:
        """Gives the lease back, so that the next one need not wait for its end."""
        self._renewed = float("-inf")
        try:
            async with asyncio.timeout(GIVING_BACK):
                while self._observed is not None and self._leads():
                    try:
                        await self._api.replace(LEASES, _given_back(self._observed.lease))
                        break
                    except StatusError as error:
                        if error.code != HTTPStatus.CONFLICT:
                            raise
                    await self._look()  # a renewal that was under way when we stopped has come after all
        except (StatusError, OSError) as error:
            log.info("the lease %s was not given back: %s", self._config.resource_name, error)
        finally:
            self._observed = None

    def _tell(self, recorder: Recorder, what: str) -> None:
        if self._observed is not None:
            message = f"{self._config.identity} {what}"
            recorder.event(self._observed.lease, "Normal", "LeaderElection", message)


def _given_back(lease: Lease) -> Lease:
    """The lease as the next one may take it at once."""
    moment = microtime(time.time())
    spec = replace(
        lease.spec, holderIdentity=None, leaseDurationSeconds=1, renewTime=moment, acquireTime=moment
    )
    return replace(lease, spec=spec)


async def elected(
    api: Api,
    config: ElectionConfig | None,
    health: Health,
    component: str,
    work: Callable[[Callable[[], None]], Coroutine[Any, Any, None]],
) -> None:
    """Does `work` whenever this replica leads, until cancelled; without an election it always does.

    `work` is given what to ask before each write: it raises `NotLeading` when another replica may have taken over.
    `health` says, as COMPONENT/leader-election, that the server has not told yet who leads.
    """
    if config is None:
        await work(lambda: None)
        return
    waiting = f"{component}/leader-election"
    health.waits_for(waiting, "the API server has not told yet who leads")
    candidate = Election(api, config, lambda: health.has(waiting))
    await candidate.run(lambda: work(candidate.check))


def _clock() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
