"""Tokens of ServiceAccounts, client certificates, and everything that is neither."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from fairlead.apiserver.access import accounttokens
from fairlead.apiserver.access.accounttokens import AccountTokens, Bound, Reference, Rejected
from fairlead.apiserver.access.gate import AccessConfig
from fairlead.apiserver.access.webtokens import Key, Malformed, key_set, payload, read_keys, verify
from fairlead.apiserver.certificates import make_authority, make_signing_key
from fairlead.apiserver.kinds import PODS, SERVICEACCOUNTS
from fairlead.store import Change, open_store
from tests.apiserver.serving import SECONDS, Client, pod, with_server

ISSUER = "https://kubernetes.default.svc.cluster.local"
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
SELF_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def new_key(algorithm: str) -> Key:
    private: Any = (
        rsa.generate_private_key(65537, 2048)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return read_keys(pem)[0]


KEYS = {algorithm: new_key(algorithm) for algorithm in ("RS256", "ES256", "ES384")}
KEY = KEYS["ES256"]


# ---- the tokens themselves


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_is_known_by_its_key_alone(algorithm: str) -> None:
    key = KEYS[algorithm]
    assert key.algorithm == algorithm
    token = key.sign({"sub": "me"})
    assert json.loads(payload(token)) == {"sub": "me"}
    verify(token, list(KEYS.values()))
    with pytest.raises(Malformed, match="nobody known has signed"):
        verify(token, [other for other in KEYS.values() if other is not key])
    public = key.public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    verify(token, read_keys(public))
    [described] = key_set([key])["keys"]
    assert (described["alg"], described["kid"], described["use"]) == (algorithm, key.id, "sig")


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def broken(token: str) -> dict[str, str]:
    """Texts that nobody has signed, made of a token."""
    head, claims, signature = token.split(".")
    return {
        "empty": "",
        "one part": head,
        "two parts": f"{head}.{claims}",
        "four parts": f"{token}.x",
        "no signature": f"{head}.{claims}.",
        "a short signature": f"{head}.{claims}.{signature[:-8]}",
        "another signature": f"{head}.{claims}.{signature[::-1]}",
        "other claims": f"{head}.{part({'iss': ISSUER, 'sub': 'root'})}.{signature}",
        "no algorithm": f"{part({'alg': 'none'})}.{claims}.",
        "a shared secret": f"{part({'alg': 'HS256'})}.{claims}.{signature}",
        "another algorithm": f"{part({'alg': 'RS256'})}.{claims}.{signature}",
        "a list for a header": f"{part([])}.{claims}.{signature}",
        "a number for the claims": f"{head}.{part(7)}.{signature}",
        "claims of other types": f"{head}.{part({'iss': ISSUER, 'exp': 'never'})}.{signature}",
        "no base64": f"{head}.!!!.{signature}",
        "letters of other scripts": f"{head}.{claims}é.{signature}",
        "a very long one": token + "x" * 20_000,
        "claims nested deeply": f"{head}.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.{signature}",
    }


@pytest.mark.parametrize("name", broken(KEY.sign({})))
def test_nobody_has_signed(name: str) -> None:
    token = broken(KEY.sign({"iss": ISSUER, "sub": "me"}))[name]
    with pytest.raises(Malformed):
        verify(token, list(KEYS.values()))


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")), st.integers(0, 2))
def test_whatever_a_part_of_a_token_is_nobody_has_signed_it(text: str, place: int) -> None:
    parts = KEY.sign({"iss": ISSUER}).split(".")
    if text == parts[place]:
        return
    parts[place] = text
    with pytest.raises(Malformed):
        verify(".".join(parts), [KEY])


# ---- what they say, and whether it holds

LIFE: dict[str, tuple[float, str]] = {
    "when it begins": (0, ""),
    "at its end": (600, ""),
    "within the leeway": (659, ""),
    "after its end": (661, "service account token has expired"),
    "before it begins": (-61, "service account token is not valid yet"),
}


def stored_account(uid: str, **metadata: Any) -> bytes:
    meta = {"name": "robot", "namespace": "shop", "uid": uid, **metadata}
    return json.dumps({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": meta}).encode()


def with_tokens(directory: Path, test: Callable[[AccountTokens, Any, list[float]], Any]) -> None:
    """Runs a test with tokens over a store, and a clock that it sets."""

    async def main() -> None:
        clock = [1_700_000_000.0]
        async with await open_store(f"sqlite:{directory / 'store.db'}") as store:
            tokens = AccountTokens(store, [KEY], ISSUER, clock=lambda: clock[0])
            await store.commit([], [Change(SERVICEACCOUNTS.key("shop", "robot"), stored_account("1"))])
            await test(tokens, store, clock)

    asyncio.run(main())


BOUND = Bound("shop", Reference("robot", "1"))


def test_a_token_lives_for_its_time(tmp_path: Path) -> None:
    async def test(tokens: AccountTokens, store: Any, clock: list[float]) -> None:
        start = clock[0]
        token, expires = tokens.sign(BOUND, 600, ())
        assert expires == start + 600
        for name, (after, why) in LIFE.items():
            clock[0] = start + after
            if why:
                with pytest.raises(Rejected, match=why):
                    await tokens.user(token)
            else:
                found = await tokens.user(token)
                assert found is not None, name
                user, audiences = found
                assert (user.name, user.uid, audiences) == (
                    "system:serviceaccount:shop:robot",
                    "1",
                    (ISSUER,),
                )
                assert user.groups == (
                    "system:serviceaccounts",
                    "system:serviceaccounts:shop",
                    "system:authenticated",
                )

    with_tokens(tmp_path, test)


def test_a_token_ends_with_what_it_speaks_of(tmp_path: Path) -> None:
    async def test(tokens: AccountTokens, store: Any, clock: list[float]) -> None:
        token, _ = tokens.sign(BOUND, 600, ())
        key = SERVICEACCOUNTS.key("shop", "robot")
        changes: tuple[tuple[bytes | None, str], ...] = (
            (stored_account("1", deletionTimestamp="2023-11-14T22:13:20Z"), ""),
            (None, 'serviceaccounts "robot" not found'),
            (stored_account("2"), r"service account UID \(2\) does not match claim \(1\)"),
            (stored_account("1"), ""),
            (
                stored_account("1", deletionTimestamp="2023-11-14T22:00:00Z"),
                "service account shop/robot has been deleted",
            ),
        )
        for value, why in changes:
            await store.commit([], [Change(key, value)])
            clock[0] += 1.5
            if why:
                with pytest.raises(Rejected, match=why):
                    await tokens.user(token)
            else:
                assert await tokens.user(token) is not None
        await store.commit([], [Change(key, stored_account("1"))])
        clock[0] += 1.5
        token, _ = tokens.sign(Bound("shop", Reference("robot", "1"), pod=Reference("web", "9")), 600, ())
        with pytest.raises(Rejected, match="service account token has been invalidated"):
            await tokens.user(token)
        for uid, why in (("9", ""), ("8", r"pod UID \(8\) does not match")):
            value = stored_account(uid).replace(b"robot", b"web").replace(b"ServiceAccount", b"Pod")
            await store.commit([], [Change(PODS.key("shop", "web"), value)])
            clock[0] += 1.5
            if why:
                with pytest.raises(Rejected, match=why):
                    await tokens.user(token)
            else:
                found = await tokens.user(token)
                assert found is not None
                assert ("authentication.kubernetes.io/pod-name", ("web",)) in found[0].extra

    with_tokens(tmp_path, test)


def test_a_token_is_for_its_audiences(tmp_path: Path) -> None:
    async def test(tokens: AccountTokens, store: Any, clock: list[float]) -> None:
        token, _ = tokens.sign(BOUND, 600, ("vault", "db"))
        found = await tokens.user(token, ("db", "other"))
        assert found is not None
        assert found[1] == ("db",)
        said = r'token audiences \["vault" "db"\] is invalid for the target audiences'
        with pytest.raises(Rejected, match=said):
            await tokens.user(token)
        other = AccountTokens(store, [KEY], "https://elsewhere").sign(BOUND, 600, ())[0]
        assert await tokens.user(other) is None
        forged = AccountTokens(store, [KEYS["ES384"]], ISSUER, clock=lambda: clock[0]).sign(BOUND, 600, ())[0]
        with pytest.raises(Rejected, match="nobody known has signed"):
            await tokens.user(forged)

    with_tokens(tmp_path, test)


# ---- against the server


def request_for(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def new_token(client: Client, **spec: Any) -> str:
    answer = await client.create(f"{ACCOUNT}/token", request_for(**spec))
    token: str = answer["status"]["token"]
    return token


async def whoami(client: Client, token: str) -> tuple[int, Any]:
    status, answer = await client.ask("POST", SELF, SELF_REVIEW, headers={"Authorization": f"Bearer {token}"})
    return status, answer["status"]["userInfo"] if status == 201 else answer


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a token's objects still exist is asked again after a moment, not a second."""
    monkeypatch.setattr(accounttokens, "CHECK_SECONDS", 0.05)


async def ends(client: Client, token: str) -> None:
    """Waits until the token is no good any more: it is remembered for `CHECK_SECONDS`."""
    async with asyncio.timeout(SECONDS):
        while True:
            if (await whoami(client, token))[0] == 401:
                return
            await asyncio.sleep(0.05)


async def review(client: Client, token: str, *audiences: str) -> Any:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    answer = await client.create(REVIEWS, body | {"spec": {"token": token, "audiences": list(audiences)}})
    return answer["status"]


@pytest.mark.usefixtures("short_memory")
def test_an_account_gets_a_token_that_works_until_it_is_deleted(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        account = await client.get(ACCOUNT)
        answer = await client.create(f"{ACCOUNT}/token", request_for())
        assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}
        assert (answer["metadata"]["name"], answer["metadata"]["namespace"]) == ("default", "default")
        token = answer["status"]["token"]
        claims = json.loads(payload(token))
        assert claims["sub"] == "system:serviceaccount:default:default"
        reference = {"name": "default", "uid": account["metadata"]["uid"]}
        assert claims["kubernetes.io"] == {"namespace": "default", "serviceaccount": reference}
        status, info = await whoami(client, token)
        assert (status, info["username"]) == (201, "system:serviceaccount:default:default")
        assert info["extra"] == {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        status, _ = await client.ask("GET", "/api/v1/pods", headers={"Authorization": f"Bearer {token}"})
        assert status == 403
        found = await review(client, token)
        assert (found["authenticated"], found["audiences"]) == (True, [ISSUER])
        assert found["user"]["username"] == "system:serviceaccount:default:default"
        await client.ask("DELETE", ACCOUNT)  # another of this name comes at once, with another uid
        await client.until(
            ACCOUNT, lambda code, other: code == 200 and other["metadata"]["uid"] != reference["uid"]
        )
        await ends(client, token)
        found = await review(client, token)
        assert "authenticated" not in found
        assert found["error"].startswith("[invalid bearer token, service account UID")

    with_server(tmp_path, test)


@pytest.mark.usefixtures("short_memory")
def test_a_token_bound_to_a_pod_ends_with_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create("/api/v1/namespaces/default/pods", pod("web"))
        to = {"kind": "Pod", "apiVersion": "v1", "name": "web"}
        token = await new_token(client, boundObjectRef=to, expirationSeconds=600)
        assert json.loads(payload(token))["kubernetes.io"]["pod"] == {
            "name": "web",
            "uid": made["metadata"]["uid"],
        }
        _, info = await whoami(client, token)
        assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
        path = "/api/v1/namespaces/default/pods/web?gracePeriodSeconds=0"
        await client.ask("DELETE", path)
        await ends(client, token)

    with_server(tmp_path, test)


WRONG_REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "too short a life": (
        request_for(expirationSeconds=599),
        422,
        "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
    ),
    "too long a life": (
        request_for(expirationSeconds=(1 << 32) + 1),
        422,
        "may not specify a duration larger than 2^32 seconds",
    ),
    "another name": (
        request_for() | {"metadata": {"name": "other"}},
        422,
        'metadata.name: Invalid value: "other": must match the service account name if specified',
    ),
    "another uid": (
        request_for() | {"metadata": {"uid": "1"}},
        409,
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "default": the UID in the token request '
        "(1) does not match the UID of the service account (",
    ),
    "a pod that is not there": (
        request_for(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "x"}),
        404,
        'pods "x" not found',
    ),
    "a pod with another account": (
        request_for(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "other"}),
        400,
        'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.',
    ),
    "a pod with another uid": (
        request_for(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "mine", "uid": "1"}),
        409,
        "the UID in the bound object reference (1) does not match the UID in record",
    ),
    "something else": (
        request_for(boundObjectRef={"kind": "Service", "apiVersion": "v1", "name": "x"}),
        400,
        "cannot bind token to object of type /v1, Kind=Service",
    ),
}


def test_requests_for_tokens_that_are_refused(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        robot = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        await client.create("/api/v1/namespaces/default/serviceaccounts", robot)
        other = pod("other")
        other["spec"]["serviceAccountName"] = "robot"
        for one in (pod("mine"), other):
            await client.create("/api/v1/namespaces/default/pods", one)
        for name, (body, expected, said) in WRONG_REQUESTS.items():
            status, answer = await client.ask("POST", f"{ACCOUNT}/token", body)
            assert status == expected, (name, answer)
            assert said in answer["message"], (name, answer)
        status, answer = await client.ask("POST", f"{ACCOUNT}x/token", request_for())
        assert status == 404
        assert (await client.ask("GET", f"{ACCOUNT}/token"))[0] == 405

    with_server(tmp_path, test)


SECRETS = "/api/v1/namespaces/default/secrets"
TOKEN_TYPE = "kubernetes.io/service-account-token"


def token_secret(name: str, account: str, **annotations: str) -> dict[str, Any]:
    notes = {"kubernetes.io/service-account.name": account, **annotations}
    metadata = {"name": name, "annotations": notes}
    return {"apiVersion": "v1", "kind": "Secret", "type": TOKEN_TYPE, "metadata": metadata}


@pytest.mark.usefixtures("short_memory")
def test_a_secret_is_given_a_token_that_is_good_as_long_as_it_holds_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        account = await client.create(
            "/api/v1/namespaces/default/serviceaccounts",
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}},
        )
        await client.create(SECRETS, token_secret("key", "robot"))
        path = f"{SECRETS}/key"
        secret = await client.until(path, lambda _, found: "token" in found.get("data", {}))
        data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
        assert data["namespace"] == b"default"
        assert data["ca.crt"] == (tmp_path / "ca.crt").read_bytes()
        uid = account["metadata"]["uid"]
        assert secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid
        token = data["token"].decode()
        assert json.loads(payload(token)) == {
            "iss": "kubernetes/serviceaccount",
            "kubernetes.io/serviceaccount/namespace": "default",
            "kubernetes.io/serviceaccount/secret.name": "key",
            "kubernetes.io/serviceaccount/service-account.name": "robot",
            "kubernetes.io/serviceaccount/service-account.uid": uid,
            "sub": "system:serviceaccount:default:robot",
        }
        status, info = await whoami(client, token)
        assert (status, info["username"], info["uid"]) == (201, "system:serviceaccount:default:robot", uid)
        assert "extra" not in info
        assert "authenticated" not in await review(client, token, "vault")
        # Another content is no token any more, and one that was taken out is made anew.
        assert (await client.patch(path, {"data": {"token": base64.b64encode(b"x").decode()}}))[0] == 200
        await ends(client, token)
        assert (await client.patch(path, {"data": {"token": None}}))[0] == 200
        again = await client.until(path, lambda _, found: len(found["data"].get("token", "")) > 100)
        fresh = base64.b64decode(again["data"]["token"]).decode()
        assert (await whoami(client, fresh))[0] == 201
        await client.ask("DELETE", path)
        await ends(client, fresh)

    with_server(tmp_path, test)


@pytest.mark.usefixtures("short_memory")
def test_a_secrets_token_goes_with_its_account(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        robot = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        await client.create(accounts, robot)
        for name, account, notes in (
            ("kept", "robot", {}),
            ("nobodys", "nobody", {}),
            ("anothers", "robot", {"kubernetes.io/service-account.uid": "other"}),
        ):
            await client.create(SECRETS, token_secret(name, account, **notes))
        for name in ("nobodys", "anothers"):
            await client.until(f"{SECRETS}/{name}", lambda status, _: status == 404)
        secret = await client.until(f"{SECRETS}/kept", lambda _, found: "token" in found.get("data", {}))
        token = base64.b64decode(secret["data"]["token"]).decode()
        assert (await whoami(client, token))[0] == 201
        await client.ask("DELETE", f"{accounts}/robot")
        await client.until(f"{SECRETS}/kept", lambda status, _: status == 404)
        await ends(client, token)
        status, said = await client.ask("POST", SECRETS, token_secret("wrong", ""))
        assert status == 422
        assert "metadata.annotations[kubernetes.io/service-account.name]: Required value" in said["message"]

    with_server(tmp_path, test)


def test_others_can_verify_tokens(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        document = await client.get("/.well-known/openid-configuration")
        assert (document["issuer"], document["jwks_uri"]) == (ISSUER, f"{ISSUER}/openid/v1/jwks")
        [key] = (await client.get("/openid/v1/jwks"))["keys"]
        assert key["kty"] == "EC"
        token = await new_token(client, audiences=["vault"])
        assert (await whoami(client, token))[0] == 401
        assert (await review(client, token, "vault", "db"))["audiences"] == ["vault"]
        assert "authenticated" not in await review(client, token)
        assert "authenticated" not in await review(client, "secret", "vault")
        headers = {"Authorization": f"Bearer {await new_token(client)}"}
        assert (await client.ask("GET", "/openid/v1/jwks", headers=headers))[0] == 200
        assert (await client.ask("GET", "/openid/v1/jwks", headers={"Authorization": ""}))[0] == 403

    with_server(tmp_path, test)


def test_what_is_no_token_is_401_and_no_error_of_the_server(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        good = await new_token(client)
        for name, token in broken(good).items():
            if not token or len(token) > 8000 or not token.isascii():
                continue
            status, answer = await whoami(client, token)
            assert (status, answer["reason"]) == (401, "Unauthorized"), name
        for name, token in broken(good).items():
            if token:
                found = await review(client, token)
                assert "authenticated" not in found, name
                assert found["error"], name

    with_server(tmp_path, test)


# ---- client certificates


def certificate_for(
    directory: Path, *names: tuple[x509.ObjectIdentifier, str], days: tuple[int, int] = (-1, 1)
) -> Path:
    """A client's certificate of the server's authority with its key, in one file."""
    authority = make_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(authority.certificate.subject)
        .subject_name(x509.Name([x509.NameAttribute(*name) for name in names]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    path = directory / f"client-{certificate.serial_number}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def session_with(client: Client, directory: Path, certificate: Path) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.load_cert_chain(certificate)
    return aiohttp.ClientSession(client.session._base_url, connector=aiohttp.TCPConnector(ssl=context))


CN, ORGANIZATION = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME


def test_a_certificate_says_who_it_is(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = certificate_for(
            tmp_path, (ORGANIZATION, "team"), (ORGANIZATION, "system:masters"), (CN, "alice")
        )
        async with session_with(client, tmp_path, path) as session:
            by_certificate = Client(session, client.server)
            info = (await by_certificate.create(SELF, SELF_REVIEW))["status"]["userInfo"]
            assert info["username"] == "alice"
            assert info["groups"] == ["team", "system:masters", "system:authenticated"]
            [credential] = info["extra"]["authentication.kubernetes.io/credential-id"]
            assert credential.startswith("X509SHA256=")
            assert (await by_certificate.get("/api/v1/pods"))["items"] == []
        async with session_with(
            client, tmp_path, certificate_for(tmp_path, (ORGANIZATION, "team"))
        ) as session:
            status, answer = await Client(session, client.server).ask("GET", "/api/v1/pods")
            assert status == 403
            assert 'User "system:anonymous"' in answer["message"]

    with_server(tmp_path, test)


def test_an_expired_certificate_is_401(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for days in ((-3, -2), (2, 3)):
            path = certificate_for(tmp_path, (CN, "alice"), days=days)
            async with session_with(client, tmp_path, path) as session:
                late = Client(session, client.server)
                status, answer = await late.ask("GET", "/api/v1/pods")
                assert (status, answer["reason"]) == (401, "Unauthorized")
                # a token beside it that is good is enough
                headers = {"Authorization": "Bearer secret"}
                assert (await late.ask("GET", "/api/v1/pods", headers=headers))[0] == 200

    with_server(tmp_path, test)


def test_a_certificate_of_a_stranger_is_refused_by_tls(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        (tmp_path / "other").mkdir()
        path = certificate_for(tmp_path / "other", (CN, "alice"), (ORGANIZATION, "system:masters"))
        async with session_with(client, tmp_path, path) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get("/api/v1/pods")
        assert (await client.get("/version"))["major"] == "1"

    with_server(tmp_path, test)


def test_tokens_outlive_the_key_that_signed_them(tmp_path: Path) -> None:
    """A key that is replaced goes on to verify, by its public half, for as long as it is named."""
    old, new, public = tmp_path / "old.key", tmp_path / "new.key", tmp_path / "old.pub"
    make_signing_key(old)
    make_signing_key(new)
    private = serialization.load_pem_private_key(old.read_bytes(), None)
    public.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    tokens: list[str] = []

    def signed_by(signing: Path, *others: Path) -> AccessConfig:
        return AccessConfig(service_account_signing_key_file=signing, service_account_key_file=others)

    async def signs(client: Client) -> None:
        tokens.append(await new_token(client))
        assert (await whoami(client, tokens[0]))[0] == 201

    async def knows(client: Client) -> None:
        assert (await whoami(client, tokens[0]))[0] == 201
        assert (await whoami(client, await new_token(client)))[0] == 201
        found = await client.get("/openid/v1/jwks")
        assert [key["kid"] for key in found["keys"]] == [
            read_keys(one.read_bytes())[0].id for one in (new, old)
        ]

    async def knows_no_more(client: Client) -> None:
        assert (await whoami(client, tokens[0]))[0] == 401

    with_server(tmp_path, signs, access=signed_by(old))
    with_server(tmp_path, knows, access=signed_by(new, public, old))
    with_server(tmp_path, knows_no_more, access=signed_by(new))


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    signing, other = tmp_path / "sa.key", tmp_path / "other.pub"
    make_signing_key(signing)
    other.write_bytes(content)
    access = AccessConfig(service_account_signing_key_file=signing, service_account_key_file=(other,))

    async def test(_: Client) -> None:
        raise AssertionError("the server is there")

    with pytest.raises(ValueError, match=str(other)):
        with_server(tmp_path, test, access=access)
