"""Leader election: the rule as a table, then replicas against the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.client import election
from fairlead.client.api import Api
from fairlead.client.election import Election, ElectionConfig, NotLeading, Observed, bid
from fairlead.objects.coordination_v1 import Lease, LeaseSpec
from fairlead.objects.resources import EVENTS, LEASES
from fairlead.objects.status import StatusError
from tests.waiting import LIMIT

from .cluster import eventually, with_server
from .server import until

NAME = "test-controllers"
WALL = 1_795_424_400.0


def config(identity: str, **fields: Any) -> ElectionConfig:
    return ElectionConfig(NAME, identity=identity, **fields)


def quick(identity: str) -> ElectionConfig:
    """Asks often, and loses no lease because this machine is slow."""
    return config(identity, lease_duration=3000, renew_deadline=2000, retry_period=0.05)


def seen(holder: str | None, *, at: float = 100.0, duration: int = 15, transitions: int = 3) -> Observed:
    spec = LeaseSpec(
        holderIdentity=holder,
        leaseDurationSeconds=duration,
        acquireTime="2026-01-01T00:00:00.000000Z",
        renewTime="2026-01-01T00:00:00.000000Z",
        leaseTransitions=transitions,
    )
    return Observed(Lease(spec=spec), at)


@pytest.mark.parametrize(
    ("case", "observed", "now", "transitions"),
    [
        ("no lease: it is made", None, 0.0, 0),
        ("ours: renewed", seen("me"), 101.0, 3),
        ("ours, long over: renewed", seen("me"), 1000.0, 3),
        ("another's, just renewed", seen("you"), 101.0, None),
        ("another's, not changed for as long as it lasts", seen("you"), 115.0, 4),
        ("another's, a moment earlier", seen("you"), 114.9, None),
        ("another's, with a duration of its own", seen("you", duration=60), 115.0, None),
        ("given back", seen(None), 100.0, 4),
        ("given back with an empty name", seen(""), 100.0, 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_may_take_the_lease(
    case: str, observed: Observed | None, now: float, transitions: int | None
) -> None:
    wanted = bid(observed, config("me"), now, WALL)
    assert (None if wanted is None else wanted.spec.leaseTransitions) == transitions, case
    if wanted is not None:
        assert (wanted.spec.holderIdentity, wanted.spec.leaseDurationSeconds) == ("me", 15)
        assert wanted.spec.renewTime == "2026-11-23T09:00:00.000000Z"
        ours = observed is not None and observed.lease.spec.holderIdentity == "me"
        assert (wanted.spec.acquireTime == wanted.spec.renewTime) is not ours


@pytest.mark.parametrize("wall", [0.0, WALL - 10**6, WALL + 10**6])
def test_the_time_of_day_decides_nothing(wall: float) -> None:
    """Clocks may jump, and others' clocks may be wrong: what is written in a lease is for people."""
    assert bid(seen("you"), config("me"), 101.0, wall) is None
    assert bid(seen("you"), config("me"), 115.0, wall) is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lease_duration": 0.5, "renew_deadline": 0.4, "retry_period": 0.1}, "at least a second"),
        ({"lease_duration": 10, "renew_deadline": 10}, "lease-duration must be greater"),
        ({"renew_deadline": 2, "retry_period": 2}, "renew-deadline must be greater"),
    ],
)
def test_periods_that_do_not_fit_together(fields: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config("me", **fields)


class Replica:
    """A candidate; `led` counts how often it began to lead, `leads` says whether it does.

    It must not begin while one of `others` leads.
    """

    def __init__(self, api: Api, name: str, *others: Replica) -> None:
        self.election = Election(api, quick(name), self._hears)
        self.heard = 0
        """How often the server has told it who leads."""
        self.led = 0
        self.leads = False
        self._others = others

    def _hears(self) -> None:
        self.heard += 1

    async def work(self) -> None:
        assert not any(other.leads for other in self._others), "another one leads"
        self.led += 1
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.election.run(self.work))
        try:
            yield
        finally:
            assert not task.done(), "the election ended by itself"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def lease(api: Api) -> Lease:
    return await api.get(LEASES, NAME, "kube-system")


def test_one_of_two_replicas_leads_and_the_other_takes_over_at_once_when_it_stops() -> None:
    async def told(api: Api) -> None:
        both = Replica(api, "a"), Replica(api, "b")
        async with AsyncExitStack() as stack:
            ends = {each: await stack.enter_async_context(AsyncExitStack()) for each in both}
            for each in both:
                await ends[each].enter_async_context(each.running())
            await until(lambda: any(each.leads for each in both), "one leads")
            first, second = sorted(both, key=lambda each: not each.leads)
            assert not second.leads
            with pytest.raises(NotLeading):
                second.election.check()
            first.election.check()
            await ends[first].aclose()
            await until(lambda: second.leads, "the other leads")
            with pytest.raises(NotLeading):
                first.election.check()
        held = (await lease(api)).spec
        assert (held.holderIdentity, held.leaseTransitions) == (None, 1), "given back"

    with_server(told)


def test_a_lease_that_changed_meanwhile_is_given_back_all_the_same() -> None:
    """As by a renewal of our own that was under way when we were told to stop."""

    async def scenario(api: Api) -> None:
        # Renewed once in a thousand seconds, so that only the end can notice the change.
        own = config("a", lease_duration=3000, renew_deadline=2000, retry_period=1000)
        leads = asyncio.Event()

        async def work() -> None:
            leads.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(Election(api, own).run(work))
        await asyncio.wait_for(leads.wait(), LIMIT)
        await api.patch(LEASES, NAME, "kube-system", {"metadata": {"labels": {"changed": "meanwhile"}}})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lease = await api.get(LEASES, NAME, "kube-system")
        assert (lease.spec.holderIdentity, lease.metadata.labels) == (None, {"changed": "meanwhile"})

    with_server(scenario)


def test_a_leader_that_cannot_renew_stops_before_the_next_one_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one's requests do not get through any more; it must not lead when the second one does."""
    clock, ahead = election._clock, [0]
    monkeypatch.setattr(election, "_clock", lambda: clock() + ahead[0])

    async def told(api: Api) -> None:
        cut = Unwilling(api.config)
        first = Replica(cut, "first")
        second = Replica(api, "second", first)
        async with cut, first.running():
            await until(lambda: first.leads, "the first leads")
            async with second.running():
                cut.willing = False
                await until(lambda: not cut.under_way, "the first asks nothing more")
                heard = second.heard
                await until(lambda: second.heard >= heard + 2, "the second has seen the lease as it stays")
                ahead[0] = 2000
                with pytest.raises(NotLeading, match="was not renewed in time"):
                    first.election.check()
                await until(lambda: not first.leads, "the first stops")
                assert not second.leads
                ahead[0] = 3001
                await until(lambda: second.leads, "the second leads")
                with pytest.raises(NotLeading, match="was not renewed in time"):
                    first.election.check()
                cut.willing, cut.sent = True, 0
                await until(lambda: cut.sent >= 3, "the first looks at the lease again, and again")
                assert not first.leads
            await until(lambda: first.leads, "the first leads again, as the second has stopped")
            assert (first.led, second.led) == (2, 1)

    with_server(told)


class Unwilling(Api):
    """A client that can be cut off."""

    willing = True
    sent = under_way = 0

    async def raw(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        if not self.willing:
            raise OSError("cut off")
        self.sent += 1
        self.under_way += 1
        try:
            return await super().raw(*args, **kwargs)
        finally:
            self.under_way -= 1


def test_a_lease_taken_by_force_stops_the_work() -> None:
    async def told(api: Api) -> None:
        replica = Replica(api, "a")
        async with replica.running():
            await until(lambda: replica.leads, "it leads")
            while True:
                held = await lease(api)
                stolen = replace(held.spec, holderIdentity="thief", leaseDurationSeconds=3600)
                try:
                    await api.replace(LEASES, replace(held, spec=stolen))
                except StatusError:
                    continue  # it was renewed in between
                break
            await until(lambda: not replica.leads, "it does not lead any more")
        assert (await lease(api)).spec.holderIdentity == "thief"

    with_server(told)


def test_a_deleted_lease_is_made_again() -> None:
    async def told(api: Api) -> None:
        replica = Replica(api, "a")
        async with replica.running():
            await until(lambda: replica.leads, "it leads")
            await api.delete(LEASES, NAME, "kube-system")

            async def there() -> bool:
                found = await api.list(LEASES, "kube-system")
                return [x.spec.holderIdentity for x in found.items if x.metadata.name == NAME] == ["a"]

            await eventually(there, "the lease is there again")
            assert (replica.led, replica.leads) == (1, True)

    with_server(told)


def test_a_change_of_leaders_is_told_as_an_event() -> None:
    async def told(api: Api) -> None:
        replica = Replica(api, "a")
        async with replica.running():
            await until(lambda: replica.leads, "it leads")
        events = (await api.list(EVENTS, "kube-system")).items
        assert [(e.involvedObject.kind, e.reason, e.message) for e in events] == [
            ("Lease", "LeaderElection", "a became leader"),
            ("Lease", "LeaderElection", "a stopped leading"),
        ]

    with_server(told)


def test_work_that_fails_ends_the_election() -> None:
    async def told(api: Api) -> None:
        async def work() -> None:
            raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            await Election(api, quick("a")).run(work)
        assert (await lease(api)).spec.holderIdentity is None

    with_server(told)
