"""Who we are to the server: tokens that rotate, exec plugins, impersonation."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fairlead.apiserver.certificates import Authority, common_name, make_authority, starting, write
from fairlead.client.api import Api
from fairlead.client.credentials import Credentials, LoginFailed
from fairlead.client.kubeconfig import Config, ExecPlugin, KubeconfigError, load
from fairlead.client.outage import Unreachable
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError
from fairlead.process import listener

from .server import Pods, serving

V1 = "client.authentication.k8s.io/v1"


class Guarded(Pods):
    """A server that takes one token, and notes what it was asked with."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.headers: list[Any] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(request.headers)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"kind": "Status", "status": "Failure", "code": 401}, status=401)
        return await super().answer(request)


def asking(pods: Pods, config: Callable[[str], Config], told: Callable[[Api], Awaitable[None]]) -> None:
    """Runs the story with a client of that server; `config` gets its address."""

    async def run() -> None:
        async with serving(pods) as plain, Api(config(plain.server)) as api:
            await told(api)

    asyncio.run(run())


def plugin(path: Path, script: str) -> ExecPlugin:
    """A plugin that is this Python script; `count` in it tells how often it was run before."""
    program = path / "login"
    counter = path / "count"
    counter.write_text("0")
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "count = int(counter.read_text())\n"
        "counter.write_text(str(count + 1))\n"
        "def say(**status):\n"
        f"    print(json.dumps(dict(kind='ExecCredential', apiVersion={V1!r}, status=status)))\n" + script
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return ExecPlugin(command=str(program))


def runs(path: Path) -> int:
    return int((path / "count").read_text())


def test_a_token_that_rotates_in_place_of_a_link(tmp_path: Path) -> None:
    """A kubelet swaps a link to a folder; what we read is the file behind it."""
    for number in (1, 2):
        (tmp_path / f"data{number}").mkdir()
        (tmp_path / f"data{number}" / "token").write_text(f"token{number}\n")
    link = tmp_path / "..data"
    link.symlink_to("data1")
    pods = Guarded("token1")

    async def told(api: Api) -> None:
        await api.list(PODS)
        (tmp_path / "new").symlink_to("data2")
        os.replace(tmp_path / "new", link)
        pods.token = "token2"
        await api.list(PODS)

    asking(pods, lambda server: Config(server, token_file=link / "token"), told)
    assert [h["Authorization"] for h in pods.headers] == ["Bearer token1", "Bearer token2"]


def test_a_token_file_that_is_gone_for_a_moment_leaves_the_last_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token1")

    async def told(api: Api) -> None:
        await api.list(PODS)
        file.unlink()
        await api.list(PODS)

    asking(Guarded("token1"), lambda server: Config(server, token_file=file), told)


def test_a_token_file_that_was_never_there_is_told(tmp_path: Path) -> None:
    async def told(api: Api) -> None:
        with pytest.raises(LoginFailed, match=f"cannot read the token file {tmp_path}/none: No such file"):
            await api.list(PODS)

    asking(Guarded("token"), lambda server: Config(server, token_file=tmp_path / "none"), told)


def test_a_plugin_is_asked_once_for_many_requests(tmp_path: Path) -> None:
    config = plugin(tmp_path, "say(token='secret')")

    async def told(api: Api) -> None:
        await asyncio.gather(*(api.list(PODS) for _ in range(10)))

    asking(Guarded("secret"), lambda server: Config(server, exec=config), told)
    assert runs(tmp_path) == 1


def test_a_plugin_is_asked_again_when_its_time_is_up(tmp_path: Path) -> None:
    config = plugin(tmp_path, "say(token='secret', expirationTimestamp='2020-01-01T00:00:00Z')")

    async def told(api: Api) -> None:
        for _ in range(3):
            await api.list(PODS)

    asking(Guarded("secret"), lambda server: Config(server, exec=config), told)
    assert runs(tmp_path) == 3


def test_a_refused_token_is_replaced_and_the_request_sent_again(tmp_path: Path) -> None:
    config = plugin(tmp_path, "say(token=f'token{count}')")
    pods = Guarded("token0")

    async def told(api: Api) -> None:
        await api.list(PODS)
        pods.token = "token1"  # revoked before its time
        await asyncio.gather(*(api.list(PODS) for _ in range(5)))

    asking(pods, lambda server: Config(server, exec=config), told)
    assert runs(tmp_path) == 2


def test_a_plugin_whose_token_is_refused_again_is_not_asked_for_ever(tmp_path: Path) -> None:
    config = plugin(tmp_path, "say(token='wrong')")

    async def told(api: Api) -> None:
        with pytest.raises(StatusError) as caught:
            await api.list(PODS)
        assert caught.value.code == 401

    asking(Guarded("secret"), lambda server: Config(server, exec=config), told)
    assert runs(tmp_path) == 2


@pytest.mark.parametrize(
    ("case", "script", "said"),
    [
        ("fails", "sys.exit(3)", "failed with exit status 3"),
        ("prints no JSON", "print('hello')", "printed no ExecCredential"),
        ("prints nothing", "", "printed no ExecCredential"),
        ("another version", "print(json.dumps(dict(kind='ExecCredential', apiVersion='v0')))", "v0"),
        (
            "no status",
            f"print(json.dumps(dict(kind='ExecCredential', apiVersion={V1!r})))",
            "returned no status",
        ),
        ("neither token nor certificate", "say()", "neither a token nor a certificate"),
        ("a certificate without a key", "say(clientCertificateData='x')", "only a certificate or only a key"),
        ("a time that is none", "say(token='x', expirationTimestamp='soon')", "'soon', is no time"),
        ("too much", "print('x' * (2 << 20))", "printed over"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_a_plugin_that(tmp_path: Path, case: str, script: str, said: str) -> None:
    config = Config("http://127.0.0.1:1", exec=plugin(tmp_path, script))
    with pytest.raises(LoginFailed, match=said) as caught:
        asyncio.run(Credentials(config).current())
    assert config.exec
    assert config.exec.command in str(caught.value), case


def test_a_plugin_that_is_missing_says_how_to_get_it() -> None:
    config = Config("http://127.0.0.1:1", exec=ExecPlugin("no-such-login", install_hint="apt install login"))
    with pytest.raises(LoginFailed, match="no-such-login cannot run: No such file or directory\napt install"):
        asyncio.run(Credentials(config).current())


def test_what_a_plugin_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    chosen = replace_plugin(
        plugin(
            tmp_path,
            f"pathlib.Path({str(told)!r}).write_text(os.environ['KUBERNETES_EXEC_INFO'] + sys.argv[1] +"
            " os.environ['REGION'])\nsay(token='x')",
        ),
        args=("--login",),
        env=(("REGION", "west"),),
        provide_cluster_info=True,
        cluster_config={"audience": "shop"},
    )
    config = Config("https://10.0.0.1:6443", authority=make_authority(tmp_path).pem, exec=chosen)
    asyncio.run(Credentials(config).current())
    text = told.read_text()
    assert text.endswith("--loginwest")
    question = json.loads(text.removesuffix("--loginwest"))
    assert (question["kind"], question["apiVersion"]) == ("ExecCredential", V1)
    assert question["spec"]["interactive"] is False
    assert question["spec"]["cluster"]["server"] == "https://10.0.0.1:6443"
    assert question["spec"]["cluster"]["config"] == {"audience": "shop"}
    assert question["spec"]["cluster"]["certificate-authority-data"]


def replace_plugin(given: ExecPlugin, **fields: Any) -> ExecPlugin:
    return ExecPlugin(**{**given.__dict__, **fields})


def client_certificate(authority: Authority, folder: Path, name: str) -> None:
    """A certificate that a client shows, with its key, as NAME.crt and NAME.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    life = timedelta(hours=1)
    builder = starting(
        authority.certificate.subject, common_name(name), key.public_key(), life
    ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    write(folder, name, builder.sign(authority.key, hashes.SHA256()), key)


def test_a_plugins_certificate_is_shown_to_the_server_and_a_newer_one_after_it(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    serving_pair = authority.issue(tmp_path, "server", ["127.0.0.1"], ["server"])
    for number in (0, 1):
        client_certificate(authority, tmp_path, f"client{number}")
    script = (
        f"folder = {str(tmp_path)!r}\n"
        "read = lambda end: open(f'{folder}/client{count}.{end}').read()\n"
        "say(clientCertificateData=read('crt'), clientKeyData=read('key'),"
        " **({'expirationTimestamp': '2020-01-01T00:00:00Z'} if count == 0 else {}))"
    )

    async def run() -> None:
        async with by_certificate(authority, serving_pair) as (server, shown):
            config = Config(server, authority=authority.pem, exec=plugin(tmp_path, script))
            async with Api(config) as api:
                for _ in range(3):
                    await api.list(PODS)
            assert shown == ["client0", "client1", "client1"]

    asyncio.run(run())


@asynccontextmanager
async def by_certificate(
    authority: Authority, pair: tuple[Path, Path]
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that wants a client certificate: its address, and the names that it was shown."""
    shown: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport
        subject = request.transport.get_extra_info("peercert")["subject"]
        shown.append(subject[0][0][1])
        return web.json_response({"kind": "PodList", "items": []})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*pair)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sock = listener("127.0.0.1", 0)
    await web.SockSite(runner, sock, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{sock.getsockname()[1]}", shown
    finally:
        await runner.cleanup()


def test_certificates_in_files_are_read_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet, or cert-manager, renews them under a running process. One that is half written waits."""
    monkeypatch.setattr("fairlead.client.credentials.LOOK", 0.0)
    authority = make_authority(tmp_path)
    pair = authority.issue(tmp_path, "server", ["127.0.0.1"], ["server"])
    for name in ("first", "second"):
        client_certificate(authority, tmp_path, name)

    def use(name: str, *ends: str) -> None:
        for end in ends:
            (tmp_path / f"new.{end}").write_bytes((tmp_path / f"{name}.{end}").read_bytes())
            os.replace(tmp_path / f"new.{end}", tmp_path / f"own.{end}")

    async def run() -> None:
        async with by_certificate(authority, pair) as (server, shown):
            use("first", "crt", "key")
            (tmp_path / "ca.pem").write_bytes(authority.pem)
            user = {"client-certificate": "own.crt", "client-key": "own.key"}
            async with Api(
                load(written(tmp_path, user=user, server=server, **{"certificate-authority": "ca.pem"}))
            ) as api:
                await api.list(PODS)
                use("second", "crt")
                await api.list(PODS)  # its key is the first one's: not yet
                use("second", "key")
                await api.list(PODS)
                (tmp_path / "own.key").unlink()
                await api.list(PODS)
            assert shown == ["first", "first", "second", "second"]

    asyncio.run(run())


def test_an_empty_token_file_leaves_the_last_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token1")

    async def told(api: Api) -> None:
        await api.list(PODS)
        file.write_text("")
        await api.list(PODS)

    asking(Guarded("token1"), lambda server: Config(server, token_file=file), told)


def test_a_server_is_known_by_the_name_that_the_kubeconfig_gives_it(tmp_path: Path) -> None:
    """tls-server-name: its certificate does not have the address that we reach it by."""
    authority = make_authority(tmp_path)
    client_certificate(authority, tmp_path, "own")
    pair = authority.issue(tmp_path, "server", ["192.0.2.1"], ["kubernetes.example"])

    def config(server: str, **cluster: object) -> Config:
        data = base64.b64encode(authority.pem).decode()
        user = {"client-certificate": "own.crt", "client-key": "own.key"}
        return load(
            written(tmp_path, user=user, server=server, **{"certificate-authority-data": data}, **cluster)
        )

    async def run() -> None:
        async with by_certificate(authority, pair) as (server, shown):
            async with Api(config(server)) as api:
                with pytest.raises(Unreachable, match="not one that the kubeconfig's authority vouches for"):
                    await api.list(PODS)
            async with Api(config(server, **{"tls-server-name": "kubernetes.example"})) as api:
                await api.list(PODS)
            assert shown == ["own"]

    asyncio.run(run())


def test_impersonation_is_asked_for(tmp_path: Path) -> None:
    user = {"token": "t", "as": "jane", "as-groups": ["dev", "ops"], "as-user-extra": {"why": ["test"]}}
    pods = Guarded("t")

    def config(server: str) -> Config:
        return load(written(tmp_path, user=user, server=server))

    async def told(api: Api) -> None:
        await api.list(PODS)

    asking(pods, config, told)
    (headers,) = pods.headers
    assert headers["Impersonate-User"] == "jane"
    assert headers.getall("Impersonate-Group") == ["dev", "ops"]
    assert headers["Impersonate-Extra-why"] == "test"


def written(folder: Path, *, user: object, server: str = "https://127.0.0.1:1", **cluster: object) -> Path:
    data = {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "config").write_text(yaml.safe_dump(data))
    return folder / "config"


def test_a_kubeconfigs_plugin(tmp_path: Path) -> None:
    user = {
        "exec": {
            "apiVersion": V1,
            "command": "bin/login",
            "args": ["--cluster", "shop"],
            "env": [{"name": "REGION", "value": "west"}],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": True,
            "installHint": "get it",
        }
    }
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "shop"}}]
    assert load(written(tmp_path, user=user, extensions=extensions)).exec == ExecPlugin(
        command=str(tmp_path / "bin/login"),
        args=("--cluster", "shop"),
        env=(("REGION", "west"),),
        api_version=V1,
        provide_cluster_info=True,
        install_hint="get it",
        cluster_config={"audience": "shop"},
    )


@pytest.mark.parametrize(
    ("exec", "said"),
    [
        ({"apiVersion": V1, "interactiveMode": "Never"}, "has no command"),
        (
            {"command": "l", "apiVersion": "client.authentication.k8s.io/v1alpha1"},
            "use client.authentication",
        ),
        ({"command": "l", "apiVersion": V1, "interactiveMode": "Always"}, "nobody is here to answer it"),
        ({"command": "l", "apiVersion": V1}, "use Never or IfAvailable"),
    ],
)
def test_plugins_that_cannot_be_used(tmp_path: Path, exec: object, said: str) -> None:
    with pytest.raises(KubeconfigError, match=said):
        load(written(tmp_path, user={"exec": exec}))


def test_the_token_of_a_plugin_is_in_no_error(tmp_path: Path) -> None:
    config = Config(
        "http://127.0.0.1:1",
        exec=replace_plugin(plugin(tmp_path, "say(token='secret', clientKeyData='k')")),
    )
    with pytest.raises(LoginFailed) as caught:
        asyncio.run(Credentials(config).current())
    assert "secret" not in str(caught.value)
