"""What the proxy of a node would put into its kernel for a directory of manifests, as text. Pure."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.objects.core_v1 import Service
from fairlead.proxy import modes
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.manifests import Manifests
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.ownnode import seen

Note = Callable[[str], None]
"""Tells the reader something beside the rules, in a sentence."""


def preview(manifests: Manifests, node_name: str, mode: str, options: ProxyOptions, note: Note) -> str:
    """The rules of each family in which any Service has an address. Raises ValueError for a mode that there is not."""
    listing = modes.load(mode).listing
    if node_name not in manifests.nodes:
        note(f"there is no Node {node_name} among the manifests: its addresses and zone are unknown")
    for key, service in manifests.services.items():
        if not service.spec.clusterIP and service.spec.type != "ExternalName":
            note(f"Service {key} has no clusterIP, which the API server would give it: nothing leads to it")
    parts = []
    for family in (IPV4, IPV6):
        ledger = _ledger(manifests, node_name, family, note)
        selected = [wanted for _, wanted in ledger.everything()]
        if selected:
            listed = listing(options, family, ledger.node.addresses, selected)
            parts.append(f"# {family.address_type}, mode {mode}, node {node_name}\n{listed}")
    if not parts:
        note("no Service has an address")
    return "\n".join(parts)


def _ledger(manifests: Manifests, node_name: str, family: Family, note: Note) -> Ledger:
    def report(service: Service, reason: str, sentence: str) -> None:
        note(f"Service {service.metadata.namespace}/{service.metadata.name}: {sentence}")

    node = seen(manifests.nodes.get(node_name), node_name, family)
    ledger = Ledger(node, family, report)
    for key, service in manifests.services.items():
        ledger.service_changed(key, service)
    for key, piece in manifests.slices.items():
        ledger.slice_changed(key, None, piece)
    return ledger
