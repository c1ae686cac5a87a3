"""The forms that IP addresses and CIDRs must have.

Go once read `010.1.2.3` as 10.1.2.3, and the API with it, so two readings live side by side: the sloppy one tells
whether a text means an address at all, the strict one what new objects may write. The sentences are upstream's
(apimachinery/pkg/util/validation/ip.go, KEP-4858). Reading costs well under a microsecond: slices have many addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from fairlead.objects.status import FieldError, invalid

Check = Callable[[str], tuple[str, ...]]

_SPECIAL = (0, 127, 169, 224)
"""The first bytes of those IPv4 addresses that are not `is_reachable`, and of others."""

_MAPPED = bytes(10) + b"\xff\xff"
_NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CANONICAL = "should be in RFC 5952 canonical format"
_NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _strict(value: str) -> bytes | None:
    try:
        return inet_pton(AF_INET6 if ":" in value else AF_INET, value)
    except (OSError, ValueError):
        return None


def _unpadded(value: str) -> str:
    """The same text without the leading zeros of a dotted quad, at the end of an IPv6 address as well."""
    head, colon, quad = value.rpartition(":")
    parts = quad.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        return value
    return head + colon + ".".join(str(int(part)) for part in parts)


def _written(address: bytes) -> str:
    """The address as Go and RFC 5952 write it. The C library writes ::102:304 as ::1.2.3.4, they do not."""
    if len(address) == 4:
        return inet_ntop(AF_INET, address)
    if address.startswith(bytes(12)) and address[12:14] != bytes(2):
        return f"::{int.from_bytes(address[12:14], 'big'):x}:{int.from_bytes(address[14:], 'big'):x}"
    return inet_ntop(AF_INET6, address)


def packed(value: str) -> bytes | None:
    """The 4 or 16 bytes of an address, None where the text is none.

    Read as Go reads it: leading zeros are passed over, and an IPv4 address within IPv6 is IPv4.
    """
    address = _strict(value)
    if address is None:
        address = _strict(_unpadded(value))
    if address is not None and len(address) == 16 and address.startswith(_MAPPED):
        return address[12:]
    return address


def family(value: str) -> str:
    """ "IPv4" or "IPv6", as `ipFamilies` and `addressType` have it; "" where the text is no address."""
    address = packed(value)
    return "" if address is None else "IPv4" if len(address) == 4 else "IPv6"


def canonical(value: str) -> str:
    """The address as Go and RFC 5952 write it; the text itself where it is no address."""
    address = packed(value)
    if address is None:
        return value
    return _written(address)


def from_number(number: int, version: int) -> str:
    """The address of a family, 4 or 6, that is this number."""
    return _written(number.to_bytes(4 if version == 4 else 16, "big"))


def is_ip(value: str) -> tuple[str, ...]:
    """An address of either family, in its strict form."""
    strict = _strict(value)
    if strict is not None:
        mapped = len(strict) == 16 and strict.startswith(_MAPPED)
        return ("must not be an IPv4-mapped IPv6 address",) if mapped else ()
    return (_NO_ADDRESS,) if packed(value) is None else ("must not have leading 0s",)


def is_ipv4(value: str) -> tuple[str, ...]:
    """An IPv4 address, in its strict form."""
    address = packed(value)
    if address is None or len(address) != 4:
        return ("must be a valid IPv4 address",)
    return is_ip(value)


def is_ipv6(value: str) -> tuple[str, ...]:
    """An IPv6 address, in its strict form."""
    address = packed(value)
    if address is None or len(address) != 16:
        return ("must be a valid IPv6 address",)
    return ()


def is_reachable(value: str) -> tuple[str, ...]:
    """An address that can be another machine's: not unspecified, loopback or link-local. Only for addresses."""
    address = packed(value)
    if address is None:
        return ("must be a valid IP address",)
    first, second = address[0], address[1]
    if len(address) == 4:
        unspecified = address == bytes(4)
        loopback = first == 127
        link_local = first == 169 and second == 254
        multicast = address.startswith(b"\xe0\x00\x00")
    else:
        unspecified = address == bytes(16)
        loopback = address == bytes(15) + b"\x01"
        link_local = first == 0xFE and second & 0xC0 == 0x80
        multicast = first == 0xFF and second & 0x0F == 0x02
    if unspecified:
        return (f"may not be unspecified ({value})",)
    if loopback:
        return ("may not be in the loopback range (127.0.0.0/8, ::1/128)",)
    if link_local:
        return ("may not be in the link-local range (169.254.0.0/16, fe80::/10)",)
    if multicast:
        return ("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",)
    return ()


@lru_cache(maxsize=16_384)
def is_plain(value: str) -> bool:
    """Whether it is an IPv4 address of which there is nothing to say at all.

    The addresses of pods come again and again: a slice is judged whole at every change of one of its endpoints.
    """
    try:
        address = inet_pton(AF_INET, value)
    except (OSError, ValueError):
        return False
    return address[0] not in _SPECIAL or not is_reachable(value)


def _prefix(value: str) -> tuple[bytes, int] | None:
    """Address and prefix length, read as Go reads them."""
    text, slash, size = value.partition("/")
    address = _strict(text) or _strict(_unpadded(text))
    if not slash or address is None or not (size.isascii() and size.isdigit()):
        return None
    return (address, int(size)) if int(size) <= len(address) * 8 else None


def is_cidr(value: str) -> tuple[str, ...]:
    """A network with its prefix length, in its strict form: nothing set beyond the prefix."""
    read = _prefix(value)
    if read is None:
        return (_NO_CIDR,)
    address, size = read
    text, _, digits = value.partition("/")
    if _strict(text) is None or (digits != "0" and digits.startswith("0")):
        return ("must not have leading 0s in IP or prefix length",)
    if len(address) == 16 and address.startswith(_MAPPED):
        return ("must not have an IPv4-mapped IPv6 address",)
    if int.from_bytes(address, "big") & ((1 << (len(address) * 8 - size)) - 1):
        return ("must not have bits set beyond the prefix length",)
    return ()


def canonical_cidr(value: str) -> str:
    """The network as Go and RFC 5952 write it, without bits beyond its prefix; the text itself where it is none.

    An IPv4 network that was written within IPv6 becomes the IPv4 network that it is.
    """
    read = _prefix(value)
    if read is None:
        return value
    address, size = read
    if len(address) == 16 and address.startswith(_MAPPED) and size >= 96:
        address, size = address[12:], size - 96
    bits = len(address) * 8
    masked = int.from_bytes(address, "big") >> (bits - size) << (bits - size)
    network = masked.to_bytes(len(address), "big")
    return f"{_written(network)}/{size}"


def is_canonical_cidr(value: str) -> tuple[str, ...]:
    """A network in the one form that fields have which were made since KEP-4858."""
    if said := is_cidr(value):
        return said
    canonical_form = canonical_cidr(value)
    return () if value == canonical_form else (f'must be in canonical form ("{canonical_form}")',)


def cidr_family(value: str) -> str:
    """ "IPv4" or "IPv6"; "" where the text is no CIDR."""
    read = _prefix(value)
    return "" if read is None else "IPv4" if len(read[0]) == 4 else "IPv6"


def wrong(check: Check, path: str, value: str, *, old: Collection[str] = ()) -> list[FieldError]:
    """What `check` has against the field's value. Values that stood in the old object are let be."""
    if value in old:
        return []
    return [invalid(path, value, said) for said in check(value)]


def is_usual(value: str) -> bool:
    """Whether a text is an address as Go and RFC 5952 write it. Slices ask it of every address."""
    if ":" not in value:
        try:
            return len(inet_pton(AF_INET, value)) == 4  # it has but one strict form
        except (OSError, ValueError):
            return False
    strict = _strict(value)
    return strict is not None and not strict.startswith(_MAPPED) and _written(strict) == value


def ip_warnings(path: str, value: str) -> list[str]:
    """What is to be said of an address in an unusual form. Upstream: validation.GetWarningsForIP."""
    if is_usual(value) or packed(value) is None:
        return []
    strict, usual = _strict(value), canonical(value)
    if strict is None or strict.startswith(_MAPPED):
        return [
            f'{path}: non-standard IP address "{value}" will be considered invalid in a future Kubernetes release: '
            f'use "{usual}"'
        ]
    return [f'{path}: IPv6 address "{value}" {_CANONICAL} ("{usual}")']


def cidr_warnings(path: str, value: str) -> list[str]:
    """What is to be said of a network in an unusual form. Upstream: validation.GetWarningsForCIDR."""
    read = _prefix(value)
    if read is None:
        return []
    text, _, digits = value.partition("/")
    network, whole, said = canonical_cidr(value), canonical(text), []
    if canonical(network.partition("/")[0]) != whole:
        single = f"{whole}/{32 if family(text) == 'IPv4' else 128}"
        said.append(
            f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{single}"?)'
        )
    leading_zero = _strict(text) is None or (digits != "0" and digits.startswith("0"))
    if leading_zero or (len(read[0]) == 16 and read[0].startswith(_MAPPED)):
        said.append(
            f'{path}: non-standard CIDR value "{value}" will be considered invalid in a future Kubernetes release: '
            f'use "{network}"'
        )
    if not said and network != value:
        said.append(f'{path}: IPv6 CIDR value "{value}" {_CANONICAL} ("{network}")')
    return said
