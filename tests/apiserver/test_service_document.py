"""docs/services.md names every field and only tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairlead.objects.core_v1 import LoadBalancerIngress, ServicePort, ServiceSpec, ServiceStatus

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/services.md").read_text()
LETTERS = dict(re.findall(r"\b([A-Z])\s+(?:is )?`((?:objects|apiserver)/test_\w+\.py)`", TEXT))


def test_every_test_that_it_names_is_there() -> None:
    sources = {letter: (ROOT / "tests" / path).read_text() for letter, path in LETTERS.items()}
    assert set(sources) == set("VATDCORHF")
    found = re.findall(r"\b([A-Z])\s+((?:`test_\w+`\s*)+)", TEXT)
    named = [(letter, name) for letter, names in found for name in re.findall(r"`(\w+)`", names)]
    assert len(named) > 80
    assert len(named) == len(re.findall(r"`test_\w+`", TEXT)), "each after the letter of its file"
    assert not [(letter, name) for letter, name in named if f"def {name}(" not in sources[letter]]


@pytest.mark.parametrize(
    ("type", "prefix"),
    [
        (ServiceSpec, ""),
        (ServicePort, "ports[]."),
        (ServiceStatus, ""),
        (LoadBalancerIngress, "loadBalancer.ingress[]."),
    ],
)
def test_every_field_has_a_row(type: type[object], prefix: str) -> None:
    fields = type.__struct_fields__  # type: ignore[attr-defined]
    rows = set(re.findall(r"^\| `([\w.\[\]]+)` \|", TEXT, re.MULTILINE))
    assert not [field for field in fields if not any(row.startswith(prefix + field) for row in rows)]
