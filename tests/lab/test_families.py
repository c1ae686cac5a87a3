"""Labs of IPv6 alone and of both families: a Service answers in each of them, wherever it is to be reached from.

Two labs of two nodes are all that it costs, about ten seconds: one of both families, one of IPv6 alone, which is an
ordinary user's, has the mode iptables and announces addresses by NDP.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from fairlead.lab.addressing import FAMILIES, Family
from tests.lab.conftest import wait_for
from tests.lab.labs import NOBODY, PODS, WHO_AM_I, Lab, lab_of
from tests.ordinary import user_namespaces
from tests.waiting import LIMIT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="labs of several users need root"),
    user_namespaces,
]

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""
LABS = {
    "ipv4,ipv6": (0, ("--ip-families", "ipv4,ipv6", "--region", "north")),
    "ipv6": (NOBODY, ("--ip-families", "ipv6", "--proxy-mode", "iptables", "--loadbalancer", "l2")),
}
# A question for the addresses (AAAA) of `web`, to a name server; prints how many are in its answer.
ASK_NAME = """
import socket, struct, sys
name = b"".join(bytes((len(part),)) + part.encode() for part in "web.default.svc.cluster.local".split("."))
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    asked = struct.pack(">HHHHHH", 1, 256, 1, 0, 0, 0) + name + b"\\0" + struct.pack(">HH", 28, 1)
    sock.sendto(asked, (sys.argv[1], 53))
    print(struct.unpack(">HHHHHH", sock.recv(512)[:12])[3])
"""


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, list[Family]]]:
    """A lab with two pods behind a Service, and its families in order."""
    uid, options = LABS[request.param]
    with lab_of("families", uid) as made:
        done = made.up("--nodes", "2", "--detach", *options)
        assert done.returncode == 0, done.stderr
        text = "".join(PODS.replace("NUMBER", str(i)) for i in (1, 2)) + SERVICE
        made.kubectl("apply", "-f", "-", text=text)
        made.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", f"--timeout={LIMIT:.0f}s")
        yield made, [FAMILIES[name] for name in request.param.split(",")]


def of(addresses: list[str], family: Family) -> list[str]:
    return [address for address in addresses if ip_address(address).version == family.version]


def host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def answers(made: Lab, where: str, address: str) -> bool:
    return wait_for(lambda: made.ask(where, address)) in ("web-1", "web-2")


def answers_to(made: Lab, server: str) -> str:
    """How many addresses of `web` a name server knows, as a line; "" if it does not answer."""
    return made.exec("pod/web-1", sys.executable, "-c", ASK_NAME, server).stdout


def test_it_answers_in_each_family_from_everywhere(lab: tuple[Lab, list[Family]]) -> None:
    made, families = lab
    service = json.loads(made.kubectl("get", "svc", "web", "-o", "json"))
    port = service["spec"]["ports"][0]["nodePort"]
    assert len(service["spec"]["clusterIPs"]) == len(families)
    for family in families:
        (cluster,) = of(service["spec"]["clusterIPs"], family)
        assert ip_address(cluster) in ip_network(family.services)
        for where in ("pod/web-1", "node/node1", "node/node2"):
            assert answers(made, where, host(cluster))
        assert made.ask("outside", host(cluster)) == ""
        assert answers(made, "outside", f"{host(family.node_address(2))}:{port}")

    def balanced() -> list[str]:
        status = json.loads(made.kubectl("get", "svc", "web", "-o", "json"))["status"]
        return [ingress["ip"] for ingress in status["loadBalancer"].get("ingress", ())]

    addresses = wait_for(lambda: found if len(found := balanced()) == len(families) else [])
    for family in families:
        (address,) = of(addresses, family)
        assert answers(made, "outside", host(address))


def test_pods_and_nodes_have_an_address_of_each_family(lab: tuple[Lab, list[Family]]) -> None:
    made, families = lab
    for pod in json.loads(made.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]:
        number = int(pod["spec"]["nodeName"].removeprefix("node"))
        for family, entry in zip(families, pod["status"]["podIPs"], strict=True):
            assert ip_address(entry["ip"]) in ip_network(family.pod_cidr(number))
        assert [entry["ip"] for entry in pod["status"]["hostIPs"]] == [
            f.node_address(number) for f in families
        ]
    node = json.loads(made.kubectl("get", "node", "node2", "-o", "json"))
    assert node["spec"]["podCIDRs"] == [family.pod_cidr(2) for family in families]
    expected = [("InternalIP", family.node_address(2)) for family in families]
    assert [(a["type"], a["address"]) for a in node["status"]["addresses"]] == [
        *expected,
        ("Hostname", "node2"),
    ]
    region = node["metadata"]["labels"].get("topology.kubernetes.io/region")
    assert region == ("north" if len(families) == 2 else None)


def test_the_dns_answers_in_each_family_and_the_api_to_its_name(lab: tuple[Lab, list[Family]]) -> None:
    made, families = lab
    for family in families:
        wait_for(lambda at=family.dns: answers_to(made, at) == "1\n")  # type: ignore[misc]
    assert answers(made, "pod/web-1", "web")
    said = wait_for(lambda: made.exec("pod/web-1", sys.executable, "-c", WHO_AM_I).stdout)
    assert said == "system:serviceaccount:default:default\n"


def test_removal_leaves_nothing_while_a_node_is_being_added(lab: tuple[Lab, list[Family]]) -> None:
    made, _ = lab
    adding = made.start("lab", "node", "add", "--name", made.name)
    wait_for((made.directory.path / "kubeconfigs/node3.kubeconfig").exists)
    assert "pod default/web-1" in made.down().stdout
    _, said = adding.communicate(timeout=2 * LIMIT)
    assert adding.returncode == 0 or (adding.returncode == 2 and "Traceback" not in said), said
    assert made.leftovers() == []
