"""Documents that clients keep: their hash is their ETag, and who has them already gets 304 (RFC 9110 §13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha512
from types import MappingProxyType
from typing import NamedTuple

OK, MOVED, NOT_MODIFIED, NOT_ACCEPTABLE = 200, 301, 304, 406

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Answer(NamedTuple):
    """What is answered at a path that is no resource."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS
    """Besides those that every answer has, or in their place."""


@dataclass(frozen=True)
class Document:
    """A document as it is sent, and what its hash is made of: JSON, whatever form is sent."""

    content_type: str
    body: bytes
    hashed: bytes = b""

    @cached_property
    def hash(self) -> str:
        """In capitals, as upstream's."""
        return sha512(self.hashed or self.body).hexdigest().upper()

    def answer(self, asked: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The document, or 304 where the request has it already. `headers` are those of the answer."""
        etag = f'"{self.hash}"'
        given = {**headers, "ETag": etag, "Vary": "Accept"}
        if has(asked.get("If-None-Match", ""), etag):
            return Answer(NOT_MODIFIED, self.content_type, b"", given)
        return Answer(OK, self.content_type, self.body, given)


def has(header: str, etag: str) -> bool:
    """Whether an If-None-Match names the ETag; a weak one is as good."""
    return any(one.strip().removeprefix("W/") in (etag, "*") for one in header.split(","))
