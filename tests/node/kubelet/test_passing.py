"""What the API server passes on, and who may ask it and the node for that, with a client and a backend of our own."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web

from fairlead.node.kubelet import spdy
from fairlead.objects.authentication_v1 import TokenRequest, TokenRequestSpec
from fairlead.objects.codec import decode, encode
from fairlead.objects.rbac_v1 import Role, RoleBinding
from fairlead.objects.resources import ROLEBINDINGS, ROLES, SERVICEACCOUNTS
from fairlead.process import listener
from tests.node.places import ADDRESS, Cluster, is_ready, root, with_cluster
from tests.waiting import LIMIT

POD = "/api/v1/namespaces/default/pods/sh"
EXEC = f"{POD}/exec?stdout=true&stderr=true&command=echo&command=hello"


@asynccontextmanager
async def client(cluster: Cluster, token: str = "secret") -> AsyncIterator[aiohttp.ClientSession]:
    """One of the API server."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(
        cluster.api.config.server, headers=headers, connector=connector, auto_decompress=False
    ) as session:
        yield session


@asynccontextmanager
async def backend(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server on the node; gives the path that leads to it through the API server."""
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = listener(ADDRESS, 0)
    await web.SockSite(runner, sock).start()
    try:
        yield f"/api/v1/nodes/node1:{sock.getsockname()[1]}/proxy"
    finally:
        await runner.cleanup()


@root
def test_what_is_passed_on(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run(
            "sh",
            {"image": "any", "command": ["sleep", "1000"]},
            terminationGracePeriodSeconds=0,
        )
        await cluster.until("sh", is_ready)
        await every_verb(cluster)
        await redirects_and_pages(cluster)
        await answers_without_a_length(cluster)
        await other_protocols(cluster)
        await a_token_as_a_protocol(cluster)
        await what_a_role_allows(cluster)
        await who_may_ask_the_node(cluster)
        await what_is_sent_with_the_request(cluster)
        await a_client_that_reads_nothing(cluster)

    with_cluster(tmp_path, test)


async def every_verb(cluster: Cluster) -> None:
    async def answer(request: web.Request) -> web.Response:
        shown = {
            "method": request.method,
            "target": request.raw_path,
            "body": (await request.read()).hex(),
            "authorized": "Authorization" in request.headers,
            "mine": request.headers.get("X-Mine"),
            "uri": request.headers.get("X-Forwarded-Uri"),
        }
        return web.json_response(shown, status=418, headers={"X-Theirs": "2"})

    async with backend(answer) as path, client(cluster) as session:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            body = b"\xff\0binary" if method in ("POST", "PUT", "PATCH") else b""
            target = f"{path}/a%2Fb//c/?x=1&x=%2F"
            async with session.request(method, target, data=body, headers={"X-Mine": "1"}) as response:
                assert (response.status, response.headers["X-Theirs"]) == (418, "2")
                shown = await response.json()
            assert (shown["method"], bytes.fromhex(shown["body"])) == (method, body)
            assert (shown["authorized"], shown["mine"]) == (False, "1")
            assert shown["uri"].startswith(path)
        async with session.head(f"{path}/x") as response:
            assert response.status == 418
            assert int(response.headers["Content-Length"]) > 0
        async with session.get("/api/v1/nodes/node1:1/proxy/") as response:
            assert response.status == 503
            assert "error trying to reach service" in (await response.json())["message"]


async def redirects_and_pages(cluster: Cluster) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/old":
            return web.Response(status=302, headers={"Location": "/new"})
        more = "x" * int(request.query.get("more", "0"))
        return web.Response(text='<a href="/next">' + more, content_type="text/html")

    async with backend(answer) as path, client(cluster) as session:
        async with session.get(f"{path}?q=1", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (301, f"{path}/?q=1")
        async with session.get(f"{path}/old", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, f"{path}/new")
        async with session.get(f"{path}/page") as response:
            assert await response.text() == f'<a href="{path}/next">'
        async with session.get(f"{path}/page?more=5000000") as response:
            assert len(await response.read()) == 5_000_016, "a page of that size is given on as it is"


async def answers_without_a_length(cluster: Cluster) -> None:
    """They are given on as they come: the second piece is written when the first has been read."""
    read = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await read.wait()
        await response.write(b"second")
        return response

    async with backend(answer) as path, client(cluster) as session, session.get(f"{path}/") as response:
        assert await response.content.readexactly(5) == b"first"
        read.set()
        assert await response.content.read() == b"second"


async def other_protocols(cluster: Cluster) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("mine",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data * 2)
        return socket

    async with (
        backend(answer) as path,
        client(cluster) as session,
        session.ws_connect(f"{path}/ws", protocols=("mine",)) as socket,
    ):
        assert socket.protocol == "mine"
        for size in (1, 100_000, 1_000_000):
            await socket.send_bytes(b"x" * size)
            assert len(await socket.receive_bytes(timeout=LIMIT)) == 2 * size


async def a_token_as_a_protocol(cluster: Cluster) -> None:
    token = base64.urlsafe_b64encode(b"secret").rstrip(b"=").decode()
    protocols = (f"base64url.bearer.authorization.k8s.io.{token}", "base64.channel.k8s.io")
    async with client(cluster, "") as session, session.ws_connect(EXEC, protocols=protocols) as socket:
        assert socket.protocol == "base64.channel.k8s.io"
        said = [message.data async for message in socket]
        assert [base64.b64decode(text[1:]) for text in said if text.startswith("1")] == [b"", b"hello\n"]


async def what_a_role_allows(cluster: Cluster) -> None:
    """To run commands takes `create`, though a WebSocket begins with a GET (upstream, since 1.35)."""
    role = {
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/log"], "verbs": ["get"]}],
    }
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    await cluster.api.create(ROLES, decode(Role, encode(role)), "default")
    await cluster.api.create(ROLEBINDINGS, decode(RoleBinding, encode(binding)), "default")
    token = await account_token(cluster)
    async with client(cluster, token) as session:
        async with session.get(f"{POD}/log") as response:
            assert response.status == 200
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with session.get(EXEC, headers=headers) as response:
            assert response.status == 403
            assert 'cannot create resource "pods/exec"' in (await response.json())["message"]
    async with client(cluster) as session, session.get(EXEC) as response:
        assert (response.status, (await response.json())["message"]) == (400, "Upgrade request required")


async def account_token(cluster: Cluster) -> str:
    answer = await cluster.api.request(
        "POST",
        SERVICEACCOUNTS.path("default", "default", "token"),
        TokenRequest,
        TokenRequest(spec=TokenRequestSpec(expirationSeconds=600)),
    )
    return answer.status.token


async def who_may_ask_the_node(cluster: Cluster) -> None:
    url = f"https://{ADDRESS}:10250/pods"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    folder = cluster.kubeconfig.parent
    known = ssl.create_default_context()
    known.check_hostname = False
    known.verify_mode = ssl.CERT_NONE
    known.load_cert_chain(folder / "kubelet-client.crt", folder / "kubelet-client.key")
    account = await account_token(cluster)
    async with aiohttp.ClientSession() as session:
        for headers, tls, status in (
            ({}, context, 401),
            ({"Authorization": "Bearer wrong"}, context, 401),
            ({"Authorization": f"Bearer {account}"}, context, 403),
            ({"Authorization": "Bearer secret"}, context, 200),
            ({}, known, 200),
        ):
            async with session.get(url, headers=headers, ssl=tls) as response:
                assert response.status == status, (headers, await response.text())


async def what_is_sent_with_the_request(cluster: Cluster) -> None:
    """A client need not wait for the answer before it opens its streams, whichever protocol it speaks in them."""
    address, port = cluster.api.config.server.removeprefix("https://").split(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for protocol, ending in (
        ("v4.channel.k8s.io", b'"message":"3"'),
        ("v2.channel.k8s.io", b"exit status 3"),
        ("", b"exit status 3"),
    ):
        reader, writer = await asyncio.open_connection(address, int(port), ssl=context)
        head = (
            f"POST {POD}/exec?stdout=true&stdin=true&command=sh&command=-c&command=cat;exit+3 HTTP/1.1\r\n"
            "Host: x\r\nAuthorization: Bearer secret\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            f"{f'X-Stream-Protocol-Version: {protocol}' if protocol else 'X-Nothing: 1'}\r\n\r\n"
        )
        connection = spdy.Connection(server=False)
        streams = {connection.open({"streamType": name}): name for name in ("error", "stdin", "stdout")}
        stdin = next(number for number, name in streams.items() if name == "stdin")
        connection.send(stdin, b"hello" * 10_000, fin=True)
        writer.write(head.encode() + connection.take())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        got = {"stdout": b"", "error": b""}
        ended: set[str] = set()
        async with asyncio.timeout(LIMIT):
            while ended != {"stdout", "error", "stdin"}:
                data = await reader.read(65536)
                assert data, got
                for event in connection.receive(data):
                    if isinstance(event, spdy.Received):
                        name = streams[event.stream]
                        got[name] = got.get(name, b"") + event.data
                        ended |= {name} if event.fin else set()
        assert got["stdout"] == b"hello" * 10_000
        assert ending in got["error"]
        writer.close()


async def a_client_that_reads_nothing(cluster: Cluster) -> None:
    """It lets the command wait, once the kernel's buffers are full: the command stands still."""
    path = f"{POD}/exec?stdout=true&command=head&command=/dev/zero&command=-c"
    script = "grep wchar /dev/null $(grep -l ^head /proc/[0-9]*/cmdline | sed s/cmdline/io/)"
    progress = f"{POD}/exec?stdout=true&command=sh&command=-c&command={quote(script)}"
    async with client(cluster) as session:
        endless = session.ws_connect(f"{path}100G", protocols=("v5.channel.k8s.io",), max_msg_size=0)
        async with endless as socket:
            assert await socket.receive_bytes(timeout=LIMIT) == b"\1"
            before, now = b"", await said(session, progress)
            async with asyncio.timeout(LIMIT):
                while not now or now != before:  # nothing is said before it runs
                    before, now = now, await said(session, progress)
            assert int(now.split()[-1]) > 0
            socket._response.close()  # without a farewell, which would be read after all that
        assert len(await said(session, f"{path}20M")) == 20 << 20


async def said(session: aiohttp.ClientSession, path: str) -> bytes:
    """What a command prints."""
    async with session.ws_connect(path, protocols=("v5.channel.k8s.io",)) as socket:
        return b"".join([message.data[1:] async for message in socket if message.data[0] == 1])
