"""Where requests that are passed on go, and what is refused: as upstream has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fairlead.apiserver.connect import locations
from fairlead.apiserver.connect.backends import Location
from fairlead.apiserver.requests import Query
from fairlead.objects.codec import decode, encode
from fairlead.objects.core_v1 import EndpointAddress, Endpoints, Node, Pod, Service
from fairlead.objects.status import StatusError


def pod(*containers: str, init: tuple[str, ...] = (), node: str = "n1", ip: str = "10.244.1.2") -> Pod:
    ports = [{"containerPort": 8080}]
    spec = {
        "nodeName": node,
        "containers": [{"name": name, "ports": ports if name == "web" else []} for name in containers],
        "initContainers": [{"name": name} for name in init],
    }
    body = {
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": spec,
        "status": {"podIP": ip, "podIPs": [{"ip": ip}]},
    }
    return decode(Pod, encode(body))


def node(port: int = 10250, *addresses: tuple[str, str]) -> Node:
    listed = addresses or (("Hostname", "n1"), ("InternalIP", "192.168.1.10"))
    status = {
        "addresses": [{"type": kind, "address": address} for kind, address in listed],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    return decode(Node, encode({"metadata": {"name": "n1"}, "status": status}))


@contextmanager
def refusal(code: int, said: str) -> Iterator[None]:
    with pytest.raises(StatusError, match=said) as refused:
        yield
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web", ("", "web", "")),
        ("web:80", ("", "web", "80")),
        ("https:web:443", ("https", "web", "443")),
        (":web:http", ("", "web", "http")),
        ("https:web:", ("https", "web", "")),
        ("ftp:web:21", None),
        (":80", None),
        ("a:b:c:d", None),
    ],
)
def test_names_with_scheme_and_port(text: str, found: tuple[str, str, str] | None) -> None:
    assert locations.scheme_name_port(text) == found


@pytest.mark.parametrize(
    ("of", "wanted", "found"),
    [
        (pod("web"), "", "web"),
        (pod("web", init=("first",)), "", "web"),
        (pod("web", "side"), "side", "side"),
        (pod("web", init=("first",)), "first", "first"),
    ],
)
def test_the_container_that_is_meant(of: Pod, wanted: str, found: str) -> None:
    assert locations.container_of(of, wanted) == found


@pytest.mark.parametrize(
    ("of", "wanted", "said"),
    [
        (
            pod("a", "b", init=("i",)),
            "",
            r"a container name must be specified for pod p, choose one of: \[i a b\]",
        ),
        (pod("a"), "x", "container x is not valid for pod p"),
    ],
)
def test_a_container_that_is_not_clear(of: Pod, wanted: str, said: str) -> None:
    with refusal(400, said):
        locations.container_of(of, wanted)


def test_streams_go_to_the_nodes_server() -> None:
    query = Query("command=sh&command=-c&stdin=true&stdout=1&stderr=false&tty=true")
    assert locations.stream(pod("web"), node(10251), "exec", query) == Location(
        "192.168.1.10",
        10251,
        "/exec/ns/p/web",
        "command=sh&command=-c&input=1&output=1&tty=1",
        "https",
        kubelet=True,
    )
    assert locations.stream(pod("web"), node(), "attach", query).target == (
        "/attach/ns/p/web?input=1&output=1&tty=1"
    )
    assert locations.ports(pod("web"), node(), Query("ports=80&ports=81")).target == (
        "/portForward/ns/p?port=80%2C81"
    )
    with refusal(400, "pod p does not have a host assigned"):
        locations.host_of(pod("web", node=""))
    with refusal(500, r"no preferred addresses found; known addresses: \[Hostname:n1\]"):
        locations.kubelet(node(0, ("Hostname", "n1")), "/")
    assert locations.kubelet(node(0), "/").port == 10250


def test_logs_go_there_with_their_options() -> None:
    query = Query("follow=true&previous=false&tailLines=5&timestamps=1&pretty=true")
    assert locations.logs(pod("web"), node(), query).target == (
        "/containerLogs/ns/p/web?follow=true&timestamps=true&tailLines=5"
    )


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of `sinceTime`"),
        ("stream=Other", 422, "supported values"),
        ("stream=Stdout&tailLines=1", 422, "mutually exclusive"),
        ("sinceTime=yesterday", 400, "RFC 3339"),
        ("tailLines=many", 400, "strconv.ParseInt"),
    ],
)
def test_options_of_logs_that_cannot_be(query: str, code: int, said: str) -> None:
    with refusal(code, said):
        locations.logs(pod("web"), node(), Query(query))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("p", Location("10.244.1.2", 8080, "/x", "q=1", node="n1")),
        ("p:81", Location("10.244.1.2", 81, "/x", "q=1", node="n1")),
        ("https:p:81", Location("10.244.1.2", 81, "/x", "q=1", "https", "n1")),
    ],
)
def test_ports_of_pods(name: str, found: Location) -> None:
    assert locations.of_pod(pod("side", "web"), name, "/x", "q=1") == found


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "0.0.0.0"]
)
def test_addresses_that_nothing_is_passed_on_to(address: str) -> None:
    with refusal(400, "address not allowed"):
        locations.of_pod(pod("web", ip=address), "p", "/", "")


def test_ports_of_nodes() -> None:
    assert locations.of_node(node(), "n1", "/healthz", "").kubelet
    assert locations.of_node(node(), "n1:10250", "/healthz", "").kubelet
    other = locations.of_node(node(), "http:n1:9100", "/metrics", "")
    assert (other.scheme, other.port, other.kubelet) == ("http", 9100, False)


def endpoints(*addresses: str) -> Endpoints:
    listed = [{"ip": address, "nodeName": "n1"} for address in addresses]
    subset = {"addresses": listed, "ports": [{"name": "http", "port": 8080}]}
    return decode(Endpoints, encode({"metadata": {"name": "web"}, "subsets": [subset]}))


def test_services_lead_to_their_endpoints() -> None:
    service = decode(
        Service, encode({"spec": {"ports": [{"name": "http", "port": 80}]}, "metadata": {"name": "web"}})
    )
    assert locations.service_port(service, "80") == "http"
    assert locations.service_port(service, "other") == "other"
    with refusal(503, 'no service port 81 found for service "web"'):
        locations.service_port(service, "81")
    two = endpoints("10.0.0.1", "10.0.0.2")
    first = {locations.endpoints_of(two, "web:80", "http")[0][0].ip for _ in range(100)}
    assert first == {"10.0.0.1", "10.0.0.2"}
    address, port = locations.endpoints_of(endpoints("10.0.0.1"), "https:web:80", "http")[0]
    found = locations.of_endpoint(address, port, "https:web:80", "/x", "")
    assert (found.host, found.port, found.scheme, found.node) == ("10.0.0.1", 8080, "https", "n1")
    for none, name in ((None, "web"), (decode(Endpoints, b"{}"), "web"), (endpoints(), "web:x")):
        with refusal(503, f'no endpoints available for service "{name}"'):
            locations.endpoints_of(none, name, "http" if name == "web:x" else "")


@pytest.mark.parametrize(
    ("target", "ip", "valid"),
    [
        ({"kind": "Pod", "name": "p", "namespace": "ns"}, "10.244.1.2", True),
        ({"kind": "Pod", "name": "p", "namespace": "ns"}, "10.244.1.3", False),
        ({"kind": "Pod", "name": "p", "namespace": "other"}, "10.244.1.2", False),
        (None, "10.244.1.2", False),
    ],
)
def test_endpoints_lead_to_pods_alone(target: dict[str, str] | None, ip: str, valid: bool) -> None:
    address = decode(EndpointAddress, encode({"ip": ip, "targetRef": target}))
    assert locations.is_of_pod(address, "ns", pod("web")) is valid
    assert not locations.is_of_pod(address, "ns", None)


@pytest.mark.parametrize(
    ("target", "parts", "found"),
    [
        ("/api/v1/nodes/n1/proxy", 5, ("", "")),
        ("/api/v1/nodes/n1/proxy/", 5, ("/", "")),
        ("/api/v1/nodes/n1/proxy/a%2Fb/?x=/y", 5, ("/a%2Fb/", "x=/y")),
        ("/api/v1/namespaces/ns/pods/p/proxy//a", 7, ("//a", "")),
    ],
)
def test_the_rest_of_a_path_stays_as_it_was_written(target: str, parts: int, found: tuple[str, str]) -> None:
    assert locations.raw_path(target, parts) == found
