"""Documents that clients keep, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apiserver.customs import definition, establish
from tests.apiserver.serving import Client, with_server

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_a_document_is_sent_once(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for path, accept, cache, vary in (
            ("/apis", AGGREGATED, "public", "Accept"),
            ("/api", AGGREGATED, "public", "Accept"),
            ("/openapi/v3", "application/json", "no-cache, private", "Accept"),
            ("/openapi/v2", "application/json", "no-cache, private", "Accept, Accept-Encoding"),
        ):
            headers = {"Accept": accept, "Accept-Encoding": "gzip"}
            async with client.session.get(path, headers=headers) as first:
                assert (first.status, first.headers["Vary"]) == (200, vary)
                assert first.headers["Cache-Control"] == cache
                assert await first.json()
            etag = first.headers["ETag"]
            async with client.session.get(path, headers={**headers, "If-None-Match": etag}) as again:
                assert (again.status, again.headers["ETag"], await again.read()) == (304, etag, b"")
            async with client.session.head(path, headers=headers) as head:
                assert (head.status, head.headers["ETag"]) == (200, etag)

    with_server(tmp_path, test)


@pytest.mark.parametrize("path", ["/apis", "/openapi/v2", "/openapi/v3"])
def test_a_definition_changes_what_was_kept(tmp_path: Path, path: str) -> None:
    async def test(client: Client) -> None:
        headers = {"Accept": f"{AGGREGATED},application/json"}
        async with client.session.get(path, headers=headers) as first:
            etag = first.headers["ETag"]
        await establish(client, definition())
        async with client.session.get(path, headers={**headers, "If-None-Match": etag}) as again:
            assert again.status == 200
            assert again.headers["ETag"] != etag

    with_server(tmp_path, test)


def test_an_old_hash_leads_to_the_new_document(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await establish(client, definition())
        old = "/openapi/v3/apis/example.com/v1?hash=OLD"
        async with client.session.get(old, allow_redirects=False) as moved:
            assert moved.status == 301
        url = (await client.get("/openapi/v3"))["paths"]["apis/example.com/v1"]["serverRelativeURL"]
        assert moved.headers["Location"] == url
        async with client.session.get(old) as found:
            assert (found.status, found.headers["Cache-Control"]) == (200, "public, immutable")
            paths = (await found.json())["paths"]
            assert "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}" in paths
            status, _ = await client.ask("GET", "/openapi/v3/apis/example.com/v2")
            assert status == 404

    with_server(tmp_path, test)
