"""The metadata that the server writes: identity, times, generated names."""

from __future__ import annotations

import os
import secrets
import time

from msgspec.structs import replace

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import timestamp

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: without vowels, so that they spell nothing (upstream: apimachinery/pkg/util/rand)."""
GENERATED_LENGTH = 5
GENERATED_BASE = 63 - GENERATED_LENGTH


def now(plus_seconds: int = 0) -> str:
    """The time as RFC 3339 text, in UTC, to the second."""
    return timestamp(time.time() + plus_seconds)


def generate_name(base: str) -> str:
    """A name that begins with `base` and is very likely free."""
    return base[:GENERATED_BASE] + "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_LENGTH))


class Randomness:
    """Random digits, taken from the kernel for many at a time: a call for 16 bytes is 1 us, and gives the interpreter
    to another thread. A forked process begins with none."""

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._digits, self._at = "", 0

    def digits(self) -> str:
        """32 hexadecimal digits that nobody had before."""
        at = self._at
        if at >= len(self._digits):
            self._digits, at = os.urandom(16 * 256).hex(), 0
        self._at = at + 32
        return self._digits[at : at + 32]


RANDOMNESS = Randomness()


def new_uid() -> str:
    """A random UUID, of version 4 (RFC 9562)."""
    digits = RANDOMNESS.digits()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def created(metadata: ObjectMeta, *, generation: int = 0) -> ObjectMeta:
    """The metadata of an object that comes into being now. Upstream: rest.FillObjectMetaSystemFields."""
    return replace(
        metadata,
        uid=new_uid(),
        creationTimestamp=now(),
        generation=generation,
        deletionTimestamp=None,
        deletionGracePeriodSeconds=None,
        selfLink="",
        resourceVersion="",
        managedFields=(),
    )
