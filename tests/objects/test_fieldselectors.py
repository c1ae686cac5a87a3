"""Field selectors: what they select, and what is said of malformed ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objects.fieldselectors import Term, escape, parse

SERVICE = {"metadata.name": "web", "metadata.namespace": "default", "spec.clusterIP": "None"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("metadata.name=web", True),
        ("metadata.name==web,metadata.namespace=default", True),
        ("metadata.name!=web", False),
        ("spec.clusterIP!=None", False),
        ("spec.nodeName=", True),
        (",metadata.name=web,", True),
        (r"metadata.name=a\,b", False),
    ],
)
def test_which_objects_a_selector_selects(text: str, selected: bool) -> None:
    assert parse(text).matches(SERVICE) is selected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name", "invalid selector: 'name'; can't understand 'name'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_what_is_said_of_a_malformed_selector(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert str(caught.value) == said


def test_the_only_value_that_a_field_may_have_is_known() -> None:
    selector = parse("spec.nodeName=node1,metadata.name!=web")
    assert selector.exact("spec.nodeName") == "node1"
    assert selector.exact("metadata.name") is None


@given(st.text(), st.booleans())
def test_any_value_can_be_written_with_escapes(value: str, equal: bool) -> None:
    term = Term("metadata.name", value, equal)
    assert parse(str(term)).terms == (term,)
    assert parse(f"a={escape(value)},b=c").matches({"a": value, "b": "c"})
