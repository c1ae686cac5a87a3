"""JSON Web Tokens: signed, verified, and the keys as a JWK set.

RFC 7515 (the compact form), RFC 7518 (ES256, ES384, ES512, RS256), RFC 7517. Nothing here knows what the claims mean.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

LONGEST = 16 * 1024
"""Characters a token may have; those of the server have about 1,200."""

CURVES: Mapping[str, tuple[str, str, hashes.HashAlgorithm]] = {
    "secp256r1": ("ES256", "P-256", hashes.SHA256()),
    "secp384r1": ("ES384", "P-384", hashes.SHA384()),
    "secp521r1": ("ES512", "P-521", hashes.SHA512()),
}


class Malformed(ValueError):
    """The text is no token, or nobody known has signed it."""


class Header(msgspec.Struct):
    """How a token is signed, with which key."""

    alg: str
    kid: str = ""


@dataclass(frozen=True)
class Key:
    """A key to verify with, and to sign with if it is known whole. `id` follows from the public half, as upstream's."""

    id: str
    algorithm: str
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The token with these claims."""
        head = {"alg": self.algorithm, "kid": self.id}
        text = f"{written(msgspec.json.encode(head))}.{written(msgspec.json.encode(claims))}"
        return f"{text}.{written(self._signature(text.encode()))}"

    def _signature(self, data: bytes) -> bytes:
        match self.private:
            case ec.EllipticCurvePrivateKey() as private:
                size = (private.key_size + 7) // 8
                signature = private.sign(data, ec.ECDSA(CURVES[private.curve.name][2]))
                return b"".join(number.to_bytes(size) for number in decode_dss_signature(signature))
            case rsa.RSAPrivateKey() as private:
                return private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        raise ValueError("the key can only verify")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        try:
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
                return True
            size = (self.public.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            self.public.verify(encode_dss_signature(r, s), data, ec.ECDSA(CURVES[self.public.curve.name][2]))
        except InvalidSignature:
            return False
        return True

    def described(self) -> dict[str, str]:
        """The public half as a JWK."""
        head = {"use": "sig", "kid": self.id, "alg": self.algorithm}
        if isinstance(self.public, rsa.RSAPublicKey):
            numbers = self.public.public_numbers()
            return head | {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        point, size = self.public.public_numbers(), (self.public.key_size + 7) // 8
        curve = CURVES[self.public.curve.name][1]
        return head | {"kty": "EC", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}


def read_keys(pem: bytes) -> list[Key]:
    """The keys in PEM text, private ones or public ones, in their order. Raises ValueError where one cannot be used."""
    found: list[Key] = []
    for block in pem.split(b"-----BEGIN ")[1:]:
        block = b"-----BEGIN " + block
        if b"PRIVATE KEY-----" in block.splitlines()[0]:
            found.append(_key(serialization.load_pem_private_key(block, None)))
        elif b"PUBLIC KEY-----" in block.splitlines()[0]:
            found.append(_key(serialization.load_pem_public_key(block)))
    return found


def _key(key: object) -> Key:
    private = key if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None
    public = private.public_key() if private is not None else key
    if isinstance(public, rsa.RSAPublicKey):
        algorithm = "RS256"
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES:
        algorithm = CURVES[public.curve.name][0]
    else:
        raise ValueError("a key has to be an RSA key, or one of the curves P-256, P-384, P-521")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(written(hashlib.sha256(der).digest()), algorithm, public, private)


def key_set(keys: Sequence[Key]) -> dict[str, Any]:
    """The public halves as a JWK set."""
    return {"keys": [key.described() for key in keys]}


def payload(token: str) -> bytes:
    """The claims of a token, as JSON, which nobody has verified yet. Raises Malformed."""
    return read(_parts(token)[1])


def verify(token: str, keys: Sequence[Key]) -> None:
    """Raises Malformed where none of the keys has signed the token."""
    head_text, claims_text, signature_text = _parts(token)
    try:
        head = msgspec.json.decode(read(head_text), type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the token's header cannot be read: {error}") from None
    data, signature = f"{head_text}.{claims_text}".encode(), read(signature_text)
    for key in keys:
        if head.alg == key.algorithm and head.kid in ("", key.id) and key.verifies(data, signature):
            return
    raise Malformed("nobody known has signed the token")


def _parts(token: str) -> tuple[str, str, str]:
    parts = token.split(".", 3) if len(token) <= LONGEST else []
    if len(parts) != 3 or not token.isascii():
        raise Malformed("the token has not three parts")
    return parts[0], parts[1], parts[2]


def written(data: bytes) -> str:
    """Bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read(text: str) -> bytes:
    """The bytes of base64url without padding. Raises Malformed."""
    if "=" in text:
        raise Malformed("a part of the token is padded")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise Malformed(f"a part of the token is not base64url: {error}") from None


def _number(number: int, size: int = 0) -> str:
    return written(number.to_bytes(size or (number.bit_length() + 7) // 8))
