"""Short names for the contents of a template: the same for the same template, for every version of Fairlead.

Upstream: ComputeHash in pkg/controller/controller_utils.go. The values differ from upstream's, which hashes Go's way of
printing the template; nothing but the controller that made a hash ever compares it.
"""

from __future__ import annotations

import hashlib

import msgspec

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Characters that make no words: no vowels, and no digits that look like letters (apimachinery/util/rand)."""

_encoder = msgspec.json.Encoder(order="deterministic")


def safe_encoded(text: str) -> str:
    """The text in letters and digits that no name or word is offended by (upstream: rand.SafeEncodeString)."""
    return "".join(ALPHABET[ord(letter) % len(ALPHABET)] for letter in text)


def hash_of(value: object, collisions: int | None = None) -> str:
    """Up to 10 characters that stand for the value; another count of collisions gives others."""
    data = _encoder.encode(value)
    if collisions is not None:
        data += b"#%d" % collisions
    return safe_encoded(str(int.from_bytes(hashlib.sha256(data).digest()[:4], "big")))
