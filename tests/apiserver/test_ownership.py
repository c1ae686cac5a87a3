"""What the collector reads of stored objects."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.apiserver.ownership import facts, unowned
from fairlead.objects.codec import encode


@pytest.mark.parametrize(
    ("metadata", "rest"),
    [
        ({"name": "web", "namespace": "default", "uid": "1-2"}, {}),
        ({"generateName": "web-", "uid": "1-2", "labels": {"uid": "3"}}, {"spec": {"uid": "4"}}),
        ({"name": "web"}, {"involvedObject": {"kind": "Pod", "uid": "5"}}),
        ({"name": "web", "labels": {"uid": "6"}}, {}),
        ({"name": "web", "uid": 'a "b'}, {}),
        ({"name": "web", "uid": "é"}, {}),
        ({"name": "uid", "uid": ""}, {}),
        ({}, {"metadata2": {"uid": "7"}}),
    ],
)
def test_the_uid_is_read_without_the_object(metadata: dict[str, Any], rest: dict[str, Any]) -> None:
    value = encode({"kind": "K", "apiVersion": "v1", "metadata": metadata, **rest})
    assert unowned(value).uid == facts(value).uid
