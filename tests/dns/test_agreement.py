"""Every answer of a generated cluster, beside an independent reading of the specification.

The oracle reads the manifests, not our types, and knows nothing of how the zone is kept: it writes down every record
that the specification 1.1.0 (and CoreDNS beyond it) gives, and derives from them which names exist.

FAIRLEAD_DNS_SERVICES says how many Services there are.
"""

from __future__ import annotations

import ipaddress
import os
import random
from collections import defaultdict
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename

from fairlead.dns.answers import Answers
from fairlead.dns.edns import Cookies
from fairlead.dns.responder import Responder
from fairlead.dns.source import EndpointSlice, Service, read
from fairlead.dns.zone import Zone
from tests.dns.cluster import query

SERVICES = int(os.environ.get("FAIRLEAD_DNS_SERVICES", "1500"))
DOMAIN = "cluster.local"
Manifest = dict[str, Any]
Records = dict[tuple[str, str], set[str]]


def generated(count: int, rng: random.Random) -> tuple[list[Manifest], list[Manifest]]:
    """Services of every kind with slices of every kind."""
    services, slices = [], []
    for number in range(count):
        meta = {"name": f"s{number}", "namespace": f"ns{number % 7}"}
        kind = rng.choice(["cluster", "cluster", "headless", "external", "dual"])
        ports = [
            {"name": name, "port": 80 + i, "protocol": rng.choice(["TCP", "UDP", "SCTP"])}
            for i, name in enumerate(rng.sample(["http", "web-2", "dns", ""], rng.randint(1, 3)))
        ]
        spec: Manifest = {"ports": ports}
        v4, v6 = f"10.96.{number >> 8}.{number & 255}", f"fd00:96::{number:x}"
        if kind == "external":
            spec = {
                "type": "ExternalName",
                "externalName": rng.choice(["db.example.com", "192.0.2.1", "Ex.Org."]),
            }
        elif kind == "headless":
            spec |= {
                "clusterIP": "None",
                "clusterIPs": ["None"],
                "publishNotReadyAddresses": rng.random() < 0.3,
            }
        elif kind == "dual":
            spec |= {"clusterIP": v4, "clusterIPs": [v4, v6]}
        else:
            spec |= {"clusterIP": v4, "clusterIPs": [v4]}
        services.append({"metadata": meta, "spec": spec})
        for piece in range(rng.choice([0, 1, 1, 2])):
            family = rng.choice(["IPv4", "IPv4", "IPv6"]) if kind != "external" else "IPv4"
            slices.append(
                {
                    "metadata": {
                        "name": f"s{number}-{piece}",
                        "namespace": meta["namespace"],
                        "labels": {"kubernetes.io/service-name": meta["name"]},
                    },
                    "addressType": family,
                    "endpoints": [endpoint(rng, number, piece, e, family) for e in range(rng.randint(0, 3))],
                    "ports": [{**port, "port": 8000 + i} for i, port in enumerate(spec.get("ports", ()))],
                }
            )
    return services, slices


def endpoint(rng: random.Random, number: int, piece: int, index: int, family: str) -> Manifest:
    low = 4 * (piece * 4 + index) + number % 4
    found: Manifest = {
        "addresses": [
            f"10.{128 + piece}.{number >> 6 & 255}.{(number & 63) * 4 + index}"
            if family == "IPv4"
            else f"fd00:244:{number:x}::{low:x}"
        ]
    }
    ready = rng.choice([True, True, False, None])
    if ready is not None:
        found["conditions"] = {"ready": ready}
    if rng.random() < 0.3:
        found["hostname"] = f"host-{index}"
    return found


def expected(services: list[Manifest], slices: list[Manifest]) -> Records:
    """Every record: by name and type the data as in a zone file."""
    records: Records = defaultdict(set)
    of_service = defaultdict(list)
    for piece in slices:
        meta = piece["metadata"]
        of_service[meta["namespace"], meta["labels"]["kubernetes.io/service-name"]].append(piece)
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        name = f"{meta['name']}.{meta['namespace']}.svc.{DOMAIN}"
        if spec.get("type") == "ExternalName":
            target = spec["externalName"].rstrip(".").lower()
            if target != "192.0.2.1":
                records[name, "CNAME"].add(f"{target}.")
            continue
        headless = spec["clusterIP"] == "None"
        named = [port for port in spec["ports"] if port["name"]]
        if not headless:
            for text in spec["clusterIPs"]:
                _address(records, name, text)
            for port in named:
                records[_port(port, name), "SRV"].add(f"{port['port']} {name}.")
                records[name, "SRV"].add(f"{port['port']} {name}.")
        for piece in of_service[meta["namespace"], meta["name"]]:
            for one in piece["endpoints"]:
                ready = one.get("conditions", {}).get("ready", True)
                if not ready and not spec.get("publishNotReadyAddresses"):
                    continue
                text = one["addresses"][0]
                label = one.get("hostname") or text.replace(".", "-").replace(":", "-")
                _address(records, f"{label}.{name}", text)
                if headless:
                    records[name, "AAAA" if ":" in text else "A"].add(str(ipaddress.ip_address(text)))
                for port in piece["ports"]:
                    if port["name"]:
                        located = f"{port['port']} {label}.{name}."
                        records[f"{label}.{name}", "SRV"].add(located)
                        if headless:
                            records[_port(port, name), "SRV"].add(located)
                            records[name, "SRV"].add(located)
    return records


def _address(records: Records, name: str, text: str) -> None:
    address = ipaddress.ip_address(text)
    records[name, "A" if address.version == 4 else "AAAA"].add(str(address))
    records[dns.reversename.from_address(text).to_text().rstrip("."), "PTR"].add(f"{name}.")


def _port(port: Manifest, name: str) -> str:
    return f"_{port['name']}._{port['protocol'].lower()}.{name}"


def said(message: dns.message.Message, kind: str) -> set[str]:
    """The data of an answer: of SRV port and target, since the weights follow from their number."""
    wanted = dns.rdatatype.from_text(kind)
    found = set()
    for rrset in message.answer:
        for rdata in rrset:
            if rrset.rdtype == wanted:
                found.add(" ".join(rdata.to_text().split()[2:]) if kind == "SRV" else rdata.to_text())
    return found


def test_every_answer_of_a_large_cluster() -> None:
    rng = random.Random(20_261_125)
    services, slices = generated(SERVICES, rng)
    zone = Zone(DOMAIN)
    objects = [(zone.put_service, Service, m) for m in services]
    pieces = [(zone.put_slice, EndpointSlice, m) for m in slices]
    for put, model, manifest in rng.sample([*objects, *pieces], len(objects) + len(pieces)):
        meta = manifest["metadata"]
        put(f"{meta['namespace']}/{meta['name']}", read(model, manifest))  # type: ignore[operator,arg-type]
    responder = Responder(zone, Answers(), Cookies(b"x"))
    responder.synced()
    records = expected(services, slices)
    # A name exists if it has a record or stands above one that has.
    exists: set[str] = set()
    for name, _ in records:
        parts = name.split(".")
        exists.update(".".join(parts[i:]) for i in range(len(parts)))
    names = {name for name, _ in records}
    names |= {f"{m['metadata']['name']}.{m['metadata']['namespace']}.svc.{DOMAIN}" for m in services}
    names |= {f"nothing.{name}" for name in rng.sample(sorted(names), 500)}
    names |= {n.partition(".")[2] for n in names if n.startswith("_")}
    asked = 0
    for name in sorted(names):
        reverse = name.endswith(".arpa")
        kinds = ["PTR"] if reverse else ["A", "AAAA", "SRV"]
        have = [kind for kind in kinds if (name, kind) in records]
        # What it has, and of the rest one.
        for kind in have + [kind for kind in kinds if kind not in have][:1]:
            answer = responder.respond(query(name, kind).to_wire(), "10.0.0.1", tcp=True)
            assert isinstance(answer, bytes)
            message = dns.message.from_wire(answer)
            alias = records.get((name, "CNAME"))
            if alias:
                assert said(message, "CNAME") == alias, name
                continue
            wanted = records.get((name, kind), set())
            assert said(message, kind) == wanted, (name, kind)
            rcode = dns.rcode.NOERROR if name in exists else dns.rcode.NXDOMAIN
            assert message.rcode() == rcode, (name, kind)
            assert bool(message.authority) != bool(wanted)
            asked += 1
    assert asked > 5 * SERVICES
