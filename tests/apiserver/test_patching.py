"""PATCH at the server: forms, options, fieldValidation, and any bytes at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.apiserver.serving import Client, config_map, pod, service, with_server

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"

JSON, MERGE, STRATEGIC = (f"application/{form}-patch+json" for form in ("json", "merge", "strategic-merge"))
APPLY = "application/apply-patch+yaml"


async def patch(client: Client, path: str, body: Any, form: str) -> tuple[int, Any]:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.ask("PATCH", path, body, headers={"Content-Type": form})


@pytest.mark.parametrize("form", ["", "application/json", "text/plain", "application/apply-patch+cbor"])
def test_forms_that_are_none(tmp_path: Path, form: str) -> None:
    async def test(client: Client) -> None:
        await client.create(CONFIG_MAPS, config_map())
        code, said = await patch(client, f"{CONFIG_MAPS}/settings", {}, form)
        assert (code, said["reason"]) == (415, "UnsupportedMediaType")
        assert said["message"].endswith(
            "accepted media types include: application/json-patch+json, application/merge-patch+json, "
            "application/strategic-merge-patch+json, application/apply-patch+yaml"
        )

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("form", "query", "body", "code", "said"),
    [
        (MERGE, "force=true", {}, 422, "force: Forbidden: may not be specified for non-apply patch"),
        (
            MERGE,
            "fieldManager=" + "x" * 129,
            {},
            422,
            "fieldManager: Too long: may not be more than 128 bytes",
        ),
        (MERGE, "dryRun=some", {}, 422, 'dryRun: Unsupported value: "some": supported values: "All"'),
        (
            MERGE,
            "fieldValidation=Loose",
            {},
            422,
            'fieldValidation: Unsupported value: "Loose": supported values: "", "Ignore", "Strict", "Warn"',
        ),
        (MERGE, "", b"{", 400, "error decoding patch"),
        (JSON, "", {}, 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (JSON, "", [{"op": "test", "path": "/kind", "value": "Pod"}], 422, "the server rejected our request"),
        (STRATEGIC, "", {"data": {"$patch": "explode"}}, 400, "unknown patch type found: explode in map"),
        (MERGE, "", {"data": {"a": 1}}, 422, "patch: Invalid value"),
        (MERGE, "", {"metadata": {"name": "other"}}, 400, "does not match the name on the URL"),
        (MERGE, "", {"metadata": {"resourceVersion": "1"}}, 409, "the object has been modified"),
        (MERGE, "", {"metadata": {"uid": "other"}}, 409, "Precondition failed: UID in precondition: other"),
        (MERGE, "", None, 422, "patch: Invalid value"),
    ],
)
def test_patches_that_are_refused(
    tmp_path: Path, form: str, query: str, body: Any, code: int, said: str
) -> None:
    async def test(client: Client) -> None:
        await client.create(CONFIG_MAPS, config_map())
        status, answer = await patch(client, f"{CONFIG_MAPS}/settings?{query}", body, form)
        assert status == code, answer
        assert said in answer["message"]

    with_server(tmp_path, test)


def test_patches_of_what_is_not_there(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for form, body in ((JSON, []), (MERGE, {}), (STRATEGIC, {})):
            code, said = await patch(client, f"{CONFIG_MAPS}/nothing", body, form)
            assert (code, said["message"]) == (404, 'configmaps "nothing" not found')

    with_server(tmp_path, test)


POD_TEXT = json.dumps(pod())
UNKNOWN = POD_TEXT.replace('"image"', '"imag": 1, "image"').encode()
REPEATED = POD_TEXT.replace('"image"', '"image": "x", "image"').encode()
BOTH = POD_TEXT.replace('"image"', '"imag": 1, "image": "x", "image"').encode()
YAML = b"""
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: c
    image: x
    image: y
    imag: z
"""


def shown(warning: str) -> str:
    """The text of a Warning header."""
    return " ".join(warning.removeprefix('299 - "')[:-1].replace('\\"', '"').split())


OF_UNKNOWN = 'unknown field "spec.containers[0].imag"'
OF_REPEATED = 'duplicate field "spec.containers[0].image"'
OF_KEY = 'yaml: unmarshal errors: line 9: key "image" already set in map'


@pytest.mark.parametrize(
    ("body", "form", "found"),
    [
        (UNKNOWN, "application/json", [OF_UNKNOWN]),
        (REPEATED, "application/json", [OF_REPEATED]),
        (BOTH, "application/json", [OF_REPEATED, OF_UNKNOWN]),
        (YAML, "application/yaml", [OF_KEY, OF_UNKNOWN]),
    ],
)
def test_what_a_body_has_that_its_type_has_not(
    tmp_path: Path, body: bytes, form: str, found: list[str]
) -> None:
    async def test(client: Client) -> None:
        headers = {"Content-Type": form}
        for validation in ("", "&fieldValidation=Warn"):
            code, said = await client.ask("POST", f"{PODS}?dryRun=All{validation}", body, headers=headers)
            assert code == 201, said
            assert [shown(warning) for warning in client.warnings] == found
        code, said = await client.ask(
            "POST", f"{PODS}?dryRun=All&fieldValidation=Ignore", body, headers=headers
        )
        assert (code, client.warnings) == (201, [])
        code, said = await client.ask(
            "POST", f"{PODS}?dryRun=All&fieldValidation=Strict", body, headers=headers
        )
        prefix = 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        assert (code, " ".join(said["message"].split())) == (400, prefix + ", ".join(found))

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("form", "body", "found"),
    [
        (MERGE, b'{"spec":{"typ":"x"}}', 'unknown field "spec.typ"'),
        (MERGE, b'{"spec":{"type":"x","type":"NodePort"}}', 'duplicate field "spec.type"'),
        (STRATEGIC, b'{"spec":{"typ":"x"}}', 'unknown field "spec.typ"'),
        (STRATEGIC, b'{"spec":{"type":"x","type":"NodePort"}}', 'duplicate field "spec.type"'),
        (JSON, b'[{"op":"add","path":"/spec/typ","value":"x"}]', 'unknown field "spec.typ"'),
        (
            JSON,
            b'[{"op":"x","op":"add","path":"/spec/type","value":"NodePort"}]',
            'json patch duplicate field "[0].op"',
        ),
        (
            JSON,
            b'[{"op":"add","path":"/spec/type","value":"NodePort","x":1}]',
            'json patch unknown field "[0].x"',
        ),
    ],
)
def test_what_a_patch_has_that_its_type_has_not(tmp_path: Path, form: str, body: bytes, found: str) -> None:
    async def test(client: Client) -> None:
        await client.create(SERVICES, service())
        at = f"{SERVICES}/web"
        code, said = await patch(client, at, body, form)
        assert code == 200, said
        escaped = found.replace('"', '\\"')
        assert client.warnings == [f'299 - "{escaped}"']
        await patch(client, f"{at}?fieldValidation=Ignore", body, form)
        assert client.warnings == []
        code, said = await patch(client, f"{at}?fieldValidation=Strict", body, form)
        assert (code, said["reason"]) == (422, "Invalid")
        assert said["message"].startswith(' "" is invalid: patch: Invalid value: ')
        assert said["message"].endswith(f"strict decoding error: {found}")

    with_server(tmp_path, test)


def test_an_alias_that_grows_without_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]

    async def test(client: Client) -> None:
        body = "\n".join(lines).encode()
        code, said = await patch(client, f"{CONFIG_MAPS}/x?fieldManager=a", body, APPLY)
        assert code == 400
        assert "excessive aliasing" in said["message"]
        code, said = await client.ask("POST", CONFIG_MAPS, body, headers={"Content-Type": "application/yaml"})
        assert code == 400
        code, said = await patch(client, f"{CONFIG_MAPS}/x?fieldManager=a", b"a: &a [*a]", APPLY)
        assert code == 400

    with_server(tmp_path, test)


WORDS = """
metadata spec status labels ports port name protocol selector type clusterIP finalizers managedFields fieldsV1 manager
operation apiVersion kind sessionAffinityConfig $patch $retainKeys $setElementOrder/ports
$deleteFromPrimitiveList/finalizers
"""
words = st.sampled_from([*WORDS.split(), "\x07"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70000)
    | st.sampled_from(
        ["v1", "Service", "web", "TCP", "replace", "merge", "delete", "a", "\x00", "\udfff"[:0]]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
paths = st.lists(words | st.sampled_from(["0", "-", "~1", "~"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
operations = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "op": st.sampled_from(["add", "remove", "replace", "test", "copy", "move", ""]),
            "path": paths,
            "from": paths,
            "value": values,
        },
    ),
    max_size=4,
)
configurations = st.dictionaries(words, values, max_size=3).map(
    lambda rest: {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, **rest}
)
bodies = st.binary(max_size=30) | (
    values | operations | configurations | st.fixed_dictionaries({"spec": values, "metadata": values})
).map(lambda value: json.dumps(value).encode())


def test_no_bytes_make_the_server_fail(tmp_path: Path) -> None:
    """Whatever the patch, the answer is one of those for patches, and the server goes on."""
    asked: list[tuple[str, bytes, str]] = []

    @settings(max_examples=400, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([JSON, MERGE, STRATEGIC, APPLY]), bodies, st.sampled_from(["", "/status"]))
    def collect(form: str, body: bytes, part: str) -> None:
        asked.append((form, body, part))

    collect()

    async def test(client: Client) -> None:
        await client.create(SERVICES, service(selector={"a": "b"}))
        for form, body, part in asked:
            query = "?fieldManager=fuzz&force=true" if form == APPLY else "?fieldManager=fuzz"
            code, said = await patch(client, f"{SERVICES}/web{part}{query}", body, form)
            assert code in (200, 201, 400, 404, 409, 413, 422), (form, body, said)
            if code == 404:
                await client.create(SERVICES, service(selector={"a": "b"}))

    with_server(tmp_path, test)
