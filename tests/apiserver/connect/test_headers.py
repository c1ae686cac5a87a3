"""The headers that go along with what is passed on."""

from __future__ import annotations

import pytest

from fairlead.apiserver.connect import headers


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("v5.channel.k8s.io", "v5.channel.k8s.io"),
        ("base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io", "v4.channel.k8s.io"),
        ("base64url.bearer.authorization.k8s.io.c2VjcmV0", ""),
    ],
)
def test_a_token_among_protocols_stays_here(value: str, left: str) -> None:
    assert headers.without_token("Sec-WebSocket-Protocol", value) == left
    assert headers.without_token("X-Other", value) == value


def test_what_is_for_this_server_alone_stays_here() -> None:
    raw = [
        (b"Authorization", b"Bearer secret"),
        (b"Impersonate-User", b"x"),
        (b"Impersonate-Extra-Scopes", b"x"),
        (b"Host", b"api"),
        (b"Connection", b"keep-alive"),
        (b"Accept", b"a/b"),
        (b"Accept", b"c/d"),
        (b"Cookie", b"\xe9"),
    ]
    assert headers.filtered(raw, headers.HOP_BY_HOP | headers.OWN) == [
        ("Accept", "a/b"),
        ("Accept", "c/d"),
        ("Cookie", "\xe9"),
    ]
