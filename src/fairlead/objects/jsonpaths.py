"""JSON paths as definitions of custom resources use them: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")]`.

Members by name, dotted or quoted, items by index, slices, all items, and filters that compare one member. Upstream:
client-go/util/jsonpath, of which recursive descent, unions and ranges are left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fairlead.objects.jsonvalues import Json, equal

Step = Callable[[Json], Iterator[Json]]

_NAME = re.compile(r"((?:\\.|[^.\[\]\\'\"(){}*?@ ])+)")
_QUOTED = re.compile(r"\[\s*(?:'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\")\s*\]")
_INDEX = re.compile(r"\[\s*(-?\d{1,9})\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d{0,9})\s*:\s*(-?\d{0,9})\s*\]")
_ALL = re.compile(r"\[\s*\*\s*\]|\.\*")
_FILTER = re.compile(
    r"\[\?\(\s*@((?:[.\[](?:[^=!<>()\"'\s]|'[^']*')*)?)\s*"
    r"(?:(==|!=|<=|>=|<|>)\s*(?:'([^']*)'|\"([^\"]*)\"|(-?\d+(?:\.\d+)?|true|false|null))\s*)?\)\]"
)

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class JsonPath:
    """A path that was understood."""

    text: str
    steps: tuple[Step, ...]

    def find(self, value: Json) -> Iterator[Json]:
        """What stands at the path: nothing, one value, or several."""
        return _follow(self.steps, value)

    def first(self, value: Json) -> Json:
        """The first of it; None where there is nothing, or null."""
        return next(self.find(value), None)


def _follow(steps: tuple[Step, ...], value: Json) -> Iterator[Json]:
    if not steps:
        yield value
        return
    for found in steps[0](value):
        yield from _follow(steps[1:], found)


@lru_cache(maxsize=1024)
def parse(text: str) -> JsonPath:
    """Reads a path. Raises ValueError with a sentence."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        for pattern, make in _FORMS:
            found = pattern.match(text, at)
            if found is not None:
                steps.append(make(found))
                at = found.end()
                break
        else:
            if text[at] == "." and (at + 1 == len(text) or text[at + 1] == "["):
                at += 1
            elif text[at] == "." and (name := _NAME.match(text, at + 1)) is not None:
                steps.append(_member(_unescaped(name[1])))
                at = name.end()
            else:
                raise ValueError(f"{text} is no JSON path that can be followed: at {text[at:]}")
    return JsonPath(text, tuple(steps))


def dotted(text: str) -> JsonPath:
    """A path that is nothing but names between dots, as those of scales and selectable fields are."""
    return JsonPath(text, tuple(_member(name) for name in text.removeprefix(".").split(".")))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _member(name: str) -> Step:
    def step(value: Json) -> Iterator[Json]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Json) -> Iterator[Json]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _items(start: str, end: str) -> Step:
    bounds = slice(int(start) if start else None, int(end) if end else None)

    def step(value: Json) -> Iterator[Json]:
        if isinstance(value, list):
            yield from value[bounds]

    return step


def _all(value: Json) -> Iterator[Json]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _filter(found: re.Match[str]) -> Step:
    path, compared, single, double, word = found.groups()
    inner = parse(path or "")
    wanted: Any = single if single is not None else double
    if word is not None:
        wanted = _WORDS[word] if word in _WORDS else float(word) if "." in word else int(word)

    def selects(item: Json) -> bool:
        for actual in inner.find(item):
            if compared is None:
                return True
            if compared in ("==", "!="):
                return equal(actual, wanted) is (compared == "==")
            numbers = isinstance(actual, int | float) and isinstance(wanted, int | float)
            return (numbers or (isinstance(actual, str) and isinstance(wanted, str))) and _COMPARE[compared](
                actual, wanted
            )
        return False

    def step(value: Json) -> Iterator[Json]:
        if isinstance(value, list):
            yield from (item for item in value if selects(item))

    return step


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Step]], ...] = (
    (_ALL, lambda found: _all),
    (_QUOTED, lambda found: _member(_unescaped(found[1] if found[1] is not None else found[2]))),
    (_INDEX, lambda found: _item(int(found[1]))),
    (_SLICE, lambda found: _items(found[1], found[2])),
    (_FILTER, _filter),
)
