"""What every store has to be after whatever happened to Services: reserved is what they hold, each thing once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from fairlead.store import Store, open_store

ADDRESSES = "/ipaddresses.networking.k8s.io/"
NODE_PORTS = "/allocations/nodeports/"


async def check(store: Store) -> None:
    """Holds Services, IPAddresses and node ports against one another, in both directions."""
    services = [json.loads(entry.value) for entry in (await store.range("/services/")).entries]
    held = Counter(address for service in services for address in addresses_of(service["spec"]))
    ports = Counter(number for service in services for number in ports_of(service["spec"]))
    assert not [address for address, times in held.items() if times > 1]
    assert not [number for number, times in ports.items() if times > 1]
    reserved = {}
    for entry in (await store.range(ADDRESSES)).entries:
        parent = json.loads(entry.value)["spec"]["parentRef"]
        reserved[entry.key.removeprefix(ADDRESSES)] = f"{parent['namespace']}/{parent['name']}"
    assert reserved == {
        address: name(service) for service in services for address in addresses_of(service["spec"])
    }
    taken = {
        int(entry.key.removeprefix(NODE_PORTS)): entry.value.decode()
        for entry in (await store.range(NODE_PORTS)).entries
    }
    assert taken == {number: name(service) for service in services for number in ports_of(service["spec"])}


def check_file(directory: Path) -> None:
    """The same for the store of a server that has stopped."""

    async def main() -> None:
        async with await open_store(f"sqlite:{directory / 'store.db'}") as store:
            await check(store)

    uvloop.run(main())


def name(service: dict[str, Any]) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def addresses_of(spec: dict[str, Any]) -> list[str]:
    return [address for address in spec.get("clusterIPs", []) if address != "None"]


def ports_of(spec: dict[str, Any]) -> set[int]:
    numbers = {port.get("nodePort", 0) for port in spec.get("ports", [])}
    assert spec.get("healthCheckNodePort", -1) not in numbers
    return (numbers | {spec.get("healthCheckNodePort", 0)}) - {0}
