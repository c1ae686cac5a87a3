"""What every Service wants on this node, kept up by changes of the API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from msgspec import structs

from fairlead.objects.core_v1 import Service
from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import IPV4, PROTOCOL_NAMES, Family
from fairlead.proxy.resources import EndpointSlice, service_of
from fairlead.proxy.selection import MOST_TARGETS, Node, Selection, Verdict, select

log = logging.getLogger("fairlead.proxy")

Claim = tuple[int, bytes, int]
"""What only one Service can have: protocol, address and port; the address of a node port is empty."""

_NONE: dict[str, EndpointSlice] = {}

Report = Callable[[Service, str, str], None]
"""Tells the user that something is wrong with a Service: the Service, an Event's reason, a sentence."""


def log_only(service: Service, reason: str, sentence: str) -> None:
    """A report where there are no Events."""
    log.warning("Service %s/%s: %s", service.metadata.namespace, service.metadata.name, sentence)


class Ledger:
    """Services, their slices, and what follows from both. Only what changed is selected anew.

    Two Services may claim one frontend, by externalIPs for example, or one node port. The older one has it, as
    after a restart; the other one waits, and is looked at again when it lets go.
    """

    def __init__(self, node: Node, family: Family = IPV4, report: Report = log_only) -> None:
        self.node = node
        self.family = family
        self.dirty: set[str] = set()
        """Keys of the Services to look at."""
        self._report = report
        self._services: dict[str, Service] = {}
        self._slices: dict[str, dict[str, EndpointSlice]] = {}
        self._claims: dict[str, Sequence[Claim]] = {}
        self._owners: dict[Claim, str] = {}
        self._waiting: dict[Claim, set[str]] = {}
        self._lacking: dict[str, tuple[int, int]] = {}
        """Of each Service that has such, how many ports have nobody on this node for internal and external traffic."""
        self._told: dict[str, set[str]] = {}
        """What was reported about each Service, so that it is said once for as long as it holds."""

    def keys(self) -> Iterable[str]:
        """Of all Services."""
        return self._services.keys()

    def service(self, key: str) -> Service | None:
        """The Service, if there is one."""
        return self._services.get(key)

    def slices(self, key: str) -> Iterable[EndpointSlice]:
        """The Service's slices of this family."""
        return self._slices.get(key, {}).values()

    def without_local(self) -> dict[str, int]:
        """How many Service ports, by the policy, have endpoints but none on this node, which is where it wants them."""
        internal, external = map(sum, zip((0, 0), *self._lacking.values(), strict=True))
        return {"internal": internal, "external": external}

    def owner(self, claim: Claim) -> Service | None:
        """The Service that has the frontend, as of the last look at it."""
        return self._services.get(self._owners.get(claim, ""))

    def service_changed(self, key: str, new: Service | None) -> None:
        """A Service came, changed or went."""
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self.dirty.add(key)

    def slice_changed(self, key: str, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """A slice came, changed or went; `old` may belong to another Service, or to the other family."""
        before, after = self._service_of(old), self._service_of(new)
        if before and before != after:
            held = self._slices.get(before, {})
            held.pop(key, None)
            if not held:
                self._slices.pop(before, None)
            self.dirty.add(before)
        if after and new is not None:
            self._slices.setdefault(after, {})[key] = new
            self.dirty.add(after)

    def _service_of(self, piece: EndpointSlice | None) -> str:
        return (
            service_of(piece) if piece is not None and piece.addressType == self.family.address_type else ""
        )

    def node_changed(self, node: Node) -> None:
        """The node has other addresses, or is in another zone, where every Service has to be looked at again."""
        before, self.node = self.node, node
        if replace(before, addresses=node.addresses) != node:
            self.dirty.update(self._services)
        elif before != node:
            # Only source ranges speak of the node's addresses.
            self.dirty.update(
                key
                for key, one in self._services.items()
                if one.spec is not None and one.spec.type == "LoadBalancer"
            )

    def everything(self) -> Iterator[tuple[str, Selected]]:
        """Every Service that wants something with what it wants, and from then on `changes` counts from there.

        The oldest comes first, so that none has to give back what it claims.
        """
        self._claims.clear()
        self._owners.clear()
        self._waiting.clear()
        self._lacking.clear()
        self.dirty.clear()
        for key in sorted(self._services, key=self._age):
            selected = self._look(key)
            if selected:
                yield key, selected

    def changes(self) -> dict[str, Selected]:
        """What the Services want that may want something else than at the last call. Cost: linear in those."""
        changed: dict[str, Selected] = {}
        while self.dirty:
            key = self.dirty.pop()
            changed[key] = self._look(key)
        return changed

    def _look(self, key: str) -> Selected:
        service = self._services.get(key)
        if service is None:
            self._claim(key, ())
            self._told.pop(key, None)
            self._lacking.pop(key, None)
            return ()
        # In the order of their names: of two slices with one address the last one says what it is like.
        held = self._slices.get(key, _NONE)
        pieces = list(held.values()) if len(held) < 2 else [held[name] for name in sorted(held)]
        selected = select(service, pieces, self.node, self.family)
        claims = [claim for selection in selected for claim in _claims(selection)]
        found = self._claim(key, claims)
        lost = {claim for claim in claims if self._owners[claim] != key} if found else ()
        for selection in selected:
            if selection.skipped:
                found["TooManyEndpoints"] = (
                    f"{selection.name} has {MOST_TARGETS + selection.skipped} endpoints; "
                    f"only {MOST_TARGETS} of them get traffic"
                )
        self._tell(key, service, found)
        if key in self._lacking or _local(service):
            self._note_lacking(key, selected)
        return _without(selected, lost) if lost else selected

    def _note_lacking(self, key: str, selected: Selected) -> None:
        internal = sum(one.internal is Verdict.DISCARD for one in selected)
        external = sum(
            one.external is Verdict.DISCARD and bool(one.external_frontends or one.node_port)
            for one in selected
        )
        if internal or external:
            self._lacking[key] = internal, external
        else:
            self._lacking.pop(key, None)

    def _tell(self, key: str, service: Service, found: dict[str, str]) -> None:
        if found or key in self._told:
            told = self._told.get(key, set())
            for reason, sentence in found.items():
                if reason not in told:
                    self._report(service, reason.partition(" ")[0], sentence)
            if found:
                self._told[key] = set(found)
            else:
                del self._told[key]

    def _claim(self, key: str, claims: Sequence[Claim]) -> dict[str, str]:
        """Takes what is free or held by a younger Service, lets go of what is not claimed any more.

        Gives what is wrong: what stays with another one. A Service that loses something becomes dirty, and so
        do those that wait for what is let go.
        """
        before = self._claims.get(key, ())
        found: dict[str, str] = {}
        if before:
            for claim in set(before).difference(claims):
                self._release(claim, key)
        for claim in claims:
            owner = self._owners.setdefault(claim, key)
            if owner != key or claim in self._waiting:
                self._contend(claim, key, owner)
                winner = self._owners[claim]
                if winner != key:
                    what = self._text(claim)
                    found[f"Conflict {what}"] = (
                        f"{what} is already used by Service {winner}, and is left to it"
                    )
        if claims:
            self._claims[key] = claims
        else:
            self._claims.pop(key, None)
        return found

    def _contend(self, claim: Claim, key: str, owner: str) -> None:
        waiting = self._waiting.setdefault(claim, set())
        waiting.discard(key)
        if owner == key:
            # Made anew meanwhile, it may be younger than one that waits.
            self.dirty.update(other for other in waiting if self._age(other) < self._age(key))
        elif self._age(key) < self._age(owner):
            self._owners[claim] = key
            waiting.add(owner)
            self.dirty.add(owner)
        else:
            waiting.add(key)
        if not waiting:
            del self._waiting[claim]

    def _release(self, claim: Claim, key: str) -> None:
        waiting = self._waiting.get(claim)
        if self._owners.get(claim) == key:
            del self._owners[claim]
            self.dirty |= self._waiting.pop(claim, set())
        elif waiting is not None:
            waiting.discard(key)
            if not waiting:
                del self._waiting[claim]

    def _age(self, key: str) -> tuple[bool, str, str]:
        """Sorts Services: older ones first, those that are gone last."""
        service = self._services.get(key)
        created = (service.metadata.creationTimestamp or "") if service is not None else ""
        return service is None, created, key

    def _text(self, claim: Claim) -> str:
        protocol, address, port = claim
        name = PROTOCOL_NAMES[protocol]
        if not address:
            return f"node port {port}/{name}"
        host = self.family.text(address)
        return f"{f'[{host}]' if ':' in host else host}:{port}/{name}"


def _local(service: Service) -> bool:
    spec = service.spec
    return spec is not None and "Local" in (spec.internalTrafficPolicy, spec.externalTrafficPolicy)


def _claims(selection: Selection) -> Iterator[Claim]:
    protocol = selection.protocol
    for address, port in selection.cluster_frontends:
        yield protocol, address, port
    for address, port in selection.external_frontends:
        yield protocol, address, port
    if selection.node_port:
        yield protocol, b"", selection.node_port


def _without(selected: Selected, lost: Collection[Claim]) -> Selected:
    """The selections without what belongs to others; one without any frontend left is none."""
    kept = []
    for one in selected:
        mine = structs.replace(
            one,
            cluster_frontends=tuple(f for f in one.cluster_frontends if (one.protocol, *f) not in lost),
            external_frontends=tuple(f for f in one.external_frontends if (one.protocol, *f) not in lost),
            guarded=tuple(f for f in one.guarded if (one.protocol, *f) not in lost),
            node_port=0 if (one.protocol, b"", one.node_port) in lost else one.node_port,
        )
        if mine.cluster_frontends or mine.external_frontends or mine.node_port:
            kept.append(mine)
    return tuple(kept)
