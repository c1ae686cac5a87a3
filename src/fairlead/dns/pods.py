"""Which pods have which addresses: whom a pod's name stands for, and whose question it is."""

from __future__ import annotations

from fairlead.dns.records import packed
from fairlead.dns.source import Pod

ENDED = ("Succeeded", "Failed")


class Pods:
    """The pods of a cluster by address. Each change costs in proportion to the pod's addresses."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[bytes, ...]] = {}
        self._at: dict[bytes, dict[str, bool]] = {}
        """By address the pods, `namespace/name`, that have it, and whether it is their own."""

    def put(self, key: str, new: Pod | None) -> set[bytes]:
        """The pod `namespace/name` is now this, or is gone; the addresses of which something else is true now."""
        before = self._addresses.pop(key, ())
        after = addresses(new) if new is not None else ()
        if after:
            self._addresses[key] = after
        if before == after:
            return set()
        for address in before:
            pods = self._at[address]
            pods.pop(key, None)
            if not pods:
                del self._at[address]
        own = new is not None and not new.spec.hostNetwork
        for address in after:
            self._at.setdefault(address, {})[key] = own
        return {*before} ^ {*after}

    def has(self, namespace: str, address: bytes) -> bool:
        """Whether a pod of the namespace has the address."""
        return any(key.partition("/")[0] == namespace for key in self._at.get(address, ()))

    def owner(self, address: bytes) -> str:
        """The pod, `namespace/name`, whose own the address is; "" where it is nobody's."""
        return next((key for key, own in self._at.get(address, {}).items() if own), "")


def addresses(pod: Pod) -> tuple[bytes, ...]:
    """The addresses of a pod that has not ended."""
    if pod.status.phase in ENDED:
        return ()
    texts = [ip.ip for ip in pod.status.podIPs] or [pod.status.podIP]
    return tuple(dict.fromkeys(address for text in texts if (address := packed(text))))
