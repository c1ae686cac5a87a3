"""Who sends a request, by the certificate of its connection: the common name is the user, organizations are groups.

The chain is verified by TLS itself, which ends the connection of a certificate that no trusted authority has signed
(upstream answers such a request with 401). Its life is looked at here, so that an expired one is answered.
Upstream: apiserver/pkg/authentication/request/x509.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.apiserver.access.accounttokens import EXTRA
from fairlead.apiserver.access.users import User, authenticated

KEPT = 4096

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME."""

UID = "1.3.6.1.4.1.57683.2"
"""The attribute of a subject that upstream takes for the user's uid."""


def ask(context: ssl.SSLContext, authority: Path) -> None:
    """Makes a server's context ask for certificates of an authority. Raises OSError for a file that is useless."""
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME


@dataclass(frozen=True, slots=True)
class Known:
    """The user of a certificate, and its life in seconds since 1970."""

    user: User | None
    begins: float
    ends: float


class ClientCertificates:
    """Remembers a bounded number of the certificates that it has read."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[Any, Known] = {}

    def user(self, transport: asyncio.BaseTransport) -> User | None:
        """Whose connection it is; None for one without a certificate. Raises ValueError for one that is expired."""
        certificate = transport.get_extra_info("peercert")
        if not certificate:
            return None
        key = tuple(
            certificate.get(name) for name in ("serialNumber", "issuer", "subject", "notBefore", "notAfter")
        )
        known = self._known.get(key)
        if known is None:
            secured = transport.get_extra_info("ssl_object")
            whole = secured.getpeercert(binary_form=True) if secured is not None else b""
            known = read(certificate, whole or b"")
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = known
        if not known.begins <= self._clock() <= known.ends:
            raise ValueError("the certificate is expired, or not valid yet")
        return known.user


def read(certificate: dict[str, Any], whole: bytes) -> Known:
    """What a certificate says, given as `ssl.getpeercert` does and as DER; one without a common name is nobody's."""
    names: dict[str, list[str]] = {}
    for part in certificate.get("subject", ()):
        for attribute, value in part:
            names.setdefault(attribute, []).append(value)
    common, groups, uids = names.get("commonName"), names.get("organizationName", []), names.get(UID, [])
    user = None
    if common and common[-1]:
        credential = f"X509SHA256={hashlib.sha256(whole).hexdigest()}"
        extra = ((f"{EXTRA}credential-id", (credential,)),)
        user = authenticated(User(common[-1], uids[0] if uids else "", tuple(groups), extra))
    return Known(
        user,
        ssl.cert_time_to_seconds(certificate["notBefore"]),
        ssl.cert_time_to_seconds(certificate["notAfter"]),
    )
