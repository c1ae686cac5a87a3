"""Debian's libnftables by way of ctypes: rulesets as text, without a child process."""

from __future__ import annotations

import ctypes
from functools import cache

NO_RIGHTS = (
    "the kernel does not let this process change nftables: it needs CAP_NET_ADMIN in its network namespace "
    "(run as root, or in a user namespace)"
)


class Failed(RuntimeError):
    """The library or the kernel did not do what it was told. The text is for the person who reads it.

    `said` is what the library said of it, "" if nothing.
    """

    def __init__(self, text: str, said: str = "") -> None:
        super().__init__(text)
        self.said = said


class Unusable(Failed):
    """The library is not installed, or the kernel has no nf_tables for us. The text says what to do."""


class NoRights(Unusable):
    """This process may not change nftables in its network namespace."""


class KernelWithout(Unusable):
    """The kernel has no nf_tables, and so nothing in them."""


class Refused(Failed):
    """The library or the kernel did not take a ruleset. The text is the library's."""


@cache
def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise Unusable(
            "libnftables.so.1 cannot be loaded: install the Debian package libnftables1"
        ) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


class Context:
    """The library with a netlink socket in the network namespace of the thread that made this.

    Worth keeping: when the socket closes, the kernel waits until everything that its transactions removed is
    freed, ten to twenty milliseconds.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise Unusable("libnftables cannot start: out of memory, or no netlink socket")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Frees it. Idempotent."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, commands: str) -> str:
        """Runs commands of the nft language as one transaction; gives their output.

        Takes about a millisecond. Raises `Unusable` or `Refused`.
        """
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # Reading a buffer empties it.
        output = (self._library.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")
        said = (self._library.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace").strip()
        if not failed:
            return output
        raise failure(said)


def failure(said: str) -> Failed:
    """What to raise where the library says this."""
    if "Operation not permitted" in said:
        return NoRights(NO_RIGHTS, said)
    if "Protocol not supported" in said or "Operation not supported" in said:
        return KernelWithout("this kernel has no nf_tables: load the module (modprobe nf_tables)", said)
    return Refused(said, said)


def run(commands: str) -> str:
    """Runs commands once, in this thread's network namespace; as `Context.run`."""
    context = Context()
    try:
        return context.run(commands)
    finally:
        context.close()
