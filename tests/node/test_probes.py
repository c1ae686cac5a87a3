"""What probes make of the answers they get: from real servers on this host's loopback, thresholds as a table."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent import futures
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.apiserver.certificates import make_authority
from fairlead.node import grpcprobe, httpprobe
from fairlead.node.probes import Answer, Outcome, Tally, Target, ask, port_of, watch
from fairlead.node.probing import Probing
from fairlead.node.records import ContainerRecord, Done, History
from fairlead.objects import codec
from fairlead.objects.core_v1 import (
    Container,
    ContainerPort,
    EnvVar,
    HTTPGetAction,
    HTTPHeader,
    Pod,
    PodSpec,
    Probe,
)
from tests.loopback import own_address
from tests.waiting import LIMIT

HOST = own_address()
"""Where no port is anybody else's a moment after it was closed."""

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Commands:
    """A container in which commands end as told."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.asked: list[tuple[tuple[str, ...], float]] = []

    async def execute(self, container: str, argv: tuple[str, ...], timeout: float) -> Done:
        """Remembers the command."""
        self.asked.append((argv, timeout))
        return self.done


def target(done: Done | None = None, **fields: Any) -> Target:
    return Target(Container(name="c", **fields), "run", HOST, Commands(done or Done(request=0)), started_at=0)


def probe(**fields: Any) -> Probe:
    """A probe that waits for this machine, however busy it is, unless the fields say otherwise."""
    return codec.decode(Probe, json.dumps({"timeoutSeconds": round(LIMIT), **fields}).encode())


class Clock(asyncio.SelectorEventLoop):
    """A loop for which time passes only when `now` is set forward."""

    now = 0.0

    def time(self) -> float:
        """Seconds."""
        return self.now


@asynccontextmanager
async def server(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, HOST, 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def saying(text: str, heard: list[str] | None = None) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(head.decode())
        writer.write(text.encode())

    return answer


OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def get(answer: Answering, **action: Any) -> tuple[Answer, int]:
    """The answer to an httpGet probe, and the port."""

    async def main() -> tuple[Answer, int]:
        async with server(answer) as port:
            return await ask(target(), probe(httpGet={"port": port, **action})), port

    return asyncio.run(main())


STATUSES = {
    "200": ("HTTP/1.1 200 OK\r\n\r\n", Outcome.SUCCESS, ""),
    "204 without a reason": ("HTTP/1.0 204\r\n\r\n", Outcome.SUCCESS, ""),
    "after 103": ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, Outcome.SUCCESS, ""),
    "404": ("HTTP/1.1 404 Not Found\r\n\r\n", Outcome.FAILURE, "HTTP probe failed with statuscode: 404"),
    "503": ("HTTP/1.1 503 X\r\n\r\nno", Outcome.FAILURE, "HTTP probe failed with statuscode: 503"),
    "a redirect to elsewhere": (
        "HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 4\r\n\r\ngone",
        Outcome.WARNING,
        "Probe terminated redirects, Response body: gone",
    ),
    "a redirect to nowhere": (
        "HTTP/1.1 301 Moved\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        Outcome.WARNING,
        "Probe terminated redirects, Response body: abcd",
    ),
    "no HTTP": (
        "SSH-2.0-OpenSSH\r\n",
        Outcome.FAILURE,
        'Get "URL": net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0-OpenSSH"',
    ),
    "nothing": ("", Outcome.FAILURE, 'Get "URL": EOF'),
    "headers without end": (
        "HTTP/1.1 200 OK\r\n" + "x: y\r\n" * 20_000,
        Outcome.FAILURE,
        'Get "URL": net/http: HTTP/1.x transport connection broken: server\'s headers are too long',
    ),
}


@pytest.mark.parametrize("name", STATUSES)
def test_http_answers(name: str) -> None:
    text, outcome, message = STATUSES[name]
    answer, port = get(saying(text))
    assert answer == Answer(outcome, message.replace("URL", f"http://{HOST}:{port}/"))


def test_a_redirect_on_the_same_host_is_followed() -> None:
    heard: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(head.split(" ")[1])
        writer.write(
            b"HTTP/1.1 302 Found\r\nlocation: /there?a=b\r\n\r\n" if len(heard) == 1 else OK.encode()
        )

    assert get(answer, path="/here")[0].outcome is Outcome.SUCCESS
    assert heard == ["/here", "/there?a=b"]
    answer_, _ = get(saying("HTTP/1.1 307 Again\r\nlocation: /\r\n\r\n"))
    assert answer_ == Answer(Outcome.FAILURE, 'Get "/": stopped after 10 redirects')


def test_headers_of_a_probe() -> None:
    heard: list[str] = []
    headers = [
        {"name": "Host", "value": "example.org"},
        {"name": "X-A", "value": "1"},
        {"name": "X-A", "value": "2"},
        {"name": "Accept", "value": ""},
    ]
    get(saying(OK, heard), path="healthz?x=1", httpHeaders=headers)
    assert heard[0].split("\r\n") == [
        "GET /healthz?x=1 HTTP/1.1",
        "User-Agent: kube-probe/1.36",
        "Host: example.org",
        "X-A: 1",
        "X-A: 2",
        "Connection: close",
        "",
        "",
    ]


@given(st.text(), st.text(), st.text())
def test_no_header_can_begin_another(path: str, name: str, value: str) -> None:
    action = HTTPGetAction(path=path, httpHeaders=(HTTPHeader(name="X", value=value),))
    made = httpprobe.request(action, "10.0.0.1", 80)
    assert all("\n" not in v and "\r" not in v for _, v in made.headers)


def test_https_needs_no_valid_certificate(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue(tmp_path, "other", ["192.0.2.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main() -> tuple[Answer, Answer]:
        async with server(saying(OK), context) as port, server(refusing) as plain:
            secure = await ask(target(), probe(httpGet={"port": port, "scheme": "HTTPS"}))
            wrong = await ask(target(), probe(httpGet={"port": plain, "scheme": "HTTPS"}))
            return secure, Answer(wrong.outcome, wrong.message.replace(f"{HOST}:{plain}", "PLAIN"))

    secure, wrong = asyncio.run(main())
    assert secure.outcome is Outcome.SUCCESS
    assert wrong == Answer(
        Outcome.FAILURE,
        'Get "https://PLAIN/": http: server gave HTTP response to HTTPS client',
    )


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_clock_that_was_set_back_delays_no_verdict() -> None:
    async def main() -> bool:
        async with server(silent) as closed:
            pass
        later = replace(target(), started_at=time.time() + 3600)
        decided: asyncio.Queue[bool] = asyncio.Queue()
        asked = probe(tcpSocket={"port": closed}, failureThreshold=1)
        watching = asyncio.create_task(
            watch(later, asked, True, decided.put_nowait, lambda _: None, final=True)
        )
        verdict = await asyncio.wait_for(decided.get(), LIMIT)
        await watching
        return verdict

    assert asyncio.run(main()) is False


class Held:
    """A pod whose container has been started as the run `run`."""

    sandbox = object()
    hooking: frozenset[str] = frozenset()

    def __init__(self, run: str, changed: asyncio.Event) -> None:
        self.run = run
        self.changed = changed

    def histories(self) -> dict[str, History]:
        """The one of the run."""
        return {"c": History(ContainerRecord(name="c", id=self.run, attempt=0, started_at=1))}

    def target(self, container: Container, run: str) -> Target:
        """What is asked."""
        return replace(target(), container=container, id=run)

    def event(self, *_: object) -> None:
        """Tells nobody."""


def test_what_was_said_of_a_run_that_is_over_is_forgotten() -> None:
    async def main() -> list[dict[str, str]]:
        async with server(silent) as closed:
            pass
        asked = probe(tcpSocket={"port": closed}, failureThreshold=1)
        pod = Pod(spec=PodSpec(containers=(Container(name="c", livenessProbe=asked),)))
        state: Any = Held("first", asyncio.Event())
        probing = Probing(state)
        probing.follow(pod)
        await asyncio.wait_for(state.changed.wait(), LIMIT)
        said = [probing.unhealthy()]
        state.run = "second"
        probing.follow(pod)
        said.append(probing.unhealthy())
        probing.stop()
        return said

    assert asyncio.run(main()) == [{"first": "liveness"}, {}]


def test_who_does_not_answer_or_refuses() -> None:
    clock = Clock()
    heard = 0

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lets the time pass that both questions have, once they have come."""
        nonlocal heard
        came = await reader.read(1)
        heard += len(came)
        if heard == 2:
            clock.now += 1
        await reader.read()

    async def main() -> list[str]:
        async with server(mute) as port, server(silent) as closed:
            assert (await ask(target(), probe(tcpSocket={"port": port}))).outcome is Outcome.SUCCESS
            late, unheard = await asyncio.gather(
                ask(target(), probe(httpGet={"port": port}, timeoutSeconds=1)),
                ask(target(), probe(grpc={"port": port}, timeoutSeconds=1)),
            )
        refused = [
            await ask(target(), probe(httpGet={"port": closed})),
            await ask(target(), probe(tcpSocket={"port": closed})),
            await ask(target(), probe(grpc={"port": closed})),
        ]
        assert {answer.outcome for answer in (late, unheard, *refused)} == {Outcome.FAILURE}
        messages = [answer.message for answer in (late, unheard, *refused)]
        return [m.replace(f"{HOST}:{closed}", "CLOSED").replace(f"{HOST}:{port}", "MUTE") for m in messages]

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        said = runner.run(main())
    assert said == [
        'Get "http://MUTE/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        "timeout: health rpc did not complete within 1s",
        'Get "http://CLOSED/": dial tcp CLOSED: connect: connection refused',
        "dial tcp CLOSED: connect: connection refused",
        'error: failed to connect service at "CLOSED": dial tcp CLOSED: connect: connection refused',
    ]


COMMANDS = {
    "ends well": (Done(request=0, output="fine"), Answer(Outcome.SUCCESS, "fine")),
    "fails": (Done(request=0, exit_code=1, output="no\n"), Answer(Outcome.FAILURE, "no\n")),
    "is late": (
        Done(request=0, exit_code=137, timed_out=True),
        Answer(Outcome.FAILURE, 'command timed out: "cat /x $(B)" timed out after 3s'),
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str) -> None:
    done, expected = COMMANDS[name]
    to = target(done, env=(EnvVar(name="A", value="/x"), EnvVar(name="C")))
    asked = probe(exec={"command": ["cat", "$(A)", "$(B)"]}, timeoutSeconds=3)
    assert asyncio.run(ask(to, asked)) == expected
    assert isinstance(to.executor, Commands)
    assert to.executor.asked == [(("cat", "/x", "$(B)"), 3)]


def test_ports_by_name() -> None:
    container = Container(name="c", ports=(ContainerPort(name="http", containerPort=8080),))
    assert (port_of(container, "http"), port_of(container, 81), port_of(container, "82")) == (8080, 81, 82)
    unknown = asyncio.run(ask(target(), probe(httpGet={"port": "web"})))
    assert unknown == Answer(Outcome.ERROR, 'strconv.Atoi: parsing "web": invalid syntax')
    assert unknown.event("readiness") == (
        "Unhealthy",
        'Readiness probe errored and resulted in unknown state: strconv.Atoi: parsing "web": invalid syntax',
    )


@dataclass
class Health:
    """A real gRPC server: the service "" serves, "bad" does not, "slow" never answers, others are unknown."""

    port: int = 0
    slow: Callable[[], object] = lambda: None
    """Called, by another thread, when "slow" has been asked for."""


@pytest.fixture(scope="module")
def health() -> Iterator[Health]:
    over, found = threading.Event(), Health()

    def check(message: bytes, context: grpc.ServicerContext) -> bytes:
        name = message[2:].decode()
        if name == "slow":
            found.slow()
            over.wait()
        if name not in ("", "bad"):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service, ünknown")
        return b"\x08\x01" if name == "" else b"\x08\x02"

    method = grpc.unary_unary_rpc_method_handler(check)
    made = grpc.server(futures.ThreadPoolExecutor(2))
    made.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})]
    )
    found.port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    yield found
    over.set()
    made.stop(None).wait()


GRPC = {
    "": "",
    "bad": 'service unhealthy (responded with "NOT_SERVING")',
    "other": "error: health rpc probe failed: unknown service, ünknown",
    "slow": "timeout: health rpc did not complete within 60s",
}


@pytest.mark.parametrize("service", GRPC)
def test_grpc_health(service: str, health: Health) -> None:
    """The time that the probe has is over, for its own clock, when the slow one has been asked."""
    clock = Clock()
    health.slow = lambda: clock.call_soon_threadsafe(setattr, clock, "now", LIMIT)
    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        assert runner.run(grpcprobe.check("127.0.0.1", health.port, service, LIMIT)) == GRPC[service]


def test_grpc_servers_without_a_health_service() -> None:
    made = grpc.server(futures.ThreadPoolExecutor(1))
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    said = asyncio.run(grpcprobe.check("127.0.0.1", port, "", LIMIT))
    made.stop(None).wait()
    assert said.startswith(
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
    )
    assert asyncio.run(_against_http()).startswith("error: health rpc probe failed: ")


async def _against_http() -> str:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with server(answer) as port:
        return await grpcprobe.check(HOST, port, "", LIMIT)


THRESHOLDS = {
    "the first answer decides": ((1, 1, None), "g", [True]),
    "three failures": ((1, 3, True), "bb", [True, True]),
    "in a row": ((1, 3, True), "bbgbbb", [True, True, True, True, True, False]),
    "two successes": ((2, 1, False), "gbgg", [False, False, False, True]),
    "nothing known": ((2, 2, None), "gbg", [None, None, None]),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds(name: str) -> None:
    (success, failure, known), answers, verdicts = THRESHOLDS[name]
    tally, seen = Tally(success, failure, known), []
    for answer in answers:
        tally = tally.count(answer == "g")
        seen.append(tally.verdict)
    assert seen == verdicts


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans()))
def test_a_verdict_changes_only_after_a_whole_row(success: int, failure: int, answers: list[bool]) -> None:
    tally = Tally(success, failure)
    for number, answer in enumerate(answers):
        before, tally = tally.verdict, tally.count(answer)
        if tally.verdict != before:
            needed = success if answer else failure
            assert tally.verdict is answer
            assert answers[number + 1 - needed : number + 1] == [answer] * needed


def test_a_container_has_its_time_before_it_is_asked() -> None:
    """The first question comes after `initialDelaySeconds`; none comes any more once it has failed for good."""

    async def main() -> tuple[float, list[bool]]:
        to = replace(target(Done(request=0, exit_code=1)), started_at=time.time())
        verdicts: list[bool] = []
        asked = probe(exec={"command": ["false"]}, initialDelaySeconds=1, failureThreshold=1, periodSeconds=1)
        async with asyncio.timeout(LIMIT):
            await watch(to, asked, True, verdicts.append, lambda answer: None, final=True)
        return time.time() - to.started_at, verdicts

    taken, verdicts = asyncio.run(main())
    assert taken >= 0.99
    assert verdicts == [False]
