"""Label selectors: which objects a Service, a list or a watch speaks of.

The grammar is upstream's (apimachinery/pkg/labels): requirements joined by commas, each one of `key`, `!key`,
`key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key>1`, `key<1`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.names import is_label_value, is_qualified_name
from fairlead.objects.status import FieldError, forbidden, invalid, required

IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS = "in", "notin", "=", "==", "!="
EXISTS, DOES_NOT_EXIST, GREATER, LESS = "exists", "!", "gt", "lt"

_BINARY = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_SYMBOLS = {
    "=": EQUALS,
    "==": DOUBLE_EQUALS,
    "!=": NOT_EQUALS,
    ">": GREATER,
    "<": LESS,
    "in": IN,
    "notin": NOT_IN,
}
_WRITTEN = {operator: symbol for symbol, operator in _SYMBOLS.items()}
_OF_MESSAGE = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` are sorted, without repetitions."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it. An absent label meets `!=` and `notin`."""
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and self._has(value)
            case "notin" | "!=":
                return value is None or not self._has(value)
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _INTEGER.fullmatch(value) or len(value) > 63:
            return False
        number, bound = int(value), int(self.values[0])
        return number > bound if self.operator == GREATER else number < bound

    def _has(self, value: str) -> bool:
        at = bisect_left(self.values, value)  # they are sorted, and may be ten thousand
        return at < len(self.values) and self.values[at] == value

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{_WRITTEN[self.operator]}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that have to be met together; with none, everything is selected."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether every object is selected."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """Raises ValueError where the key or a value is malformed, or the values do not suit the operator."""
    errors: list[FieldError] = []
    listed = list(values)
    if said := is_qualified_name(key):
        errors.append(invalid("key", key, "; ".join(said)))
    if operator in (IN, NOT_IN) and not values:
        errors.append(invalid("values", listed, "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS) and len(values) != 1:
        errors.append(invalid("values", listed, "exact-match compatibility requires one single value"))
    elif operator in (EXISTS, DOES_NOT_EXIST) and values:
        errors.append(invalid("values", listed, "values set must be empty for exists and does not exist"))
    elif operator in (GREATER, LESS):
        for i, value in enumerate(values):
            if not _INTEGER.fullmatch(value):
                said_of = "for 'Gt', 'Lt' operators, the value must be an integer"
                errors.append(invalid(f"values[{i}]", value, said_of))
    for i, value in enumerate(values):
        if said := is_label_value(value):
            errors.append(invalid(f"values[{i}][{key}]", value, "; ".join(said)))
    if errors:
        said_all = [str(error) for error in errors]
        raise ValueError(said_all[0] if len(said_all) == 1 else f"[{', '.join(said_all)}]")
    return Requirement(key, operator, tuple(sorted(set(values))))


def _selector(requirements: Sequence[Requirement]) -> Selector:
    return Selector(tuple(sorted(requirements, key=lambda r: r.key)))


def parse(text: str) -> Selector:
    """The selector that `?labelSelector=` and `kubectl -l` give. The empty text selects everything.

    Raises ValueError with upstream's sentence, which names what was found and what was expected.
    """
    return _known(text) if len(text) <= KNOWN else _Parser(text).parse()


MOST = 1000
"""Requirements of a selector: every object of a list is held against all of them."""

KNOWN = 1024
"""Bytes of the longest selector that is remembered: those who ask again ask the same."""


@lru_cache(maxsize=1024)
def _known(text: str) -> Selector:
    return _Parser(text).parse()


def from_map(labels: Mapping[str, str]) -> Selector:
    """The selector of a Service or a ReplicationController: all labels equal. An empty one selects all.

    (That a Service without selector has no pods at all is for its controller to know.)
    """
    return _selector([Requirement(key, EQUALS, (value,)) for key, value in labels.items()])


def from_selector(selector: LabelSelector | None) -> Selector:
    """The selector of a Deployment and the like: none selects nothing, an empty one everything.

    Raises ValueError for an operator that is not known or malformed values.
    """
    if selector is None:
        return NOTHING
    requirements = [_requirement(key, EQUALS, (value,)) for key, value in selector.matchLabels.items()]
    for expression in selector.matchExpressions:
        operator = _OF_MESSAGE.get(expression.operator)
        if operator is None:
            raise ValueError(f'"{expression.operator}" is not a valid label selector operator')
        requirements.append(_requirement(expression.key, operator, expression.values))
    return _selector(requirements)


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """The errors in a map of labels. Upstream: ValidateLabels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        if found := is_qualified_name(key):
            errors += [invalid(path, key, said) for said in found]
        if found := is_label_value(value):
            errors += [invalid(path, value, said) for said in found]
    return errors


def validate_selector(selector: LabelSelector | None, path: str) -> list[FieldError]:
    """The errors in the selector of a Deployment and the like. Upstream: ValidateLabelSelector."""
    if selector is None:
        return []
    errors = validate_labels(selector.matchLabels, f"{path}.matchLabels")
    for i, expression in enumerate(selector.matchExpressions):
        at = f"{path}.matchExpressions[{i}]"
        match expression.operator:
            case "In" | "NotIn":
                if not expression.values:
                    said_of = "must be specified when `operator` is 'In' or 'NotIn'"
                    errors.append(required(f"{at}.values", said_of))
            case "Exists" | "DoesNotExist":
                if expression.values:
                    said_of = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                    errors.append(forbidden(f"{at}.values", said_of))
            case _:
                errors.append(invalid(f"{at}.operator", expression.operator, "not a valid selector operator"))
        errors += [invalid(f"{at}.key", expression.key, said) for said in is_qualified_name(expression.key)]
        for j, value in enumerate(expression.values):
            errors += [invalid(f"{at}.values[{j}]", value, said) for said in is_label_value(value)]
    return errors


_TOKEN = re.compile(r"[ \t\r\n]*([=!(),<>]+|[^ \t\r\n=!(),<>]+|$)")
_SINGLE = ("(", ")", ",", "=", "==", "!", "!=", "<", ">")


def _tokens(text: str) -> list[str]:
    """The words and symbols of a selector; the longest symbol wins, and the last token is the empty end."""
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or not match[1]:
            break
        word, at = match[1], match.end()
        if word[0] not in "=!(),<>":
            found.append(word)
            continue
        start = 0
        while start < len(word):
            size = 2 if word[start : start + 2] in _SINGLE else 1
            found.append(word[start : start + size])
            start += size
    return [*found, ""]


class _Parser:
    """Recursive descent in the order of upstream's parser, so that the sentences are the same."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def look(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        item = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return item

    @staticmethod
    def _word(item: str) -> bool:
        return bool(item) and item not in _SINGLE

    def parse(self) -> Selector:
        requirements: list[Requirement] = []
        while item := self.look():
            if not self._word(item) and item != "!":
                raise ValueError(f"found '{item}', expected: !, identifier, or 'end of string'")
            if len(requirements) == MOST:
                raise ValueError(f"more than {MOST} requirements")
            try:
                requirements.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            item = self.take()
            if not item:
                break
            if item != ",":
                raise ValueError(f"found '{item}', expected: ',' or 'end of string'")
            after = self.look()
            if not self._word(after) and after != "!":
                raise ValueError(f"found '{after}', expected: identifier after ','")
        return _selector(requirements)

    def requirement(self) -> Requirement:
        absent = self.look() == "!"
        if absent:
            self.take()
        key = self.take()
        if not self._word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if said := is_qualified_name(key):
            raise ValueError(str(invalid("<nil>", key, "; ".join(said))))
        if absent:
            return _requirement(key, DOES_NOT_EXIST, ())
        if self.look() in ("", ","):
            return _requirement(key, EXISTS, ())
        item = self.take()
        operator = _SYMBOLS.get(item)
        if operator is None:
            raise ValueError(f"found '{item}', expected: {', '.join(_BINARY)}")
        values = self.values() if operator in (IN, NOT_IN) else self.value()
        return _requirement(key, operator, values)

    def value(self) -> tuple[str]:
        if self.look() in ("", ","):
            return ("",)
        item = self.take()
        if not self._word(item):
            raise ValueError(f"found '{item}', expected: identifier")
        return (item,)

    def values(self) -> tuple[str, ...]:
        item = self.take()
        if item != "(":
            raise ValueError(f"found '{item}' expected: '('")
        found: list[str] = []
        expects_value = True
        while True:
            item = self.take()
            if item == ")":
                return (*found, "") if expects_value else tuple(found)
            if item == ",":
                if expects_value:
                    found.append("")
                expects_value = True
            elif self._word(item) and expects_value:
                found.append(item)
                expects_value = False
            else:
                expected = "',', or identifier" if expects_value else "',' or ')'"
                raise ValueError(f"found '{item}', expected: {expected}")
