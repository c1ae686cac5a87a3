"""A certificate authority in a directory, for the certificates of a cluster that has none."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead import files

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LIFE = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """A certificate that signs others. `path` is the PEM file that clients trust."""

    path: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, directory: Path, name: str, addresses: Sequence[str] = (), names: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """A serving certificate for IP `addresses` and DNS `names`, with a new key; gives the paths of both.

        They are written to NAME.crt and NAME.key (0600) in `directory`, over what was there.
        """
        others: list[x509.GeneralName] = [x509.DNSName(other) for other in names]
        others += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._certifying(common_name(name), key, ExtendedKeyUsageOID.SERVER_AUTH)
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        return write(directory, name, builder.sign(self.key, hashes.SHA256()), key)

    def know(self, user: str, groups: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """A client's certificate that says who a user is, and its new key, both as PEM. About 0.2 ms."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certifying(subject, key, ExtendedKeyUsageOID.CLIENT_AUTH).sign(
            self.key, hashes.SHA256()
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)

    def introduce(
        self, directory: Path, name: str, user: str, groups: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """A client's certificate in files, NAME.crt and NAME.key (0600) in `directory`; gives the paths of both."""
        certificate, key = self.know(user, groups)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
        files.replace(key_path, key, 0o600)
        files.replace(path, certificate, 0o644)
        return path, key_path

    def _certifying(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, purpose: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        return (
            starting(self.certificate.subject, subject, key.public_key(), LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )


def make_authority(directory: Path) -> Authority:
    """The authority in ca.crt and ca.key of `directory`; made if it is not there."""
    path, key_path = directory / "ca.crt", directory / "ca.key"
    if path.exists() and key_path.exists():
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(
                f"{key_path} holds no elliptic curve key: remove it with {path} to get a new authority"
            )
        return Authority(path, x509.load_pem_x509_certificate(path.read_bytes()), key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = common_name("fairlead-ca")
    certificate = (
        starting(subject, subject, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write(directory, "ca", certificate, key)
    return Authority(path, certificate, key)


KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""The user that an API server is to kubelets, as kubeadm names it; a default role is bound to it."""


def make_signing_key(path: Path) -> None:
    """Writes a key for the tokens of ServiceAccounts, if there is none."""
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        files.replace(path, _pem(key), 0o600)


def common_name(name: str) -> x509.Name:
    """A subject with nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def starting(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    """A certificate from a little before now on, so that clocks may differ."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What the key may be used for."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def write(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    """Writes both as PEM; the key is never readable for others, not for a moment."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    files.replace(key_path, _pem(key), 0o600)
    files.replace(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return path, key_path


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
