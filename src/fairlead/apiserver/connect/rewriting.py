"""Links and redirects of pages that are seen through the API server: they lead through it, too. Pure.

Upstream: apimachinery/pkg/util/proxy/transport.go.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit, urlunsplit

ATTRIBUTES = (
    "action|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src"
)
"""What has a URL in it."""

LINK = re.compile(
    rb"""(<[a-zA-Z][^<>]*?\s(?:%b)\s*=\s*)(?:"([^"<>]*)"|'([^'<>]*)')""" % ATTRIBUTES.encode(),
    re.IGNORECASE,
)
"""An attribute with its URL, in a tag of a page."""


def url(text: str, prefix: str, own: Collection[str]) -> str:
    """Where a link of a page leads, seen through `prefix`; `own` are the hosts that stand for the page's server.

    Links to other hosts, and relative ones, are as they should be.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if (parts.netloc and parts.netloc not in own) or not parts.path.startswith("/"):
        return text
    prefix = prefix.removesuffix("/")
    path = parts.path
    if not path.startswith(prefix):
        path = posixpath.normpath(prefix + path) + ("/" if path.endswith("/") else "")
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def is_page(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether an answer is a page whose links can be read: HTML that nobody has packed."""
    found = {name.lower(): value for name, value in headers}
    media = found.get("content-type", "").partition(";")[0].strip()
    return media == "text/html" and found.get("content-encoding", "identity") == "identity"


def page(text: bytes, prefix: str, own: Collection[str]) -> bytes:
    """The page with its links rewritten: one of each tag, which is all that nearly every tag has."""

    def rewrite(match: re.Match[bytes]) -> bytes:
        mark = b'"' if match.group(2) is not None else b"'"
        link = (match.group(2) if match.group(2) is not None else match.group(3)).decode(
            "utf-8", "surrogateescape"
        )
        return match.group(1) + mark + url(link, prefix, own).encode("utf-8", "surrogateescape") + mark

    return LINK.sub(rewrite, text)
