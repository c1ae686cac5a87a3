"""Fairness: turns among users, full queues, and a client that holds what it can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairlead.apiserver import fairness
from fairlead.apiserver.fairness import Seats
from fairlead.objects.status import StatusError
from tests.apiserver.serving import SECONDS, TOKEN, Client, config_map, with_server
from tests.apiserver.test_connections import HEAD, MAPS, wire

Test = Callable[[], Awaitable[None]]


class Crowd:
    """Requests of users, in the order in which they are seated."""

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self.seated: list[str] = []
        self.refused: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *users: str) -> None:
        """Requests that take a seat and keep it."""

        async def request(user: str) -> None:
            try:
                await self.seats.take(user)
            except StatusError as error:
                self.refused.append(f"{user} {error.code}")
            else:
                self.seated.append(user)

        self.tasks += [asyncio.ensure_future(request(user)) for user in users]
        await settle()

    async def leave(self, *users: str) -> None:
        """Seats given back, one after another."""
        for user in users:
            self.seats.leave(user)
            await settle()


async def settle() -> None:
    """Lets all tasks come as far as they can."""
    for _ in range(3):
        await asyncio.sleep(0)


async def in_turns() -> None:
    crowd = Crowd(Seats(seats=2, share=2, queue=10))
    await crowd.come("a", "a", "a", "a", "a", "b", "c", "b")
    assert crowd.seated == ["a", "a"]
    assert crowd.seats.waiting == 6
    await crowd.leave("a", "a", "a", "b", "c")
    assert crowd.seated == ["a", "a", "a", "b", "c", "a", "b"]


async def some_seats_are_left_for_others() -> None:
    crowd = Crowd(Seats(seats=3, share=2, queue=10))
    await crowd.come("a", "a", "a", "b")
    assert crowd.seated == ["a", "a", "b"]
    await crowd.leave("b")
    assert crowd.seated == ["a", "a", "b"]
    await crowd.leave("a")
    assert crowd.seated == ["a", "a", "b", "a"]


async def a_full_queue_is_429() -> None:
    crowd = Crowd(Seats(seats=1, share=1, queue=2))
    await crowd.come("a", "a", "a", "a", "b")
    assert (crowd.seated, crowd.refused) == (["a"], ["a 429"])
    await crowd.leave("a", "a")
    assert crowd.seated == ["a", "a", "b"]


async def who_goes_away_loses_his_turn() -> None:
    crowd = Crowd(Seats(seats=1, share=1, queue=5))
    await crowd.come("a", "b", "c")
    crowd.tasks[1].cancel()
    await settle()
    assert crowd.seats.waiting == 1
    await crowd.leave("a")
    assert crowd.seated == ["a", "c"]
    # One that is given a seat in the moment in which it goes away hands it on.
    await crowd.come("d", "e")
    crowd.seats.leave("c")
    crowd.tasks[3].cancel()
    await settle()
    assert crowd.seated == ["a", "c", "e"]
    await crowd.leave("e")
    await crowd.come("f")
    assert crowd.seated == ["a", "c", "e", "f"]


@pytest.mark.parametrize(
    "test", [in_turns, some_seats_are_left_for_others, a_full_queue_is_429, who_goes_away_loses_his_turn]
)
def test_seats(test: Test) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_too_long_a_wait_is_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "WAIT_SECONDS", 0.02)

    async def test() -> None:
        seats = Seats(seats=1)
        await seats.take("a")
        with pytest.raises(StatusError) as raised:
            await seats.take("b")
        assert raised.value.code == 429
        seats.leave("a")
        await seats.take("b")

    asyncio.run(test())


def test_who_reads_no_answer_delays_only_himself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.apiserver.server.Seats", lambda: Seats(seats=2, share=1, queue=1))
    monkeypatch.setattr(fairness, "WAIT_SECONDS", SECONDS)
    tokens = tmp_path / "two.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\nother,other,2,"system:masters"\n')
    other = {"Authorization": "Bearer other"}

    async def test(client: Client) -> None:
        for i in range(25):
            await client.create(MAPS, {**config_map(f"m{i}"), "data": {"a": "x" * 1_000_000}})
        async with wire(client) as deaf, wire(client) as waiting, wire(client) as refused:
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            deaf.send(f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n")
            await shown(client, 'apiserver_current_inflight_requests{request_kind="readOnly"} 2.0')
            waiting.send(f"GET {MAPS}/m0 HTTP/1.1\r\n{HEAD}\r\n")
            queued = 'apiserver_flowcontrol_current_inqueue_requests{priority_level="global-default"} 1.0'
            await shown(client, queued)
            refused.send(f"GET {MAPS}/m0 HTTP/1.1\r\n{HEAD}\r\n")
            code, headers, status = await refused.answer()
            assert (code, headers["retry-after"], status["reason"]) == (429, "1", "TooManyRequests")
            # Health is for everybody at any time, and the other user is not concerned.
            assert (await client.ask("GET", "/livez"))[0] == 200
            assert (await client.ask("GET", f"{MAPS}/m0", headers=other))[0] == 200
            deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await deaf.answer())[0] == 200
            assert (await waiting.answer())[0] == 200

    async def shown(client: Client, line: str) -> None:
        async with asyncio.timeout(SECONDS):
            while True:
                _, text = await client.ask("GET", "/metrics", headers=other)
                if line in text:
                    return
                await asyncio.sleep(0.01)

    with_server(tmp_path, test, tokens=tokens)
