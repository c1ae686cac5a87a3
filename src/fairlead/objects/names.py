"""The forms that names, keys, ports and label values must have.

Each `is_*` function answers with the sentences that say what is wrong, none where the value is good. They are
upstream's, word for word: users search for them. Source: apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from fairlead.objects.status import FieldError, invalid, required

Check = Callable[[str], tuple[str, ...]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OLD_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"

_label = re.compile(_LABEL)
_old_label = re.compile(_OLD_LABEL)
_subdomain = re.compile(_SUBDOMAIN)
_wildcard = re.compile(_WILDCARD)
_key = re.compile(_KEY)
_value = re.compile(_VALUE)
_config_key = re.compile(_CONFIG_KEY)
_header = re.compile(_HEADER)
_port_charset = re.compile("[-a-z0-9]+")


def _size(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


def at_most(length: int) -> str:
    """The sentence for a text that is too long. `length` in bytes."""
    return f"must be no more than {length} bytes"


def between(low: int, high: int) -> str:
    """The sentence for a number outside a range that includes both its ends."""
    return f"must be between {low} and {high}, inclusive"


def _form(said: str, pattern: str, *examples: str) -> str:
    quoted = " or ".join(f"'{example}', " for example in examples)
    return f"{said} (e.g. {quoted}regex used for validation is '{pattern}')"


@lru_cache(maxsize=4096)
def is_dns1123_label(value: str) -> tuple[str, ...]:
    """One part of a DNS name, as RFC 1123 has it: namespaces, Services, containers, ports of Services."""
    wrong = []
    if _size(value) > 63:
        wrong.append(at_most(63))
    if not _label.fullmatch(value):
        if _subdomain.fullmatch(value):
            wrong.append("must not contain dots")
        else:
            said = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            wrong.append(_form(said, _LABEL, "my-name", "123-abc"))
    return tuple(wrong)


@lru_cache(maxsize=4096)
def is_dns1035_label(value: str) -> tuple[str, ...]:
    """A label that does not begin with a digit (RFC 1035): the names and versions of custom resources."""
    wrong = []
    if _size(value) > 63:
        wrong.append(at_most(63))
    if not _old_label.fullmatch(value):
        said = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character"
        )
        wrong.append(_form(said, _OLD_LABEL, "my-name", "abc-123"))
    return tuple(wrong)


@lru_cache(maxsize=4096)
def is_dns1123_subdomain(value: str) -> tuple[str, ...]:
    """A DNS name, as RFC 1123 has it: the names of most objects."""
    wrong = []
    if _size(value) > 253:
        wrong.append(at_most(253))
    if not _subdomain.fullmatch(value):
        said = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        wrong.append(_form(said, _SUBDOMAIN, "example.com"))
    return tuple(wrong)


def is_wildcard_subdomain(value: str) -> tuple[str, ...]:
    """A DNS name whose first part is an asterisk: the host of an Ingress."""
    said = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
        "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    long = (at_most(253),) if _size(value) > 253 else ()
    return long if _wildcard.fullmatch(value) else (*long, _form(said, _WILDCARD, "*.example.com"))


@lru_cache(maxsize=4096)
def is_qualified_name(value: str) -> tuple[str, ...]:
    """The key of a label, with or without a domain in front: `app`, `topology.kubernetes.io/zone`."""
    said = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character"
    )
    form = _form(said, _KEY, "MyName", "my.name", "123-abc")
    parts = value.split("/")
    if len(parts) > 2:
        prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a valid label key {form} {prefix}",)
    wrong = []
    if len(parts) == 2:
        if not parts[0]:
            wrong.append("prefix part must be non-empty")
        wrong += [f"prefix part {w}" for w in is_dns1123_subdomain(parts[0])] if parts[0] else []
    name = parts[-1]
    if not name:
        wrong.append("name part must be non-empty")
    elif _size(name) > 63:
        wrong.append(f"name part {at_most(63)}")
    if not _key.fullmatch(name):
        wrong.append(f"name part {form}")
    return tuple(wrong)


@lru_cache(maxsize=4096)
def is_label_value(value: str) -> tuple[str, ...]:
    """The value of a label: at most 63 bytes, possibly none."""
    wrong = []
    if _size(value) > 63:
        wrong.append(at_most(63))
    if not _value.fullmatch(value):
        said = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        wrong.append(_form(said, _VALUE, "MyValue", "my_value", "12345"))
    return tuple(wrong)


def is_port_number(port: int) -> tuple[str, ...]:
    """1 to 65535."""
    return () if 1 <= port <= 65535 else (between(1, 65535),)


@lru_cache(maxsize=1024)
def is_port_name(value: str) -> tuple[str, ...]:
    """The name of a container's port, which a Service's `targetPort` may give (RFC 6335, lower case)."""
    wrong = []
    if _size(value) > 15:
        wrong.append(at_most(15))
    if not _port_charset.fullmatch(value):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in value:
        wrong.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return tuple(wrong)


def is_environment_name(value: str) -> tuple[str, ...]:
    """The name of an environment variable: any printable ASCII but `=`.

    Upstream: RelaxedEnvironmentVariableValidation, on since 1.32.
    """
    if not value:
        return ("environment variable name must be non-empty",)
    if all(" " <= letter <= "~" and letter != "=" for letter in value):
        return ()
    return (
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    )


def is_config_key(value: str) -> tuple[str, ...]:
    """A key in the data of a ConfigMap or a Secret, which may become the name of a file."""
    wrong = []
    if _size(value) > 253:
        wrong.append(at_most(253))
    if not _config_key.fullmatch(value):
        said = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        wrong.append(_form(said, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value == ".":
        wrong.append("must not be '.'")
    elif value == "..":
        wrong.append("must not be '..'")
    elif value.startswith(".."):
        wrong.append("must not start with '..'")
    return tuple(wrong)


def is_http_header_name(value: str) -> tuple[str, ...]:
    """The name of a header that a probe sends."""
    if _header.fullmatch(value):
        return ()
    said = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return (_form(said, _HEADER, "X-Header-Name"),)


def is_path_segment(value: str) -> tuple[str, ...]:
    """A name of which no more is asked than that it is one segment of a URL path."""
    if value in (".", ".."):
        return (f"may not be '{value}'",)
    return tuple(f"may not contain '{letter}'" for letter in "/%" if letter in value)


_DOMAIN_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def validate_domain_path(value: str, path: str) -> list[FieldError]:
    """The errors in a domain with a path behind it, `example.com/ingress`. Upstream: IsDomainPrefixedPath."""
    if not value:
        return [required(path)]
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [invalid(path, domain, said) for said in is_dns1123_subdomain(domain)]
    if not _DOMAIN_PATH.fullmatch(rest):
        form = _form("Invalid path", _DOMAIN_PATH.pattern)
        errors.append(invalid(path, rest, form))
    return errors


def without_trailing_dash(check: Check) -> Check:
    """The same rule for a `generateName`, which may end in a dash, since it is not the name's end."""

    def relaxed(value: str) -> tuple[str, ...]:
        return check(value[:-1] + "a" if len(value) > 1 and value.endswith("-") else value)

    return relaxed


def wrong(check: Check, path: str, value: str) -> list[FieldError]:
    """What `check` has against the field's value, as errors of the field."""
    found = check(value)
    return [invalid(path, value, said) for said in found] if found else []
