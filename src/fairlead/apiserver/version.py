"""The version that the server says it has: that of the Kubernetes API it serves, marked as ours."""

from __future__ import annotations

import platform

from fairlead.objects.scalars import Object


class Info(Object, frozen=True, kw_only=True):
    """The answer of `/version` (apimachinery/pkg/version Info)."""

    major: str
    minor: str
    gitVersion: str
    gitCommit: str
    gitTreeState: str
    buildDate: str
    goVersion: str
    compiler: str
    platform: str


MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

VERSION = Info(
    major="1",
    minor="36",
    gitVersion="v1.36.2+fairlead",
    gitCommit="",
    gitTreeState="clean",
    buildDate="1970-01-01T00:00:00Z",
    goVersion="",
    compiler=platform.python_implementation(),
    platform=f"linux/{MACHINES.get(platform.machine(), platform.machine())}",
)
