"""Links of pages that are seen through the API server."""

from __future__ import annotations

import pytest

from fairlead.apiserver.connect import rewriting

PREFIX = "/api/v1/namespaces/ns/services/web/proxy"
OWN = ("10.0.0.1:80", "api:6443")


@pytest.mark.parametrize(
    ("link", "seen"),
    [
        ("/login", f"{PREFIX}/login"),
        ("/a/?x=1#y", f"{PREFIX}/a/?x=1#y"),
        ("/", f"{PREFIX}/"),
        ("http://10.0.0.1:80/login", f"{PREFIX}/login"),
        ("relative", "relative"),
        ("../up", "../up"),
        ("#here", "#here"),
        ("https://example.org/x", "https://example.org/x"),
        ("//example.org/x", "//example.org/x"),
        (f"{PREFIX}/known", f"{PREFIX}/known"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_links(link: str, seen: str) -> None:
    assert rewriting.url(link, PREFIX, OWN) == seen


def test_pages() -> None:
    page = b'<p>/not/this</p><a class="x" href="/a">/b</a><img src=\'/i.png\'><a href="c">d</a><A HREF="/E">'
    assert rewriting.page(page, "/p", ()) == (
        b'<p>/not/this</p><a class="x" href="/p/a">/b</a><img src=\'/p/i.png\'><a href="c">d</a><A HREF="/p/E">'
    )
    assert rewriting.page(b"\xff<a href='/\xff'>", "/p", ()) == b"\xff<a href='/p/\xff'>"


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ([("Content-Type", "text/html; charset=utf-8")], True),
        ([("content-type", "text/html"), ("Content-Encoding", "gzip")], False),
        ([("Content-Type", "application/json")], False),
        ([], False),
    ],
)
def test_what_is_a_page(headers: list[tuple[str, str]], is_page: bool) -> None:
    assert rewriting.is_page(headers) is is_page
