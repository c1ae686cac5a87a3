"""What nobody would send: no 5xx, no hang, no error but a refusal. `tools/fuzz_api.py` does the same for longer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tools import fuzz_api

from fairlead.apiserver import lists, requests, watches
from fairlead.apiserver.bodies import DEEPEST, as_json, as_value
from fairlead.apiserver.negotiation import form
from fairlead.objects import fieldselectors, labels, protobuf
from fairlead.objects.status import StatusError
from tests.waiting import LIMIT

derandomized = settings(max_examples=150, deadline=None, derandomize=True)
TEXT = st.text(max_size=200)
SELECTOR = st.text(alphabet="ab=!<>(),in \\.-/", max_size=30)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow answers are for whoever sends requests for longer, on a quiet machine."""
    monkeypatch.setattr(fuzz_api, "SECONDS", LIMIT)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_answers_what_it_is_sent(seed: int) -> None:
    batches = iter(range(8))
    faults = asyncio.run(fuzz_api.against_own(seed, lambda: next(batches, None) is not None))
    assert faults == 0


@pytest.mark.usefixtures("patient")
def test_a_server_answers_what_is_no_request() -> None:
    batches = iter(range(3))
    faults = asyncio.run(
        fuzz_api.against_own(3, lambda: next(batches, None) is not None, fuzz_api.attack_connections)
    )
    assert faults == 0


@derandomized
@given(st.binary(max_size=300), st.sampled_from(["application/yaml", protobuf.CONTENT_TYPE, "text/yaml"]))
@example(fuzz_api.aliases(), "application/yaml")
@example(fuzz_api.protobuf_nest(), protobuf.CONTENT_TYPE)
@example(b"[" * 100_000, "application/yaml")
@example(b"- " * 20_000, "application/yaml")
@example(b"\n".join(b" " * i + b"a:" for i in range(2 * DEEPEST)), "application/yaml")
@example(b"&a [*a]", "application/yaml")
def test_bodies(data: bytes, kind: str) -> None:
    try:
        json.loads(as_json(data, kind, "v1", "ConfigMap"))
    except StatusError as error:
        assert error.code == 400  # noqa: PT017 - either is fine


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@derandomized
@given(JSON)
def test_json_is_yaml(value: Any) -> None:
    assert as_value(json.dumps(value).encode()) == value


@derandomized
@given(SELECTOR | TEXT)
@pytest.mark.parametrize("parse", [labels.parse, fieldselectors.parse])
def test_selectors(parse: Callable[[str], Any], text: str) -> None:
    try:
        selector = parse(text)
    except ValueError:
        return
    assert parse(str(selector)) == selector


@derandomized
@given(TEXT)
def test_accept_headers_and_queries(text: str) -> None:
    for read in (form, lists.decode_token, lambda t: lists.list_options(requests.Query(t))):
        try:
            read(text)
        except StatusError as error:
            assert 400 <= error.code < 500  # noqa: PT017
    try:
        watches.watch_options(requests.Query(text))
    except StatusError as error:
        assert 400 <= error.code < 500  # noqa: PT017
    info = requests.request_info("GET", f"/api/v1/{text}")
    assert info.method == "GET"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (labels.parse, ",".join(f"a{i}" for i in range(150_000))),
        (labels.parse, f"a in ({','.join(f'a{i}' for i in range(100_000))})"),
        (labels.parse, "(" * 1_000_000),
        (labels.parse, "a" * 1_000_000),
        (fieldselectors.parse, ",".join(f"a{i}=b" for i in range(100_000))),
        (fieldselectors.parse, "\\" * 1_000_000),
    ],
    ids=["requirements", "values", "brackets", "a word", "terms", "backslashes"],
)
def test_selectors_of_a_megabyte(parse: Callable[[str], Any], text: str) -> None:
    """They are refused or read; time that grows with their square would be minutes."""
    try:
        assert str(parse(text))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is fine


def test_a_value_among_many_is_found() -> None:
    selector = labels.parse(f"a in ({','.join(f'v{i}' for i in range(10_000))})")
    assert [selector.matches({"a": value}) for value in ("v0", "v9999", "v10000", "")] == [
        True,
        True,
        False,
        False,
    ]
