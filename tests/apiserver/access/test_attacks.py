"""What somebody tries who means harm: each way in, and that it is shut."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from yarl import URL

from fairlead.apiserver.access.accounttokens import Bound, Claims, Reference
from fairlead.apiserver.access.authorization import attributes
from fairlead.apiserver.access.webtokens import read_keys, written
from fairlead.apiserver.requests import Query, request_info
from tests.apiserver.access.test_requests import (
    GROUP,
    MAPS,
    RBAC,
    binding_of,
    by,
    grant,
    may,
    role_of,
    users,
)
from tests.apiserver.serving import SECONDS, TOKEN, Client, config_map, pod, with_server

ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
SECRETS = "/api/v1/namespaces/default/secrets"


def secret(name: str = "key") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"k": "dg=="}}


def assembled(header: dict[str, Any], claims: str, signature: bytes) -> str:
    return f"{written(json.dumps(header).encode())}.{claims}.{written(signature)}"


def confused(token: str, key_file: Path) -> dict[str, str]:
    """Tokens with the claims of a good one, none of which its key has signed."""
    head, claims, signature = token.split(".")
    [key] = read_keys(key_file.read_bytes())
    pem = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = key.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    hs256 = {"alg": "HS256", "kid": key.id, "typ": "JWT"}

    def mac(secret: bytes) -> bytes:
        signed = f"{written(json.dumps(hs256).encode())}.{claims}".encode()
        return hmac.new(secret, signed, hashlib.sha256).digest()

    real = base64.urlsafe_b64decode(signature + "==")
    elevated = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    elevated["sub"] = "system:serviceaccount:kube-system:admin"
    return {
        "no algorithm": assembled({"alg": "none"}, claims, b""),
        "no algorithm, in capitals": assembled({"alg": "NONE", "kid": key.id}, claims, b""),
        "no algorithm, with the signature": assembled({"alg": "none", "kid": key.id}, claims, real),
        "the public key as a password, PEM": assembled(hs256, claims, mac(pem)),
        "the public key as a password, DER": assembled(hs256, claims, mac(der)),
        "a path as the key's name": assembled({"alg": "ES256", "kid": "../../../../dev/null"}, claims, real),
        "a key of its own": assembled({"alg": "ES256", "jwk": key.described()}, claims, real),
        "a key from elsewhere": assembled({"alg": "ES256", "jku": "http://127.0.0.1:1/"}, claims, real),
        "the name of another algorithm": assembled({"alg": "ES384", "kid": key.id}, claims, real),
        "a signature of zeros": assembled({"alg": "ES256", "kid": key.id}, claims, bytes(64)),
        "other claims": f"{head}.{written(json.dumps(elevated).encode())}.{signature}",
        "a fourth part": f"{token}.x",
        "no signature": f"{head}.{claims}.",
        "JSON": json.dumps({"payload": claims, "protected": head, "signature": signature}),
        "spaces in it": f"{head}. {claims}.{signature}",
        "padding": f"{head}.{claims}.{signature}=",
    }


def test_tokens_that_only_look_like_ours(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await client.create(f"{ACCOUNT}/token", kind))["status"]["token"]
        assert (await client.ask("GET", "/version", **by(token)))[0] == 200
        for name, wrong in confused(token, tmp_path / "sa.key").items():
            if name in ("spaces in it", "JSON"):  # are parts of a header that is cut at a space
                continue
            assert (await client.ask("GET", "/version", **by(wrong)))[0] == 401, name
        for name, wrong in confused(token, tmp_path / "sa.key").items():
            review = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": wrong},
            }
            status = (await client.create("/apis/authentication.k8s.io/v1/tokenreviews", review))["status"]
            assert "authenticated" not in status, name

    with_server(tmp_path, test)


def test_a_token_of_other_times_is_refused(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        uid = (await client.get(ACCOUNT))["metadata"]["uid"]
        [key] = read_keys((tmp_path / "sa.key").read_bytes())
        bound = Bound("default", Reference("default", uid))
        issuer = "https://kubernetes.default.svc.cluster.local"
        for name, times, status in (
            ("good", {"exp": 1e11}, 200),
            ("no end", {}, 401),
            ("ended", {"exp": 1e9}, 401),
            ("an end that is no number", {"exp": "never"}, 401),
            ("not begun", {"exp": 1e11, "nbf": 9e10}, 401),
            ("for nobody", {"exp": 1e11, "aud": []}, 401),
            ("for others", {"exp": 1e11, "aud": ["vault"]}, 401),
            ("for others and us", {"exp": 1e11, "aud": ["vault", issuer]}, 200),
        ):
            claims = {"iss": issuer, "aud": [issuer], "kubernetes.io": {"namespace": "default"}} | times
            claims["kubernetes.io"] = {
                "namespace": bound.namespace,
                "serviceaccount": {"name": "default", "uid": uid},
            }
            assert (await client.ask("GET", "/version", **by(key.sign(claims))))[0] == status, name
        assert Claims().exp == 0

    with_server(tmp_path, test)


AUTHORIZATIONS: dict[str, tuple[list[str], int]] = {
    "the first counts": ([f"Bearer {TOKEN}", "Bearer wrong"], 200),
    "not any": (["Bearer wrong", f"Bearer {TOKEN}"], 401),
    "a scheme in any letters": ([f"bEaReR {TOKEN}"], 200),
    "nothing but a scheme": (["Bearer"], 403),
    "an empty token": (["Bearer "], 403),
    "two spaces": ([f"Bearer  {TOKEN}"], 403),
    "more behind it": ([f"Bearer {TOKEN} more"], 200),
    "a password": ([f"Basic {base64.b64encode(b'admin:secret').decode()}"], 403),
    "a tab": ([f"Bearer\t{TOKEN}"], 403),
    "large": ([f"Bearer {'x' * 7000}"], 401),
    "not ASCII": (["Bearer \udcff\udcfe"], 401),
}


@pytest.mark.parametrize("name", AUTHORIZATIONS)
def test_authorization_headers_that_are_odd(tmp_path: Path, name: str) -> None:
    """As upstream's bearertoken reads them; who has no token is anonymous, and sees no /api."""
    values, expected = AUTHORIZATIONS[name]

    async def test(client: Client) -> None:
        lines = [
            "GET /api HTTP/1.1",
            "Host: x",
            "Connection: close",
            *(f"Authorization: {v}" for v in values),
        ]
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        assert await status_of(client, context, lines) == expected

    with_server(tmp_path, test)


async def status_of(client: Client, context: ssl.SSLContext, lines: list[str]) -> int:
    """The status of a request that is sent as it is written."""
    url = client.session._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
    async with asyncio.timeout(SECONDS):
        line = await reader.readline()
    writer.close()
    if not line:
        raise ConnectionError("the connection was closed")
    return int(line.split()[1])


PATHS: dict[str, tuple[str, int]] = {
    "an empty part": ("/api/v1//namespaces/default/secrets/key", 404),
    "two slashes before it": ("//api/v1/namespaces/default/secrets/key", 403),
    "back and forth": ("/api/v1/namespaces/default/configmaps/../secrets/key", 403),
    "back from a kind": ("/api/v1/configmaps/../../v1/namespaces/default/secrets/key", 403),
    "encoded dots": ("/api/v1/namespaces/default/configmaps/%2e%2e/secrets/key", 403),
    "an encoded slash": ("/api/v1/namespaces/default%2Fsecrets%2Fkey", 403),
    "an encoded slash in a name": (
        "/api/v1/namespaces/default/configmaps/settings%2F..%2F..%2Fsecrets%2Fkey",
        403,
    ),
    "a name of two parts, without a namespace": ("/api/v1/secrets/default%2Fkey", 403),
    "encoded letters": ("/api/v1/namespaces/default/%73ecrets/key", 403),
    "twice encoded": ("/api/v1/namespaces/default/%2573ecrets/key", 403),
    "capitals": ("/api/v1/namespaces/default/Secrets/key", 403),
    "another group": ("/apis//v1/namespaces/default/secrets/key", 404),
    "the group of core": ("/apis/core/v1/namespaces/default/secrets/key", 403),
    "the old watch": ("/api/v1/watch/namespaces/default/secrets/key", 403),
    "a path below one that he may": ("/healthz/../metrics", 403),
    "metrics, encoded": ("/%6detrics", 403),
    "health, encoded": ("/%68ealthz", 200),
    "a slash at the end": ("/api/v1/namespaces/default/secrets/key/", 403),
    "his own, encoded": ("/api/v1/namespaces/default/%63onfigmaps/settings", 200),
    "his own with a query": ("/api/v1/namespaces/default/configmaps/settings?x=/api/v1/secrets", 200),
}


def test_paths_that_try_to_be_another_for_the_check_than_for_the_answer(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(SECRETS, secret())
        await client.create(MAPS, config_map())
        await grant(client, "alice", may("get list watch", "configmaps"))
        for name, (path, expected) in PATHS.items():
            url = URL(str(client.session._base_url).rstrip("/") + path, encoded=True)
            async with client.session.get(url, **by("alice")) as response:
                text = await response.text()
            assert (response.status, "dg==" in text) == (expected, False), (name, text)

    with_server(tmp_path, test, **users(tmp_path))


def test_a_selector_that_names_an_object_opens_no_other(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name in ("mine", "other"):
            await client.create(MAPS, config_map(name))
        await grant(client, "alice", may("get list watch", "configmaps", resourceNames=["mine"]))
        for fields, allowed, seen in (
            ("metadata.name=mine", True, ["mine"]),
            ("metadata.name==mine", True, ["mine"]),
            ("metadata.name=mine,metadata.namespace=default", True, ["mine"]),
            ("metadata.name=mine,metadata.name=other", True, []),
            ("metadata.name=other,metadata.name=mine", True, []),
            ("metadata.name!=other", False, []),
            ("metadata.name=other", False, []),
            ("metadata.name=mine,metadata.name!=mine", True, []),
            ("metadata.name=mine\\,other", False, []),
            ("metadata.namespace=default", False, []),
            ("", False, []),
            ("metadata.name=", False, []),
        ):
            options = by("alice") | {"params": {"fieldSelector": fields}}
            status, answer = await client.ask("GET", MAPS, **options)
            assert (status == 200) is allowed, (fields, answer)
            if allowed:
                assert [one["metadata"]["name"] for one in answer["items"]] == seen, fields
        # The first of several counts, for the check and for the answer.
        twice = f"{MAPS}?fieldSelector=metadata.name%3Dmine&fieldSelector=metadata.name%3Dother"
        _, answer = await client.ask("GET", twice, **by("alice"))
        assert [one["metadata"]["name"] for one in answer["items"]] == ["mine"]
        assert (await client.ask("DELETE", f"{MAPS}?fieldSelector=metadata.name%3Dmine", **by("alice")))[
            0
        ] == 403
        # What a list continues with is checked anew.
        page = await client.get(f"{MAPS}?limit=1")
        token = page["metadata"]["continue"]
        assert (await client.ask("GET", f"{MAPS}?limit=1&continue={token}", **by("alice")))[0] == 403
        # And a watch with a narrow selector is no way into a wide one.
        narrow = f"{MAPS}?watch=1&resourceVersion=1&fieldSelector=metadata.name%3Dmine"
        assert (await client.ask("GET", f"{MAPS}?watch=1&resourceVersion=1", **by("alice")))[0] == 403
        async with client.session.get(narrow, **by("alice")) as response:
            assert response.status == 200

    with_server(tmp_path, test, **users(tmp_path))


def test_every_way_to_write_a_role_is_judged(tmp_path: Path) -> None:
    """Escalation by each kind of write: none lets alice have more than she has."""
    more = [may("*", "*", "*")]

    async def test(client: Client) -> None:
        verbs = "create update patch get list delete deletecollection"
        kinds = "clusterroles clusterrolebindings roles rolebindings"
        await grant(client, "alice", may(verbs, kinds, GROUP), may("get", "configmaps"))
        await client.create(f"{RBAC}/clusterroles", role_of("less", may("get", "configmaps")))
        await client.create(f"{RBAC}/clusterrolebindings", binding_of("less", "less", "bob"))
        role, binding = f"{RBAC}/clusterroles/less", f"{RBAC}/clusterrolebindings/less"
        aggregating: dict[str, Any] = {
            "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": []}]}
        }
        admin = {"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}}
        applied = {**role_of("less", *more)}
        writes: dict[str, tuple[str, str, Any, str]] = {
            "put": ("PUT", role, role_of("less", *more), "json"),
            "put of a new one": ("PUT", f"{RBAC}/clusterroles/new", role_of("new", *more), "json"),
            "merge patch": ("PATCH", role, {"rules": more}, "merge-patch+json"),
            "strategic patch": ("PATCH", role, {"rules": more}, "strategic-merge-patch+json"),
            "JSON patch": (
                "PATCH",
                role,
                [{"op": "add", "path": "/rules/0/verbs/-", "value": "*"}],
                "json-patch+json",
            ),
            "apply": ("PATCH", f"{role}?fieldManager=x&force=1", applied, "apply-patch+yaml"),
            "apply of a new one": (
                "PATCH",
                f"{RBAC}/clusterroles/new?fieldManager=x",
                role_of("new", *more),
                "apply-patch+yaml",
            ),
            "dry run": ("PATCH", f"{role}?dryRun=All", {"rules": more}, "merge-patch+json"),
            "an aggregationRule for all": ("PATCH", role, aggregating, "merge-patch+json"),
            "a binding, put": ("PUT", binding, binding_of("less", "cluster-admin", "alice"), "json"),
            "a binding, patched": ("PATCH", binding, admin, "merge-patch+json"),
            "a binding, applied": (
                "PATCH",
                f"{RBAC}/clusterrolebindings/new?fieldManager=x",
                binding_of("new", "cluster-admin", "alice"),
                "apply-patch+yaml",
            ),
            "a RoleBinding of a ClusterRole": (
                "POST",
                f"{RBAC}/namespaces/default/rolebindings",
                binding_of("new", "admin", "alice", "RoleBinding"),
                "json",
            ),
            "another subject of a binding with more": (
                "PATCH",
                f"{RBAC}/clusterrolebindings/cluster-admin",
                [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "alice"}}],
                "json-patch+json",
            ),
            "a role that others gather": (
                "PATCH",
                f"{RBAC}/clusterroles/system:aggregate-to-view",
                {"rules": more},
                "merge-patch+json",
            ),
        }
        for name, (method, path, body, kind) in writes.items():
            headers = by("alice", **{"Content-Type": f"application/{kind}"})
            status, said = await client.ask(method, path, json.dumps(body).encode(), **headers)
            assert status in (403, 422), (name, status, said)
            if status == 422:
                assert "roleRef" in said["message"], (
                    name,
                    said,
                )  # nobody may change whom a binding binds to what
            assert (await client.ask("GET", SECRETS, **by("alice")))[0] == 403, name
        # What she may do is to take away.
        assert (
            await client.ask(
                "DELETE", f"{RBAC}/clusterroles?fieldSelector=metadata.name%3Dless", **by("alice")
            )
        )[0] == 200
        # Labels make a role part of others: only with rules that she has.
        label = {"labels": {f"{GROUP}/aggregate-to-view": "true"}}
        part = role_of("part", *more, metadata=label)
        assert (await client.ask("POST", f"{RBAC}/clusterroles", part, **by("alice")))[0] == 403

    with_server(tmp_path, test, **users(tmp_path))


def test_headers_of_impersonation_are_nothing_without_the_right(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await grant(client, "alice", may("get list", "configmaps"))
        for name, headers, expected in (
            ("a user", {"Impersonate-User": "admin"}, 403),
            ("in other letters", {"IMPERSONATE-USER": "admin"}, 403),
            ("himself", {"Impersonate-User": "alice"}, 403),
            ("a group alone", {"Impersonate-Group": "system:masters"}, 400),
            ("a uid alone", {"Impersonate-Uid": "1"}, 400),
            (
                "an empty name with groups",
                {"Impersonate-User": "", "Impersonate-Group": "system:masters"},
                400,
            ),
            ("an empty name", {"Impersonate-User": ""}, 200),
            ("a header that only begins so", {"Impersonate-Users": "admin"}, 200),
            ("nobody", {"Impersonate-User": "system:anonymous", "Impersonate-Group": "system:masters"}, 403),
            ("the front proxy", {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, 200),
        ):
            status, said = await client.ask("GET", MAPS, **by("alice", **headers))
            assert status == expected, (name, said)
            assert (await client.ask("GET", SECRETS, **by("alice", **headers)))[0] in (400, 403), name

    with_server(tmp_path, test, **users(tmp_path))


def test_a_serving_certificate_makes_nobody_known(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        context.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
        with pytest.raises(OSError, match=r"certificate|reset|closed"):
            await status_of(client, context, ["GET /version HTTP/1.1", "Host: x"])

    with_server(tmp_path, test)


def test_a_connection_that_several_share_lends_nobody_a_right(tmp_path: Path) -> None:
    """Who asks is asked of each request, also where one is sent before the one before it is answered."""

    async def test(client: Client) -> None:
        await grant(client, "alice", may("create update", "clusterroles", GROUP))
        url = client.session._base_url
        assert url is not None
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
        asked: list[tuple[str, int]] = []
        sent = b""
        for number in range(6):
            for user, status in ((TOKEN, 201), ("alice", 403), ("", 403), ("wrong", 401)):
                body = json.dumps(role_of(f"r{number}-{user}", may("*", "*", "*"))).encode()
                head = f"POST {RBAC}/clusterroles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                head += f"Authorization: Bearer {user}\r\n" if user else ""
                sent += f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
                asked.append((user, status))
        writer.write(sent)
        async with asyncio.timeout(SECONDS):
            for user, status in asked:
                head_line = await reader.readline()
                assert int(head_line.split()[1]) == status, user
                length = 0
                while (line := await reader.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                await reader.readexactly(length)
        writer.close()

        async def one(user: str, number: int) -> int:
            role = role_of(f"at-once-{user}-{number}", may("*", "*", "*"))
            return (await client.ask("POST", f"{RBAC}/clusterroles", role, **by(user)))[0]

        users_of = [TOKEN, "alice"] * 20
        got = await asyncio.gather(*(one(user, number) for number, user in enumerate(users_of)))
        assert got == [201, 403] * 20

    with_server(tmp_path, test, **users(tmp_path))


def test_a_watch_goes_on_after_its_right_is_gone(tmp_path: Path) -> None:
    """As upstream's: who may watch is asked when a watch begins, and again when it is resumed."""

    async def test(client: Client) -> None:
        await grant(client, "alice", may("list watch", "configmaps"))
        async with client.session.get(f"{MAPS}?watch=1", **by("alice")) as response:
            assert response.status == 200
            await client.ask("DELETE", f"{RBAC}/clusterrolebindings/to-alice")
            while (await client.ask("GET", MAPS, **by("alice")))[0] != 403:
                pass
            await client.create(MAPS, config_map())
            async with asyncio.timeout(SECONDS):
                while b'"settings"' not in await response.content.readline():
                    pass
        assert (await client.ask("GET", f"{MAPS}?watch=1", **by("alice")))[0] == 403

    with_server(tmp_path, test, **users(tmp_path))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/a%2Fb/pods",
        "/api/v1/namespaces/a/pods/b%2Fstatus",
        "/api/v1/pods/a%2Fb",
        "/apis/apps%2Fv1/namespaces/a/deployments/b",
    ],
)
def test_no_part_of_what_is_checked_has_a_slash(path: str) -> None:
    wanted = attributes(request_info("GET", path), Query("fieldSelector=metadata.name%3Da%2Fb"))
    assert not any("/" in part for part in (wanted.group, wanted.resource, wanted.namespace, wanted.name))


def test_a_huge_token_is_refused_before_it_is_looked_at(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        token = f"{'a' * 500_000}.{'b' * 500_000}.c"
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        answer = await client.create("/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert answer["status"]["error"] == "invalid bearer token"
        await client.create("/api/v1/namespaces/default/pods", pod())

    with_server(tmp_path, test)
