"""Field selectors: `metadata.name=a,spec.nodeName!=b`.

The grammar is upstream's (apimachinery/pkg/fields): terms joined by commas, each `field=value`,
`field==value` or `field!=value`; a backslash keeps a backslash, a comma or an equals sign in a value. Which
fields a kind can be selected by is for the API server to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Term:
    """One field that has to be, or must not be, equal to a value."""

    field: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms that have to hold together; with none, everything is selected."""

    terms: tuple[Term, ...] = ()

    def matches(self, field: Callable[[str], str] | Mapping[str, str]) -> bool:
        """Whether an object is selected; `field` gives the text of a field, "" where it has no value."""
        value = (lambda name: field.get(name, "")) if isinstance(field, Mapping) else field
        return all((value(term.field) == term.value) is term.equal for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The only value that `field` may have, None where there is no such condition on it."""
        for term in self.terms:
            if term.field == field and term.equal:
                return term.value
        return None

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


EVERYTHING = FieldSelector()


def escape(value: str) -> str:
    """The value as it has to be written in a selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def unescape(written: str) -> str:
    """The value that was written. Raises ValueError for a stray backslash, and for a bare comma or `=`."""
    value: list[str] = []
    letters = iter(written)
    for letter in letters:
        if letter == "\\":
            after = next(letters, "")
            if after not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{after}")
            value.append(after)
        elif letter in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {letter}")
        else:
            value.append(letter)
    return "".join(value)


def _split(text: str) -> list[str]:
    """The terms between commas that no backslash precedes."""
    terms, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == ",":
            terms.append(text[start:at])
            start = at + 1
        at += 1
    return [*terms, text[start:]]


def _term(part: str, text: str) -> Term:
    at = 0
    while at < len(part):
        if part[at] == "\\":
            at += 2
            continue
        for operator in ("!=", "==", "="):
            if part.startswith(operator, at):
                return Term(part[:at], unescape(part[at + len(operator) :]), operator != "!=")
        at += 1
    raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")


def parse(text: str) -> FieldSelector:
    """The selector of `?fieldSelector=` and `kubectl --field-selector`. The empty text selects everything.

    Raises ValueError with upstream's sentence.
    """
    return _known(text) if len(text) <= KNOWN else _parsed(text)


MOST = 1000
"""Terms of a selector: every object of a list is held against all of them."""

KNOWN = 1024
"""Bytes of the longest selector that is remembered: those who ask again ask the same."""


@lru_cache(maxsize=1024)
def _known(text: str) -> FieldSelector:
    return _parsed(text)


def _parsed(text: str) -> FieldSelector:
    parts = sorted(_split(text))
    if len(parts) > MOST:
        raise ValueError(f"invalid field selector: more than {MOST} terms")
    return FieldSelector(tuple(_term(part, text) for part in parts if part))
