"""The order of API versions: v10, v2, v1, v11beta2, v10beta3, v3beta1, v12alpha1, v11alpha2, foo1, foo10.

Upstream: apimachinery/pkg/version (CompareKubeAwareVersionStrings).
"""

from __future__ import annotations

import re

_FORM = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def preference(version: str) -> tuple[int, int, int, int, str]:
    """What versions are sorted by, the preferred one first."""
    found = _FORM.fullmatch(version)
    if found is None:
        return 1, 0, 0, 0, version
    major, stability, minor = found.groups()
    return 0, _STABILITY[stability], -int(major), -int(minor or 0), ""
