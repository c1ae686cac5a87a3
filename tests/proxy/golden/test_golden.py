"""What each mode makes of a directory of manifests: `MODE.txt` beside them, for people to review.

FAIRLEAD_GOLDEN=write writes the files anew.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from fairlead import libnftables
from fairlead.node import namespaces
from fairlead.proxy import modes
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4
from fairlead.proxy.iptables.commands import find
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.manifests import ManifestError, read
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.ownnode import seen
from fairlead.proxy.preview import preview
from tests.proxy.topology import namespace, root

HERE = Path(__file__).parent
OPTIONS = ProxyOptions(
    LocalPods(("10.244.0.0/16", "fd00:10:244::/48")), service_cidrs=("10.96.0.0/16", "fd00:10:96::/112")
)
NOTES = {
    "shop": [],
    "edge": [
        "Service default/unseen has no clusterIP, which the API server would give it: nothing leads to it",
        "Service default/second: 203.0.113.20:80/TCP is already used by Service default/first, and is left to it",
    ],
}
"""What is said beside the rules."""


def listed(case: str, mode: str) -> tuple[str, list[str]]:
    notes: list[str] = []
    return preview(read(HERE / case), "node1", mode, OPTIONS, notes.append), notes


@pytest.mark.parametrize("mode", modes.MODES)
@pytest.mark.parametrize("case", NOTES)
def test_manifests_become_the_rules_of_the_file(case: str, mode: str) -> None:
    path = HERE / case / f"{mode}.txt"
    rules, notes = listed(case, mode)
    if os.environ.get("FAIRLEAD_GOLDEN") == "write":
        path.write_text(rules)
    assert rules == path.read_text()
    assert notes == NOTES[case]


@root
def test_iptables_takes_the_rules_as_they_are_listed() -> None:
    """And gives the same back."""
    rules, _ = listed("shop", "iptables")
    made = namespace()
    try:
        with namespaces.entered(made):
            find(IPV4).restore(rules)
            saved = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    finally:
        os.close(made)
    added = [line for line in rules.splitlines() if line.startswith("-A ")]
    assert len(added) > 50
    assert sorted(added) == sorted(line for line in saved.splitlines() if line.startswith("-A "))


@root
def test_nftables_holds_the_elements_as_they_are_listed() -> None:
    """Of the maps whose elements nft can show."""
    rules, _ = listed("shop", "nftables")
    manifests = read(HERE / "shop")
    ledger = Ledger(seen(manifests.nodes["node1"], "node1", IPV4))
    for key, service in manifests.services.items():
        ledger.service_changed(key, service)
    for key, piece in manifests.slices.items():
        ledger.slice_changed(key, None, piece)
    made = namespace()
    try:
        with namespaces.entered(made):
            dataplane = modes.load("nftables").dataplane(OPTIONS, IPV4)
            dataplane.node_changed(ledger.node.addresses)
            dataplane.rebuild(ledger.everything)
            dataplane.close()
            for kind, name, count in (
                ("map", "frontends", 8),
                ("map", "endpoints-65536", 6),
                ("set", "sources", 1),
            ):
                shown = libnftables.run(f"list {kind} ip fairlead {name}")
                held = re.findall(r"\d+\.[^,}{]*[\w-]", shown.partition("elements =")[2])
                said = re.findall(rf"^add element ip fairlead {name} {{ (.*) }}$", rules, re.MULTILINE)
                assert len(held) == count
                assert sorted(_numeric(text) for text in held) == sorted(_numeric(text) for text in said)
    finally:
        os.close(made)


def _numeric(text: str) -> str:
    """Without the ways in which nft writes the same."""
    text = text.replace("198.51.100.0/24", "198.51.100.0-198.51.100.255")
    return re.sub(r"0x([0-9a-f]+)", lambda found: str(int(found[1], 16)), " ".join(text.split()))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "kind: [", "a.yaml: while parsing"),
        ("a.yaml", "- 1", "a.yaml: object 1 has no kind"),
        ("a.yaml", "kind: Service", "a.yaml: object 1 has no metadata"),
        ("a.yaml", "kind: Service\nmetadata: {name: a}\nspec: {ports: 3}", "object 1: Expected `array`"),
        ("a.json", '{"kind": "List", "items": [{"kind": "Node", "metadata": 3}]}', "object 1: Expected `object`"),
        ("a.yaml", b"\xff", "a.yaml: 'utf-8' codec"),
        ("a.txt", "", "there is no manifest in it"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_told_with_its_place(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ManifestError) as caught:
        read(tmp_path)
    assert said in str(caught.value)
