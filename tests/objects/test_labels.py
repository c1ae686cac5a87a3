"""Label selectors: what they select, and what is said of malformed ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objects.labels import from_map, from_selector, parse
from fairlead.objects.meta_v1 import LabelSelector, LabelSelectorRequirement

POD = {"app": "web", "tier": "front", "version": "3", "topology.kubernetes.io/zone": "a"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier = front", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("missing!=anything", True),
        ("missing=", False),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app in ()", False),
        ("app notin (db, cache)", True),
        ("missing notin (x)", True),
        ("app,tier in (front,),!gone", True),
        ("version>2", True),
        ("version<3", False),
        ("app>1", False),
        ("topology.kubernetes.io/zone in (a)", True),
        ("in in (in),notin=notin", False),
    ],
)
def test_which_objects_a_selector_selects(text: str, selected: bool) -> None:
    assert parse(text).matches(POD) is selected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app=web,", "found '', expected: identifier after ','"),
        (",app", "found ',', expected: !, identifier, or 'end of string'"),
        ("app web", "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=web db", "found 'db', expected: ',' or 'end of string'"),
        ("app in web", "unable to parse requirement: found 'web' expected: '('"),
        ("app in (web", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("app=(web)", "unable to parse requirement: found '(', expected: identifier"),
        (
            "app>many",
            'unable to parse requirement: values[0]: Invalid value: "many": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a/b/c=1",
            'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key must consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')",
        ),
    ],
)
def test_what_is_said_of_a_malformed_selector(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert str(caught.value) == said


def test_a_service_selects_pods_that_have_all_its_labels() -> None:
    assert from_map({"app": "web", "tier": "front"}).matches(POD)
    assert not from_map({"app": "web", "tier": "back"}).matches(POD)


def test_a_label_selector_that_is_absent_selects_nothing_and_an_empty_one_everything() -> None:
    assert not from_selector(None).matches(POD)
    assert from_selector(LabelSelector()).matches(POD)
    expression = LabelSelectorRequirement(key="app", operator="NotIn", values=("web",))
    assert not from_selector(LabelSelector(matchExpressions=(expression,))).matches(POD)
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_selector(LabelSelector(matchExpressions=(LabelSelectorRequirement(key="a", operator="Near"),)))


words = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda word: word not in ("in", "notin")
)
labels = st.dictionaries(words, words | st.just(""), max_size=4)


@given(wanted=labels, had=labels)
def test_written_and_read_again_a_selector_selects_the_same(
    wanted: dict[str, str], had: dict[str, str]
) -> None:
    selector = from_map(wanted)
    assert parse(str(selector)).matches(had) == selector.matches(had)
    assert selector.matches({**had, **wanted})


@given(st.text(alphabet="ab=!,() <>in", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        selector = parse(text)
    except ValueError:
        return
    assert parse(str(selector)) == selector
