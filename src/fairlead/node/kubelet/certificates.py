"""A certificate for a node that was given none, signed by itself. Upstream: initializeServerTLS in cmd/kubelet/app."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead import files

LIFE = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)


def self_signed(directory: Path, addresses: Sequence[str]) -> tuple[Path, Path]:
    """Makes kubelet.crt and kubelet.key (0600) for IP addresses, over what was there; gives their paths. About 1 ms."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"{next(iter(addresses), 'node')}@self-signed")]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, key_path = directory / "kubelet.crt", directory / "kubelet.key"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.replace(key_path, pem, 0o600)
    files.replace(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return path, key_path
