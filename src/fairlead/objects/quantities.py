"""Quantities: amounts of a resource, written as `500m`, `1.5`, `64Mi`, `2e3`.

Upstream: apimachinery/pkg/api/resource. The value is exact.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from fairlead.objects.scalars import Quantity
from fairlead.objects.status import FieldError, invalid

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}

MALFORMED = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@lru_cache(maxsize=1024)
def parse(quantity: Quantity) -> Decimal:
    """The amount. Raises ValueError with upstream's sentence where the text is none."""
    match = _FORM.fullmatch(str(quantity))
    if match is None:
        raise ValueError(MALFORMED)
    number, exponent, suffix = Decimal(match[1]), match[2], match[3] or ""
    if exponent:
        return number.scaleb(int(exponent[1:]))
    return number * 1024 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])


def wrong(path: str, quantity: Quantity) -> list[FieldError]:
    """The error of an amount that is none, or below nothing."""
    try:
        amount = parse(quantity)
    except ValueError as error:
        return [invalid(path, str(quantity), str(error))]
    return [invalid(path, str(quantity), "must be greater than or equal to 0")] if amount < 0 else []
