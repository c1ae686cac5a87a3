"""When the lab's cloud holds a node to be well, and when to be dead: what it answers, and how often."""

from __future__ import annotations

import asyncio
import socket
from functools import reduce

import pytest

from fairlead.lab import cloudhealth
from fairlead.lab.cloudhealth import DEAD_AFTER, FAILURES, LATE, Answer, Standing, answer_of
from tests.lab.conftest import wait_for
from tests.loopback import own_address
from tests.waiting import LIMIT

WELL, UNWELL, SLOW, SILENT = Answer.WELL, Answer.UNWELL, Answer.LATE, Answer.SILENT

CASES: dict[str, tuple[list[Answer], bool, bool]] = {
    "one that is new": ([], False, False),
    "one good answer": ([WELL], True, False),
    "one bad answer": ([WELL, UNWELL], True, False),
    "bad answers": ([WELL] + [UNWELL] * FAILURES, False, False),
    "bad answers in between": ([WELL, UNWELL, WELL, UNWELL], True, False),
    "a good answer after bad ones": ([UNWELL] * 9 + [WELL], True, False),
    "silence": ([WELL] + [SILENT] * FAILURES, False, False),
    "a long silence": ([WELL] + [SILENT] * DEAD_AFTER, False, True),
    "a long silence with a word in between": ([SILENT] * (DEAD_AFTER - 1) + [UNWELL, SILENT], False, False),
    "well, and late for a while": ([WELL] + [SLOW] * LATE, True, False),
    "well, and late for long": ([WELL] + [SLOW] * (LATE + FAILURES), False, False),
    "late, but new": ([SLOW], False, False),
    "late, but not well before": ([WELL] + [UNWELL] * FAILURES + [SLOW], False, False),
    "late for ever": ([WELL] + [SLOW] * 99, False, False),
    "late, then silent": ([WELL] + [SLOW] * LATE + [SILENT], True, False),
}


@pytest.mark.parametrize(("answers", "is_well", "is_dead"), CASES.values(), ids=CASES)
def test_what_follows_from(answers: list[Answer], is_well: bool, is_dead: bool) -> None:
    standing = reduce(Standing.after, answers, Standing())
    assert (standing.is_well, standing.is_dead) == (is_well, is_dead)


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", WELL),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n200 ", UNWELL),
        (b"no HTTP", UNWELL),
        (b"", UNWELL),
        (b"x" * 99999, UNWELL),
    ],
)
def test_what_a_program_says(says: bytes, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudhealth, "PATIENCE", LIMIT)

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    async def ask() -> Answer:
        async with await asyncio.start_server(say, own_address(), 0) as server:
            return await answer_of(server.sockets[0].getsockname())

    assert asyncio.run(ask()) is answer


def test_a_program_that_says_nothing_is_late_and_where_none_listens_it_is_not_well() -> None:
    with socket.create_server((own_address(), 0)) as busy, socket.socket() as closed:
        closed.bind((own_address(), 0))
        wait_for(lambda: asyncio.run(answer_of(busy.getsockname())) is SLOW)
        wait_for(lambda: asyncio.run(answer_of(closed.getsockname())) is UNWELL)


def test_a_kernel_that_accepts_nothing_is_silent() -> None:
    with socket.socket() as full, socket.socket() as only:
        full.bind((own_address(), 0))
        full.listen(0)
        only.connect(full.getsockname())
        wait_for(lambda: asyncio.run(answer_of(full.getsockname())) is SILENT)
