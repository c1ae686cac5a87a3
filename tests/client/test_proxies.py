"""The HTTP proxy on the way to the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config, KubeconfigError, through_proxy
from fairlead.client.outage import Unreachable
from fairlead.client.proxies import ProxyError, environment_proxy, proxy_address
from fairlead.objects.resources import NAMESPACES
from tests.loopback import own_address

from .cluster import api_server

HTTPS = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://plain:3128"}


@pytest.mark.parametrize(
    ("case", "server", "environment", "expected"),
    [
        ("none", "https://10.0.0.1:6443", {}, ""),
        ("https", "https://10.0.0.1:6443", HTTPS, "http://proxy:3128"),
        ("http", "http://10.0.0.1:8080", HTTPS, "http://plain:3128"),
        ("small letters", "https://10.0.0.1", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("this machine", "https://127.0.0.1:6443", HTTPS, ""),
        ("this machine, IPv6", "https://[::1]:6443", HTTPS, ""),
        ("this machine by name", "https://localhost:6443", HTTPS, ""),
        ("an address", "https://10.0.0.1:6443", {**HTTPS, "NO_PROXY": "10.0.0.1"}, ""),
        ("a network", "https://10.0.0.1:6443", {**HTTPS, "NO_PROXY": "192.0.2.0/24,10.0.0.0/8"}, ""),
        ("another network", "https://10.0.0.1", {**HTTPS, "NO_PROXY": "10.1.0.0/16"}, "http://proxy:3128"),
        ("a network of IPv6", "https://[fd00::1]:6443", {**HTTPS, "NO_PROXY": "fd00::/8"}, ""),
        ("all", "https://api.example.com", {**HTTPS, "NO_PROXY": "*"}, ""),
        ("a name", "https://api.example.com", {**HTTPS, "NO_PROXY": "api.example.com"}, ""),
        ("a domain", "https://api.example.com", {**HTTPS, "NO_PROXY": "example.com"}, ""),
        ("below a domain", "https://api.example.com", {**HTTPS, "NO_PROXY": ".example.com"}, ""),
        ("not the domain", "https://example.com", {**HTTPS, "NO_PROXY": ".example.com"}, "http://proxy:3128"),
        ("half a name", "https://myexample.com", {**HTTPS, "NO_PROXY": "example.com"}, "http://proxy:3128"),
        ("a port", "https://api.example.com:6443", {**HTTPS, "NO_PROXY": "example.com:6443"}, ""),
        (
            "another port",
            "https://api.example.com",
            {**HTTPS, "NO_PROXY": "example.com:1"},
            "http://proxy:3128",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_environment_is_read_as_go_reads_it(
    case: str, server: str, environment: dict[str, str], expected: str
) -> None:
    assert environment_proxy(server, environment) == expected, case


@pytest.mark.parametrize(
    ("text", "said"),
    [("socks5://a:1080", "speaks socks5"), ("http://", "is no URL"), ("http://a:b", "is no URL")],
)
def test_proxies_that_cannot_be_used(text: str, said: str) -> None:
    with pytest.raises(ProxyError, match=said):
        proxy_address(text)


def test_what_the_kubeconfig_says_wins_over_the_environment() -> None:
    config = Config("https://10.0.0.1:6443", proxy="http://own:1")
    assert through_proxy(config, HTTPS).proxy == "http://own:1"
    assert through_proxy(Config("https://10.0.0.1:6443"), HTTPS).proxy == "http://proxy:3128"
    with pytest.raises(KubeconfigError, match="speaks socks5"):
        through_proxy(Config("https://10.0.0.1:6443"), {"HTTPS_PROXY": "socks5://a:1"})


@asynccontextmanager
async def tunnels(refuse: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that opens tunnels: its address, and what it was asked for."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.splitlines()[0])
        if refuse:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, own_address(), 0)
    try:
        yield f"http://{own_address()}:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


def test_a_server_behind_a_proxy(tmp_path: Path) -> None:
    """TLS goes through it: the certificate is the server's own."""

    async def run() -> None:
        async with api_server(tmp_path) as config, tunnels() as (proxy, asked):
            async with Api(replace(config, proxy=proxy)) as api:
                assert (await api.list(NAMESPACES)).items
            assert asked == [f"CONNECT {config.server.removeprefix('https://')} HTTP/1.1"]

    asyncio.run(run())


def test_a_proxy_that_refuses_or_is_not_there_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with tunnels(refuse=True) as (proxy, _), Api(Config("https://192.0.2.1", proxy=proxy)) as api:
            with pytest.raises(Unreachable, match="the proxy on the way to it answers 407"):
                await api.list(NAMESPACES)
        async with Api(Config("https://192.0.2.1", proxy=proxy)) as api:
            with pytest.raises(Unreachable, match="the proxy on the way to it does not answer"):
                await api.list(NAMESPACES)

    asyncio.run(run())
