"""The programs that stand in for images: what they answer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from fairlead.node import accounts, databases
from fairlead.node.container import _call, _handle_signals
from fairlead.node.images import missing
from fairlead.node.programs import agnhost, greeters, guestbook, static, tutorials
from fairlead.node.programs.serving import Request
from fairlead.objects.core_v1 import Pod
from tests.loopback import own_address
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import ask
from tests.waiting import LIMIT

HOST = socket.gethostname()


def request(target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    lines = tuple(named.items())
    return Request(method, target, "HTTP/1.1", named, lines, body, ("10.0.0.1", 5000), ("10.0.0.2", 80))


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/hostname", 200, HOST),
        ("/hostName", 200, HOST),
        ("/clientip", 200, "10.0.0.1:5000"),
        ("/echo?msg=a%20b", 200, "a b"),
        ("/echo?msg=a&code=503", 503, "a"),
        ("/healthz", 200, ""),
        ("/header?key=X-Y", 200, "z"),
        ("/shell?cmd=echo%20x", 200, '{"output": "x\\n"}'),
        ("/shell?cmd=exit%203", 200, '{"output": "", "error": "exit status 3"}'),
        ("/no", 404, "404 page not found\n"),
    ],
)
def test_netexec(target: str, status: int, body: str) -> None:
    answer = agnhost.answer(request(target, x_y="z"))
    assert (answer.status, answer.body.decode()) == (status, body)


def test_echoserver_tells_of_the_request_as_the_tutorials_print_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "web-1")
    asked = request("/a?b=1", host="example.org", accept="*/*")
    old = tutorials.echo_1_4(asked).body.decode().splitlines()
    assert old[:7] == [
        "CLIENT VALUES:",
        "client_address=10.0.0.1",
        "command=GET",
        "real path=/a?b=1",
        "query=b=1",
        "request_version=1.1",
        "request_uri=http://example.org:80/a?b=1",
    ]
    assert "accept=*/*" in old
    six = tutorials.echo_1_4(request("/", host="[2001:db8::1]:30080")).body.decode()
    assert "request_uri=http://[2001:db8::1]:80/" in six
    new = tutorials.echo(asked).body.decode()
    assert f"\nHostname: {HOST}\n\nPod Information:\n\tpod name:\tweb-1\n" in new
    assert "\n\tclient_address=10.0.0.1\n\tcommand=GET\n" in new


def test_liveness_is_well_for_ten_seconds() -> None:
    now = 100.0
    handle = tutorials.healthy_at_first(lambda: now)
    assert handle(request("/healthz")).status == 200
    now = 110.5
    answer = handle(request("/healthz"))
    assert (answer.status, answer.body) == (500, b"error: 10.500000")


def test_a_frontend_passes_on_what_its_backend_says_or_that_it_says_nothing() -> None:
    with socket.create_server((host := own_address(), 0)) as closed:
        port = closed.getsockname()[1]
    answer = tutorials.ask(f"{host}:{port}", request("/"))
    assert (answer.status, b"Connection refused" in answer.body) == (502, True)


def test_the_guestbook_writes_to_the_leader_and_reads_from_a_follower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A redis that takes one command of each connection, for the length of the test."""
    heard: list[bytes] = []
    answers = [b"+OK\r\n", b"$3\r\na,b\r\n", b"-READONLY no\r\n"]
    connect = socket.create_connection
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for said in answers:
                connection, _ = server.accept()
                with connection:
                    heard.append(connection.recv(4096))
                    connection.sendall(said)

        def dial(address: tuple[str, int], timeout: float) -> socket.socket:
            heard.append(address[0].encode())
            return connect(server.getsockname(), timeout=timeout)

        monkeypatch.setattr(socket, "create_connection", dial)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        written = guestbook.answer(request("/guestbook.php?cmd=set&key=messages&value=a,b"))
        read = guestbook.answer(request("/guestbook.php?cmd=get&key=messages"))
        refused = guestbook.answer(request("/guestbook.php?cmd=set&key=k&value=v"))
        thread.join(LIMIT)
    assert heard[:4] == [
        b"redis-leader",
        b"*3\r\n$3\r\nSET\r\n$8\r\nmessages\r\n$3\r\na,b\r\n",
        b"redis-follower",
        b"*2\r\n$3\r\nGET\r\n$8\r\nmessages\r\n",
    ]
    assert json.loads(written.body) == {"message": "Updated"}
    assert json.loads(read.body) == {"data": "a,b"}
    assert (refused.status, b"READONLY no" in refused.body) == (500, True)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["%"], 1, "REFUSED"),
        (["--timeout=3s", "nowhere.invalid:80"], 1, "DNS: "),
        ([], 1, "accepts 1 arg"),
    ],
)
def test_connect(words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    host = own_address()  # where no port is anybody else's a moment later
    with socket.create_server((host, 0)) as server:
        address = f"{host}:{server.getsockname()[1]}"
        assert agnhost.connect([address]) == 0
    assert agnhost.connect([word.replace("%", address) for word in words]) == status
    assert says in capsys.readouterr().err


def test_flags() -> None:
    given = agnhost.flags(["-text=a b", "--port", "80", "--udp", "-x"])
    assert given == {"text": "a b", "port": "80", "udp": "true", "x": "true"}


@pytest.mark.parametrize(
    ("target", "method", "status", "says"),
    [
        ("/get?a=1&a=2&b=3", "GET", 200, {"args": {"a": ["1", "2"], "b": "3"}}),
        ("/post", "POST", 200, {"data": "x"}),
        ("/post", "GET", 404, {}),
        ("/status/418", "GET", 418, {}),
        ("/ip", "GET", 200, {"origin": "10.0.0.1"}),
        ("/anything/else", "PUT", 200, {"method": "PUT"}),
        ("/no", "GET", 404, {}),
    ],
)
def test_httpbin(target: str, method: str, status: int, says: dict[str, Any]) -> None:
    answer = greeters.httpbin_answer(request(target, method, b"x", host="h"))
    assert answer.status == status
    said = json.loads(answer.body) if says else {}
    assert says.items() <= said.items()


def test_files_are_served_from_their_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "html"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_text("first")
    (folder / "sub/a b.txt").write_text("file")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    serve = static.files(folder)
    assert serve(request("/")).body == b"first"
    assert serve(request("/sub/a%20b.txt?x")).body == b"file"
    assert serve(request("/", method="POST")).status == 405
    for outside in ("/../secret", "/%2e%2e/secret", "/link", "/none", "/sub"):
        assert serve(request(outside)).status == 404


PASSWD = "root:x:0:0:root:/root:/bin/sh\nredis:x:999:998::/:/bin/false\nbroken\n"
GROUPS = "root:x:0:\nredis:x:998:\nssl:x:101:redis,other\n"


@pytest.mark.parametrize(
    ("user", "group", "extra", "identity"),
    [
        ("", None, (), (0, 0, (0,))),
        (1000, None, (), (1000, 0, (0,))),
        (999, None, (), (999, 998, (998, 101))),
        ("redis", None, (5,), (999, 998, (998, 101, 5))),
        ("redis:ssl", None, (), (999, 101, (101,))),
        ("1000:1001", None, (), (1000, 1001, (1001,))),
        ("redis", 7, (), (999, 7, (7, 101))),
    ],
)
def test_users_of_images(user: int | str, group: int | None, extra: tuple[int, ...], identity: Any) -> None:
    who = accounts.identify(user, group, extra, PASSWD, GROUPS)
    assert (who.user, who.group, who.groups) == identity


def test_a_user_that_the_image_does_not_have() -> None:
    with pytest.raises(accounts.UnknownUser, match="unable to find user nobody"):
        accounts.identify("nobody", None, (), PASSWD, GROUPS)
    assert accounts.is_mapped("0 1000 1\n", 0)
    assert not accounts.is_mapped("0 1000 1\n", 1)


@root
def test_images_of_examples_run_here(tmp_path: Path) -> None:
    """On a host with none of these servers (the stand-in of nginx is what answers), or with them: the same answers."""

    async def page(pod: Pod, port: int) -> str:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    return (await ask(pod, port)).partition("\r\n\r\n")[2]
                except OSError:
                    await asyncio.sleep(0.01)

    async def test(cluster: Cluster) -> None:
        def log_of(pod: Pod) -> str:
            logs = cluster.config.state_directory / "pods" / pod.metadata.uid / "logs"
            return next(logs.rglob("*.log")).read_text()

        text = ["-text=hi", "-listen=:9000"]
        await cluster.run("greeter", {"image": "hashicorp/http-echo:1.0", "args": text})
        await cluster.run("web", {"image": "docker.io/library/nginx:1.27"})
        await cluster.run("pause", {"image": "registry.k8s.io/pause:3.10"})
        script = "wget -qO- http://$WEB/; nslookup -h 2>&1 | head -1; readlink -f $(command -v wget)"
        pod = await cluster.until("web", is_ready)
        assert "Welcome to nginx!" in await page(pod, 80)
        box = {"image": "busybox:1.36", "args": ["sh", "-c", script]}
        await cluster.run(
            "box", {**box, "env": [{"name": "WEB", "value": str(pod.status.podIP)}]}, restartPolicy="Never"
        )
        assert await page(await cluster.until("greeter", is_ready), 9000) == "hi\n"
        await cluster.until("pause", is_ready)
        # The node's network, and the node's name; the machine's own stays as it is.
        await cluster.run("host", {**box, "args": ["hostname"]}, restartPolicy="Never", hostNetwork=True)
        pod = await cluster.until("host", lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        assert log_of(pod).endswith(f" {cluster.config.name}\n")
        assert socket.gethostname() == HOST != cluster.config.name
        pod = await cluster.until("box", lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        said = log_of(pod)
        assert "Welcome to nginx!" in said, said
        assert "BusyBox" in said
        assert "busybox" in said.splitlines()[-1]

    with_cluster(tmp_path, test)


@root
@pytest.mark.skipif(missing("postgres", databases.images()) != "", reason="needs Debian's postgresql")
def test_postgres_has_the_database_the_password_and_the_tables_that_were_asked_for(tmp_path: Path) -> None:
    ask = "psql 'host=127.0.0.1 user=me dbname=shop password=pass' --command 'SELECT x FROM t'"
    script = "echo 'create table t (x int)' > /docker-entrypoint-initdb.d/t.sql"
    volume = [{"name": "scripts", "mountPath": "/docker-entrypoint-initdb.d"}]
    postgres = {
        "image": "postgres:16-alpine",
        "env": [
            {"name": f"POSTGRES_{name}", "value": value}
            for name, value in (
                ("USER", "me"),
                ("PASSWORD", "pass"),
                ("DB", "shop"),
                ("INITDB_ARGS", "--no-sync"),
            )
        ],
        "readinessProbe": {"exec": {"command": ["sh", "-c", ask]}, "periodSeconds": 1, "timeoutSeconds": 20},
        "volumeMounts": volume,
        "securityContext": {"runAsUser": 999},
    }

    async def test(cluster: Cluster) -> None:
        await cluster.run(
            "database",
            postgres,
            volumes=[{"name": "scripts", "emptyDir": {}}],
            initContainers=[
                {"name": "script", "image": "busybox", "args": ["sh", "-c", script], "volumeMounts": volume}
            ],
        )
        await cluster.until("database", is_ready, 3 * LIMIT)  # its files are a second's work of a whole core
        await cluster.run("none", {"image": "postgres"}, restartPolicy="Never")
        pod = await cluster.until("none", lambda pod: pod.status.phase == "Failed")
        ended = pod.status.containerStatuses[0].state.terminated
        assert ended is not None
        assert ended.exitCode == 1

    with_cluster(tmp_path, test)


def test_a_program_that_has_no_handler_yet_ends_when_it_is_told_to() -> None:
    def run() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    child = os.fork()
    if child == 0:
        _handle_signals()
        os._exit(_call(run, ["program"]))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 143
