"""The formats of texts that schemas of custom resources can ask for; others are ignored.

Upstream: kube-openapi/pkg/validation/strfmt, and apiextensions' supportedVersionedFormats.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

from fairlead.objects import names

_MAC = re.compile(
    r"([0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(\2[0-9A-Fa-f]{2}){4,18}|([0-9A-Fa-f]{4}\.){2,9}[0-9A-Fa-f]{4})"
)
_DURATION = re.compile(r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_SCALA_DURATION = re.compile(
    r"\d+(\.\d+)?\s*(ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|"
    r"m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)"
)
_HOSTNAME = re.compile(r"([^\W_]|[^\W_][\w-]{0,61}[^\W_])(\.([^\W_]|[^\W_][\w-]{0,61}[^\W_]))*")
_RGB_PART = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_CARD = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|"
    r"3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})"
)

Check = Callable[[str], bool]


def _form(pattern: str, flags: int = 0) -> Check:
    compiled = re.compile(pattern, flags | re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(version: str = "[0-9a-f]", variant: str = "[0-9a-f]") -> Check:
    tail = f"{version}[0-9a-f]{{3}}-?{variant}[0-9a-f]{{3}}-?[0-9a-f]{{12}}"
    return _form(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{tail}", re.IGNORECASE)


def _parses(parse: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _cidr(text: str) -> object:
    address, _, length = text.partition("/")
    if not length.isdecimal():
        raise ValueError(text)
    return ipaddress.ip_interface(f"{ipaddress.ip_address(address)}/{int(length)}")


def _base64(text: str) -> bytes:
    if not text:
        raise ValueError("empty")
    return base64.b64decode(text, validate=True)


def _date(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError(text)
    return date.fromisoformat(text)


def _datetime(text: str) -> datetime:
    if not re.fullmatch(
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", text, re.ASCII | re.IGNORECASE
    ):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper())


def _uri(text: str) -> bool:
    """What Go's url.ParseRequestURI takes: an absolute URI or an absolute path."""
    if not text or any(letter <= " " or letter == "\x7f" for letter in text):
        return False
    try:
        parts = urlsplit(text)
        return text.startswith("/") or (
            bool(parts.scheme and (parts.netloc or parts.path)) and (parts.port or True) is not None
        )
    except ValueError:
        return False


def _email(text: str) -> bool:
    address = parseaddr(text)[1]
    local, _, domain = address.rpartition("@")
    return bool(local and domain) and not re.search(r"\s", address)


def _isbn(length: int) -> Check:
    def check(text: str) -> bool:
        digits = re.sub(r"[\s-]", "", text)
        if length == 10:
            if not re.fullmatch(r"\d{9}[\dXx]", digits, re.ASCII):
                return False
            return sum((10 - i) * (10 if d in "Xx" else int(d)) for i, d in enumerate(digits)) % 11 == 0
        return (
            bool(re.fullmatch(r"\d{13}", digits, re.ASCII))
            and not sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10
        )

    return check


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not _CARD.fullmatch(digits):
        return False
    total = 0
    for i, letter in enumerate(reversed(digits)):
        digit = int(letter) * (2 if i % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def _hostname(text: str) -> bool:
    return len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None


FORMATS: Mapping[str, Check] = {
    "bsonobjectid": _form("[0-9a-f]{24}", re.IGNORECASE),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(_cidr),
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": lambda text: _isbn(10)(text) or _isbn(13)(text),
    "isbn10": _isbn(10),
    "isbn13": _isbn(13),
    "creditcard": _card,
    "ssn": _form(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _form("#?([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE),
    "rgbcolor": _form(rf"rgb\({_RGB_PART},{_RGB_PART},{_RGB_PART}\)"),
    "byte": _parses(_base64),
    "password": lambda text: True,
    "date": _parses(_date),
    "duration": lambda text: bool(_DURATION.fullmatch(text) or _SCALA_DURATION.fullmatch(text)),
    "datetime": _parses(_datetime),
    "k8s-short-name": lambda text: not names.is_dns1123_label(text),
    "k8s-long-name": lambda text: not names.is_dns1123_subdomain(text),
}
"""Whether a text has the format, by its name without dashes (but for those of Kubernetes)."""

NUMBERS = ("int32", "int64", "float", "double")
"""The formats of numbers."""


def check(name: str) -> Check | None:
    """The check of a format, None where it is not known: then it asks for nothing."""
    return FORMATS.get(name) or FORMATS.get(name.replace("-", ""))


def recognized(name: str) -> bool:
    """Whether a format is known, of a text or a number."""
    return name in NUMBERS or check(name) is not None
