"""Services: what is filled in, what is refused and what is warned of, by the field, reason, message that users see.

Each case is a name, what differs from a plain Service, and every sentence that is said of it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects.core_v1 import Service
from fairlead.objects.rules import rules_for

RULES = rules_for(Service)
PORT = {"port": 80}
HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"]}
EXTERNAL_NAME = {"type": "ExternalName", "externalName": "db.example.com", "ports": []}
DUAL = {
    "clusterIP": "10.96.0.9",
    "clusterIPs": ["10.96.0.9", "fd00::9"],
    "ipFamilies": ["IPv4", "IPv6"],
    "ipFamilyPolicy": "RequireDualStack",
}
LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30099}
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MODE = "service.kubernetes.io/topology-mode"
HINTS = "service.kubernetes.io/topology-aware-hints"

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PORT_NUMBER = "must be between 1 and 65535, inclusive"
ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
KEPT = "may not change once set"


def service(meta: dict[str, Any] | None = None, **spec: Any) -> Service:
    """A Service as the API server validates it: defaulted, and with an address."""
    metadata = {"name": "web", "namespace": "default", "resourceVersion": "1"} | (meta or {})
    given = {"ports": [PORT]} | spec
    if given.get("type") != "ExternalName":
        given = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]} | given
    return RULES.default(msgspec.convert({"metadata": metadata, "spec": given}, Service))


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def said(new: Service, old: Service | None = None) -> list[str]:
    return [str(error) for error in RULES.validate(new, old)]


def table(*cases: tuple[Any, ...]) -> pytest.MarkDecorator:
    """The cases as parameters: the first of each is its name, the rest the arguments."""
    names = [case[0] for case in cases]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("case", [case[1:] for case in cases], ids=names)


def port(**fields: Any) -> dict[str, Any]:
    return {"ports": [PORT | fields]}


# ---- what is filled in ----------------------------------------------------------------------------------------------


@table(
    ("type", {}, "type", "ClusterIP"),
    ("type of another kind stays", {"type": "NodePort"}, "type", "NodePort"),
    ("affinity", {}, "sessionAffinity", "None"),
    ("no affinity, no config", {"sessionAffinityConfig": {"clientIP": {}}}, "sessionAffinityConfig", None),
    (
        "affinity's timeout",
        {"sessionAffinity": "ClientIP"},
        "sessionAffinityConfig",
        {"clientIP": {"timeoutSeconds": 10800}},
    ),
    (
        "affinity's timeout in an empty config",
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {}}},
        "sessionAffinityConfig",
        {"clientIP": {"timeoutSeconds": 10800}},
    ),
    (
        "affinity's timeout that was given",
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
        "sessionAffinityConfig",
        {"clientIP": {"timeoutSeconds": 5}},
    ),
    ("internal policy", {}, "internalTrafficPolicy", "Cluster"),
    ("internal policy of NodePort", {"type": "NodePort"}, "internalTrafficPolicy", "Cluster"),
    ("internal policy of LoadBalancer", {"type": "LoadBalancer"}, "internalTrafficPolicy", "Cluster"),
    ("internal policy that was given", {"internalTrafficPolicy": "Local"}, "internalTrafficPolicy", "Local"),
    ("no internal policy of ExternalName", EXTERNAL_NAME, "internalTrafficPolicy", None),
    ("no external policy inside", {}, "externalTrafficPolicy", None),
    ("external policy of NodePort", {"type": "NodePort"}, "externalTrafficPolicy", "Cluster"),
    ("external policy of LoadBalancer", {"type": "LoadBalancer"}, "externalTrafficPolicy", "Cluster"),
    (
        "external policy with externalIPs",
        {"externalIPs": ["198.51.100.1"]},
        "externalTrafficPolicy",
        "Cluster",
    ),
    ("external policy that was given", LOCAL, "externalTrafficPolicy", "Local"),
    ("no external policy of ExternalName", EXTERNAL_NAME, "externalTrafficPolicy", None),
    ("node ports of a load balancer", {"type": "LoadBalancer"}, "allocateLoadBalancerNodePorts", True),
    (
        "no node ports if it says so",
        {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
        "allocateLoadBalancerNodePorts",
        False,
    ),
    ("that only of load balancers", {"type": "NodePort"}, "allocateLoadBalancerNodePorts", None),
    ("protocol and target", {}, "ports", [{"protocol": "TCP", "port": 80, "targetPort": 80}]),
    ("target 0", port(targetPort=0), "ports", [{"protocol": "TCP", "port": 80, "targetPort": 80}]),
    ("target of no name", port(targetPort=""), "ports", [{"protocol": "TCP", "port": 80, "targetPort": 80}]),
    (
        "target by name",
        port(targetPort="web"),
        "ports",
        [{"protocol": "TCP", "port": 80, "targetPort": "web"}],
    ),
    ("protocol UDP", port(protocol="UDP"), "ports", [{"protocol": "UDP", "port": 80, "targetPort": 80}]),
    ("families are the allocator's", {}, "ipFamilies", None),
    ("the policy is the allocator's", {}, "ipFamilyPolicy", None),
)
def test_what_is_filled_in(case: tuple[dict[str, Any], str, Any]) -> None:
    given, field, expected = case
    assert as_json(service(**given).spec).get(field) == expected


@table(
    ("an address", [{"ip": "192.0.2.1"}], [{"ip": "192.0.2.1", "ipMode": "VIP"}]),
    ("a proxy", [{"ip": "192.0.2.1", "ipMode": "Proxy"}], [{"ip": "192.0.2.1", "ipMode": "Proxy"}]),
    ("a name", [{"hostname": "lb.example.com"}], [{"hostname": "lb.example.com"}]),
)
def test_the_mode_of_an_ingress(case: tuple[list[Any], list[Any]]) -> None:
    given, expected = case
    obj = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": given}}}
    filled = RULES.default(msgspec.convert(obj, Service))
    assert as_json(filled.status.loadBalancer.ingress) == expected


# ---- names and metadata ---------------------------------------------------------------------------------------------


@table(
    ("plain", "web", []),
    ("a leading digit", "1web", []),
    ("only digits", "123", []),
    ("a dash within", "we-b", []),
    ("63 letters", "a" * 63, []),
    ("64 letters", "a" * 64, ["must be no more than 63 bytes"]),
    ("a capital letter", "Web", [LABEL]),
    ("a dot", "we.b", ["must not contain dots"]),
    ("a leading dash", "-web", [LABEL]),
    ("a trailing dash", "web-", [LABEL]),
    ("an underscore", "we_b", [LABEL]),
    ("a letter of no ASCII", "wéb", [LABEL]),
)
def test_names(case: tuple[str, list[str]]) -> None:
    name, expected = case
    assert said(service({"name": name})) == [
        f'metadata.name: Invalid value: "{name}": {message}' for message in expected
    ]


@table(
    ("no name", {"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
    ("no namespace", {"namespace": ""}, ["metadata.namespace: Required value"]),
    ("a namespace that is none", {"namespace": "A"}, [f'metadata.namespace: Invalid value: "A": {LABEL}']),
    ("a label's key", {"labels": {"a b": "c"}}, [f'metadata.labels: Invalid value: "a b": {KEY}']),
    ("a label's value", {"labels": {"a": "b c"}}, [f'metadata.labels: Invalid value: "b c": {VALUE}']),
    (
        "an annotation's key",
        {"annotations": {"a b": ""}},
        [f'metadata.annotations: Invalid value: "a b": {KEY}'],
    ),
    ("a finalizer", {"finalizers": ["a b"]}, [f'metadata.finalizers: Invalid value: "a b": {KEY}']),
    ("topology annotations that agree", {"annotations": {MODE: "Auto", HINTS: "Auto"}}, []),
    ("one topology annotation", {"annotations": {MODE: "Auto"}}, []),
    (
        "topology annotations that do not agree",
        {"annotations": {MODE: "Auto", HINTS: "disabled"}},
        [
            f'metadata.annotations[{MODE}]: Invalid value: "Auto": '
            f"must match annotations[{HINTS}] when both are specified"
        ],
    ),
)
def test_metadata(case: tuple[dict[str, Any], list[str]]) -> None:
    meta, expected = case
    assert said(service(meta)) == expected


# ---- type and ports -------------------------------------------------------------------------------------------------


@table(
    ("ClusterIP", {}, []),
    ("NodePort", {"type": "NodePort"}, []),
    ("LoadBalancer", {"type": "LoadBalancer"}, []),
    ("ExternalName", EXTERNAL_NAME, []),
    ("headless", HEADLESS, []),
    ("headless without ports", HEADLESS | {"ports": []}, []),
    (
        "an unknown type",
        {"type": "Cluster"},
        [
            'spec.type: Unsupported value: "Cluster": supported values: '
            '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
        ],
    ),
    ("no ports", {"ports": []}, ["spec.ports: Required value"]),
    ("NodePort without ports", {"type": "NodePort", "ports": []}, ["spec.ports: Required value"]),
    ("LoadBalancer without ports", {"type": "LoadBalancer", "ports": []}, ["spec.ports: Required value"]),
    (
        "headless NodePort",
        HEADLESS | {"type": "NodePort"},
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
    (
        "headless LoadBalancer",
        HEADLESS | {"type": "LoadBalancer"},
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"],
    ),
    (
        "ExternalName without a name",
        {"type": "ExternalName", "ports": []},
        ["spec.externalName: Required value"],
    ),
    ("ExternalName with ports", EXTERNAL_NAME | {"ports": [PORT]}, []),
    ("ExternalName with a trailing dot", EXTERNAL_NAME | {"externalName": "db.example.com."}, []),
    ("ExternalName of one dot", EXTERNAL_NAME | {"externalName": "."}, ["spec.externalName: Required value"]),
    (
        "ExternalName with two trailing dots",
        EXTERNAL_NAME | {"externalName": "db.example.com.."},
        [f'spec.externalName: Invalid value: "db.example.com.": {SUBDOMAIN}'],
    ),
    (
        "ExternalName with capital letters",
        EXTERNAL_NAME | {"externalName": "DB.example.com"},
        [f'spec.externalName: Invalid value: "DB.example.com": {SUBDOMAIN}'],
    ),
    ("ExternalName that is an address", EXTERNAL_NAME | {"externalName": "10.0.0.1"}, []),
    (
        "ExternalName with addresses",
        EXTERNAL_NAME | {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]},
        ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
    ),
    (
        "ExternalName that is headless",
        EXTERNAL_NAME | HEADLESS,
        ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
    ),
    (
        "ExternalName with families",
        EXTERNAL_NAME | {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
        [
            "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
        ],
    ),
    ("an external name where it means nothing", {"externalName": "Not A Name"}, []),
    ("selector", {"selector": {"app": "web"}}, []),
    ("selector's key", {"selector": {"a b": "c"}}, [f'spec.selector: Invalid value: "a b": {KEY}']),
    ("selector's value", {"selector": {"a": "b c"}}, [f'spec.selector: Invalid value: "b c": {VALUE}']),
    ("publishNotReadyAddresses", {"publishNotReadyAddresses": True}, []),
)
def test_type(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(service(**spec)) == expected


@table(
    ("the least", port(port=1, targetPort=1), []),
    ("the most", port(port=65535, targetPort=65535), []),
    (
        "port 0",
        port(port=0, targetPort=1),
        [f"spec.ports[0].port: Invalid value: 0: {PORT_NUMBER}"],
    ),
    (
        "a negative port",
        port(port=-1, targetPort=1),
        [f"spec.ports[0].port: Invalid value: -1: {PORT_NUMBER}"],
    ),
    (
        "a port that is too large, and its target with it",
        port(port=70000),
        [
            f"spec.ports[0].port: Invalid value: 70000: {PORT_NUMBER}",
            f"spec.ports[0].targetPort: Invalid value: 70000: {PORT_NUMBER}",
        ],
    ),
    (
        "a target that is too large",
        port(targetPort=65536),
        [f"spec.ports[0].targetPort: Invalid value: 65536: {PORT_NUMBER}"],
    ),
    (
        "a negative target",
        port(targetPort=-1),
        [f"spec.ports[0].targetPort: Invalid value: -1: {PORT_NUMBER}"],
    ),
    ("a target by name", port(targetPort="http-web"), []),
    (
        "a target's name that is too long",
        port(targetPort="a" * 16),
        [f'spec.ports[0].targetPort: Invalid value: "{"a" * 16}": must be no more than 15 bytes'],
    ),
    (
        "a target's name without a letter",
        port(targetPort="123"),
        ['spec.ports[0].targetPort: Invalid value: "123": must contain at least one letter (a-z)'],
    ),
    (
        "a target's name with two dashes",
        port(targetPort="a--b"),
        ['spec.ports[0].targetPort: Invalid value: "a--b": must not contain consecutive hyphens'],
    ),
    (
        "a target's name that begins with a dash",
        port(targetPort="-a"),
        ['spec.ports[0].targetPort: Invalid value: "-a": must not begin or end with a hyphen'],
    ),
    (
        "a target's name with capital letters",
        port(targetPort="Web"),
        [
            'spec.ports[0].targetPort: Invalid value: "Web": '
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        ],
    ),
    ("UDP", port(protocol="UDP"), []),
    ("SCTP", port(protocol="SCTP"), []),
    (
        "a protocol that is none",
        port(protocol="ICMP"),
        ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        "a protocol in small letters",
        port(protocol="tcp"),
        ['spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'],
    ),
    ("a name", port(name="http"), []),
    ("a name that begins with a digit", port(name="1st"), []),
    ("a name of 63 letters", port(name="a" * 63), []),
    (
        "a name of 64 letters",
        port(name="a" * 64),
        [f'spec.ports[0].name: Invalid value: "{"a" * 64}": must be no more than 63 bytes'],
    ),
    ("a name with capitals", port(name="HTTP"), [f'spec.ports[0].name: Invalid value: "HTTP": {LABEL}']),
    (
        "a name with a dot",
        port(name="a.b"),
        ['spec.ports[0].name: Invalid value: "a.b": must not contain dots'],
    ),
    ("appProtocol", port(appProtocol="http"), []),
    ("appProtocol of a domain", port(appProtocol="kubernetes.io/h2c"), []),
    (
        "appProtocol with a space",
        port(appProtocol="h 2"),
        [f'spec.ports[0].appProtocol: Invalid value: "h 2": {KEY}'],
    ),
    (
        "appProtocol of nothing",
        port(appProtocol=""),
        [
            'spec.ports[0].appProtocol: Invalid value: "": name part must be non-empty',
            f'spec.ports[0].appProtocol: Invalid value: "": {KEY}',
        ],
    ),
    (
        "a node port inside",
        port(nodePort=30080),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    ("a node port", port(nodePort=30080) | {"type": "NodePort"}, []),
    ("a load balancer's node port", port(nodePort=30080) | {"type": "LoadBalancer"}, []),
)
def test_one_port(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(service(**spec)) == expected


@table(
    ("names", [{"name": "a", "port": 80}, {"name": "b", "port": 81}], []),
    (
        "names are missing",
        [{"port": 80}, {"port": 81}],
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ),
    (
        "one name is missing",
        [{"port": 80, "name": "a"}, {"port": 81}],
        ["spec.ports[1].name: Required value"],
    ),
    (
        "one name twice",
        [{"name": "a", "port": 80}, {"name": "a", "port": 81}],
        ['spec.ports[1].name: Duplicate value: "a"'],
    ),
    (
        "one port twice",
        [{"name": "a", "port": 80}, {"name": "b", "port": 80, "targetPort": 8080}],
        [
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
            '"NodePort":0}'
        ],
    ),
    (
        "one port for two protocols",
        [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}],
        [],
    ),
    (
        "one target twice",
        [{"name": "a", "port": 80, "targetPort": 1}, {"name": "b", "port": 81, "targetPort": 1}],
        [],
    ),
    (
        "one node port twice",
        [{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81, "nodePort": 30001}],
        ["spec.ports[1].nodePort: Duplicate value: 30001"],
    ),
    (
        "one node port for two protocols",
        [
            {"name": "a", "port": 53, "nodePort": 30001},
            {"name": "b", "port": 53, "nodePort": 30001, "protocol": "UDP"},
        ],
        [],
    ),
)
def test_several_ports(case: tuple[list[dict[str, Any]], list[str]]) -> None:
    ports, expected = case
    assert said(service(type="NodePort", ports=ports)) == expected


# ---- affinity -------------------------------------------------------------------------------------------------------


def timeout(seconds: Any) -> dict[str, Any]:
    return {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}


OUT_OF_BOUNDS = "must be greater than 0 and less than 86400"
SECONDS = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"


@table(
    ("None", {"sessionAffinity": "None"}, []),
    ("ClientIP", {"sessionAffinity": "ClientIP"}, []),
    ("1 s", timeout(1), []),
    ("a day", timeout(86400), []),
    ("0 s", timeout(0), [f"{SECONDS}: Invalid value: 0: {OUT_OF_BOUNDS}"]),
    ("-1 s", timeout(-1), [f"{SECONDS}: Invalid value: -1: {OUT_OF_BOUNDS}"]),
    ("more than a day", timeout(86401), [f"{SECONDS}: Invalid value: 86401: {OUT_OF_BOUNDS}"]),
    (
        "another",
        {"sessionAffinity": "Cookie"},
        ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
    ),
)
def test_affinity(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(service(**spec)) == expected


def undefaulted(**spec: Any) -> Service:
    """A Service as no writer can make one: what is filled in is missing."""
    whole = {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        **spec,
    }
    metadata = {"name": "web", "namespace": "default", "resourceVersion": "1"}
    return msgspec.convert({"metadata": metadata, "spec": whole}, Service)


@table(
    ("type", {"type": ""}, ["spec.type: Required value"]),
    ("affinity", {"sessionAffinity": ""}, ["spec.sessionAffinity: Required value"]),
    (
        "affinity's config",
        {"sessionAffinity": "ClientIP"},
        ["spec.sessionAffinityConfig: Required value: when session affinity type is ClientIP"],
    ),
    (
        "affinity's client",
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {}},
        ["spec.sessionAffinityConfig.clientIP: Required value: when session affinity type is ClientIP"],
    ),
    (
        "affinity's timeout",
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {}}},
        [f"{SECONDS}: Required value: when session affinity type is ClientIP"],
    ),
    (
        "no affinity, though a config",
        {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
        ["spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None"],
    ),
    ("internal policy", {"internalTrafficPolicy": None}, ["spec.internalTrafficPolicy: Required value"]),
    ("external policy", {"type": "NodePort"}, ["spec.externalTrafficPolicy: Required value"]),
    (
        "protocol",
        {"ports": [{"port": 80, "targetPort": 80}]},
        ["spec.ports[0].protocol: Required value"],
    ),
    (
        "target",
        {"ports": [{"port": 80, "protocol": "TCP"}]},
        [f"spec.ports[0].targetPort: Invalid value: 0: {PORT_NUMBER}"],
    ),
    (
        "whether a load balancer has node ports",
        {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"},
        ["allocateLoadBalancerNodePorts: Required value"],
    ),
    (
        "the port of a health check",
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": True},
        ["spec.healthCheckNodePort: Required value"],
    ),
)
def test_what_may_not_be_missing(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(undefaulted(**spec)) == expected


# ---- addresses and families -----------------------------------------------------------------------------------------


@table(
    ("one", {}, []),
    ("one with its family", {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}, []),
    ("two", DUAL, []),
    (
        "two the other way round",
        DUAL
        | {"clusterIP": "fd00::9", "clusterIPs": ["fd00::9", "10.96.0.9"], "ipFamilies": ["IPv6", "IPv4"]},
        [],
    ),
    ("headless of two families", HEADLESS | {"ipFamilies": ["IPv6", "IPv4"]}, []),
    ("none, neither singular nor plural", {"clusterIP": "", "clusterIPs": []}, []),
    ("only the singular", {"clusterIPs": []}, ["spec.clusterIPs: Required value"]),
    (
        "only the plural",
        {"clusterIP": ""},
        ['spec.clusterIPs: Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified'],
    ),
    (
        "singular and plural differ",
        {"clusterIP": "10.96.0.8"},
        ['spec.clusterIPs: Invalid value: ["10.96.0.9"]: first value must match `clusterIP`'],
    ),
    (
        "no address",
        {"clusterIP": "web", "clusterIPs": ["web"]},
        [f'spec.clusterIPs[0]: Invalid value: "web": {NO_IP}'],
    ),
    (
        "half an address",
        {"clusterIP": "10.96.0", "clusterIPs": ["10.96.0"]},
        [f'spec.clusterIPs[0]: Invalid value: "10.96.0": {NO_IP}'],
    ),
    (
        "an address with a prefix",
        {"clusterIP": "10.96.0.0/16", "clusterIPs": ["10.96.0.0/16"]},
        [f'spec.clusterIPs[0]: Invalid value: "10.96.0.0/16": {NO_IP}'],
    ),
    (
        "leading zeros",
        {"clusterIP": "10.96.0.09", "clusterIPs": ["10.96.0.09"]},
        ['spec.clusterIPs[0]: Invalid value: "10.96.0.09": must not have leading 0s'],
    ),
    (
        "IPv4 within IPv6",
        {"clusterIP": "::ffff:10.96.0.9", "clusterIPs": ["::ffff:10.96.0.9"]},
        ['spec.clusterIPs[0]: Invalid value: "::ffff:10.96.0.9": must not be an IPv4-mapped IPv6 address'],
    ),
    (
        "an IPv6 address in a long form is accepted",
        {"clusterIP": "FD00::0009", "clusterIPs": ["FD00::0009"]},
        [],
    ),
    (
        "None and another",
        {"clusterIP": "None", "clusterIPs": ["None", "10.96.0.9"]},
        ['spec.clusterIPs: Invalid value: ["None","10.96.0.9"]: \'None\' must be the first and only value'],
    ),
    (
        "None in the second place",
        {"clusterIPs": ["10.96.0.9", "None"]},
        [f'spec.clusterIPs[1]: Invalid value: "None": {NO_IP}'],
    ),
    (
        "none in small letters",
        {"clusterIP": "none", "clusterIPs": ["none"]},
        [f'spec.clusterIPs[0]: Invalid value: "none": {NO_IP}'],
    ),
    (
        "two of one family",
        {"clusterIPs": ["10.96.0.9", "10.96.0.10"]},
        [
            'spec.clusterIPs: Invalid value: ["10.96.0.9","10.96.0.10"]: '
            "may specify no more than one IP for each IP family"
        ],
    ),
    (
        "three",
        {"clusterIPs": ["10.96.0.9", "fd00::9", "fd00::a"]},
        [
            'spec.clusterIPs: Invalid value: ["10.96.0.9","fd00::9","fd00::a"]: may only hold up to 2 values',
        ],
    ),
    (
        "a family that is none",
        {"ipFamilies": ["IPv5"]},
        ['spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'],
    ),
    ("a family twice", {"ipFamilies": ["IPv4", "IPv4"]}, ['spec.ipFamilies[1]: Duplicate value: "IPv4"']),
    (
        "a policy that is none",
        {"ipFamilyPolicy": "DualStack"},
        [
            'spec.ipFamilyPolicy: Unsupported value: "DualStack": supported values: '
            '"PreferDualStack", "RequireDualStack", "SingleStack"'
        ],
    ),
    (
        "IPv4 where IPv6 is said",
        {"ipFamilies": ["IPv6"]},
        [
            'spec.clusterIPs[0]: Invalid value: "10.96.0.9": '
            "expected an IPv6 value as indicated by `ipFamilies[0]`"
        ],
    ),
    (
        "both the other way round",
        DUAL | {"ipFamilies": ["IPv6", "IPv4"]},
        [
            'spec.clusterIPs[0]: Invalid value: "10.96.0.9": '
            "expected an IPv6 value as indicated by `ipFamilies[0]`",
            'spec.clusterIPs[1]: Invalid value: "fd00::9": expected an IPv4 value as indicated by `ipFamilies[1]`',
        ],
    ),
)
def test_addresses(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(service(**spec)) == expected


@table(
    ("IPv4", "198.51.100.1", []),
    ("IPv6", "2001:db8::1", []),
    ("private", "10.0.0.1", []),
    ("multicast beyond the link", "239.0.0.1", []),
    ("no address", "example.com", [NO_IP]),
    ("nothing", "", [NO_IP]),
    ("a zone", "fe80::1%eth0", [NO_IP]),
    ("leading zeros", "198.51.100.01", ["must not have leading 0s"]),
    ("IPv4 within IPv6", "::ffff:198.51.100.1", ["must not be an IPv4-mapped IPv6 address"]),
    ("unspecified", "0.0.0.0", ["may not be unspecified (0.0.0.0)"]),
    ("unspecified of IPv6", "::", ["may not be unspecified (::)"]),
    ("loopback", "127.0.0.1", ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]),
    ("loopback of IPv6", "::1", ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]),
    ("link-local", "169.254.1.1", ["may not be in the link-local range (169.254.0.0/16, fe80::/10)"]),
    ("link-local of IPv6", "fe80::1", ["may not be in the link-local range (169.254.0.0/16, fe80::/10)"]),
    (
        "multicast of the link",
        "224.0.0.1",
        ["may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
    ),
    (
        "multicast of the link in IPv6",
        "ff02::1",
        ["may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
    ),
)
def test_external_addresses(case: tuple[str, list[str]]) -> None:
    address, expected = case
    found = said(service(externalIPs=["198.51.100.9", address]))
    assert found == [f'spec.externalIPs[1]: Invalid value: "{address}": {message}' for message in expected]


# ---- load balancers and traffic -------------------------------------------------------------------------------------


@table(
    ("IPv4", "10.0.0.0/8", []),
    ("IPv6", "2001:db8::/32", []),
    ("everything", "0.0.0.0/0", []),
    ("one address", "10.0.0.1/32", []),
    ("padded with spaces", " 10.0.0.0/8 ", []),
    ("IPv6 in a long form", "2001:0DB8::/32", []),
    ("no prefix", "10.0.0.0", [NO_CIDR]),
    ("nothing", "", [NO_CIDR]),
    ("a prefix that is too long", "10.0.0.0/33", [NO_CIDR]),
    ("a negative prefix", "10.0.0.0/-1", [NO_CIDR]),
    ("a prefix with a sign", "10.0.0.0/+8", [NO_CIDR]),
    ("a name", "example.com/8", [NO_CIDR]),
    ("leading zeros", "010.0.0.0/8", ["must not have leading 0s in IP or prefix length"]),
    ("leading zeros in the prefix", "10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
    ("bits beyond the prefix", "10.0.0.1/8", ["must not have bits set beyond the prefix length"]),
    ("IPv4 within IPv6", "::ffff:10.0.0.0/104", ["must not have an IPv4-mapped IPv6 address"]),
)
def test_source_ranges(case: tuple[str, list[str]]) -> None:
    text, expected = case
    by_field = said(service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24", text]))
    shown = text.strip()
    assert by_field == [
        f'spec.LoadBalancerSourceRanges[1]: Invalid value: "{shown}": {message}' for message in expected
    ]
    by_annotation = said(service({"annotations": {RANGES: f"192.0.2.0/24,{text}"}}, type="LoadBalancer"))
    assert by_annotation == [
        f'metadata.annotations[{RANGES}]: Invalid value: "{shown}": {message}' for message in expected
    ]


@table(
    (
        "ranges elsewhere",
        {},
        {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
        [f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY_BALANCED}"],
    ),
    (
        "the annotation elsewhere",
        {"annotations": {RANGES: "10.0.0.0/8"}},
        {},
        [f"metadata.annotations[{RANGES}]: Forbidden: {ONLY_BALANCED}"],
    ),
    ("an empty annotation", {"annotations": {RANGES: " "}}, {"type": "LoadBalancer"}, []),
    (
        "the field wins over a bad annotation",
        {"annotations": {RANGES: "nonsense"}},
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
        [],
    ),
    ("a class", {}, {"type": "LoadBalancer", "loadBalancerClass": "example.com/fast"}, []),
    ("a class without a domain", {}, {"type": "LoadBalancer", "loadBalancerClass": "fast"}, []),
    (
        "a class that is no name",
        {},
        {"type": "LoadBalancer", "loadBalancerClass": "very fast"},
        [f'spec.loadBalancerClass: Invalid value: "very fast": {KEY}'],
    ),
    (
        "a class elsewhere",
        {},
        {"loadBalancerClass": "example.com/fast"},
        [f"spec.loadBalancerClass: Forbidden: {ONLY_BALANCED}"],
    ),
    (
        "whether to have node ports, elsewhere",
        {},
        {"allocateLoadBalancerNodePorts": True},
        [f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY_BALANCED}"],
    ),
    (
        "that of NodePort as well",
        {},
        {"type": "NodePort", "allocateLoadBalancerNodePorts": False},
        [f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY_BALANCED}"],
    ),
    ("an address of any form", {}, {"type": "LoadBalancer", "loadBalancerIP": "not an address"}, []),
    ("an address elsewhere", {}, {"loadBalancerIP": "192.0.2.1"}, []),
)
def test_load_balancers(case: tuple[dict[str, Any], dict[str, Any], list[str]]) -> None:
    meta, spec, expected = case
    assert said(service(meta, **spec)) == expected


NOT_OUTSIDE = "may only be set for externally-accessible services"
NO_CHECK = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"


@table(
    ("Local of NodePort", {"type": "NodePort", "externalTrafficPolicy": "Local"}, []),
    ("Local with externalIPs", {"externalIPs": ["198.51.100.1"], "externalTrafficPolicy": "Local"}, []),
    ("Local with a health check", LOCAL, []),
    (
        "Local inside",
        {"externalTrafficPolicy": "Local"},
        [f'spec.externalTrafficPolicy: Invalid value: "Local": {NOT_OUTSIDE}'],
    ),
    (
        "Cluster inside",
        {"externalTrafficPolicy": "Cluster"},
        [f'spec.externalTrafficPolicy: Invalid value: "Cluster": {NOT_OUTSIDE}'],
    ),
    (
        "Local of ExternalName",
        EXTERNAL_NAME | {"externalTrafficPolicy": "Local"},
        [f'spec.externalTrafficPolicy: Invalid value: "Local": {NOT_OUTSIDE}'],
    ),
    (
        "an external policy that is none",
        {"type": "NodePort", "externalTrafficPolicy": "Near"},
        ['spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
    ),
    (
        "a health check under Cluster",
        {"type": "LoadBalancer", "healthCheckNodePort": 30099},
        [f"spec.healthCheckNodePort: Invalid value: 30099: {NO_CHECK}"],
    ),
    (
        "a health check of NodePort",
        {"type": "NodePort", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30099},
        [f"spec.healthCheckNodePort: Invalid value: 30099: {NO_CHECK}"],
    ),
    (
        "a health check that is no port",
        LOCAL | {"healthCheckNodePort": 70000},
        [f"spec.healthCheckNodePort: Invalid value: 70000: {PORT_NUMBER}"],
    ),
    ("internal Local", {"internalTrafficPolicy": "Local"}, []),
    (
        "an internal policy that is none",
        {"internalTrafficPolicy": "Near"},
        ['spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
    ),
    ("an internal policy of ExternalName", EXTERNAL_NAME | {"internalTrafficPolicy": "Cluster"}, []),
    ("PreferClose", {"trafficDistribution": "PreferClose"}, []),
    ("PreferSameZone", {"trafficDistribution": "PreferSameZone"}, []),
    ("PreferSameNode", {"trafficDistribution": "PreferSameNode"}, []),
    (
        "a distribution that is none",
        {"trafficDistribution": "Nearby"},
        [
            'spec.trafficDistribution: Unsupported value: "Nearby": '
            'supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'
        ],
    ),
    (
        "a distribution of nothing",
        {"trafficDistribution": ""},
        [
            'spec.trafficDistribution: Unsupported value: "": '
            'supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'
        ],
    ),
)
def test_traffic(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert said(service(**spec)) == expected


# ---- what may change ------------------------------------------------------------------------------------------------

RELEASE = "must be set to 'SingleStack' when releasing the secondary"
SIX = {
    "clusterIP": "fd00::9",
    "clusterIPs": ["fd00::9"],
    "ipFamilies": ["IPv6"],
    "ipFamilyPolicy": "SingleStack",
}
FOUR = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}


@table(
    ("nothing", {}, {}, []),
    ("ports", {}, port(port=81), []),
    ("type to NodePort", {}, {"type": "NodePort"}, []),
    ("type to LoadBalancer", {}, {"type": "LoadBalancer"}, []),
    ("type to ExternalName", {}, EXTERNAL_NAME, []),
    ("type from ExternalName", EXTERNAL_NAME, {}, []),
    ("selector", {"selector": {"a": "b"}}, {"selector": {"a": "c"}}, []),
    (
        "address",
        {},
        {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]},
        [f'spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: {KEPT}'],
    ),
    ("address to none", {}, HEADLESS, [f'spec.clusterIPs[0]: Invalid value: ["None"]: {KEPT}']),
    ("none to an address", HEADLESS, {}, [f'spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: {KEPT}']),
    (
        "address taken away",
        {},
        {"clusterIP": "", "clusterIPs": []},
        ["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"],
    ),
    ("a second address", FOUR, DUAL, []),
    (
        "second address changed",
        DUAL,
        DUAL | {"clusterIPs": ["10.96.0.9", "fd00::a"]},
        [f'spec.clusterIPs[1]: Invalid value: ["10.96.0.9","fd00::a"]: {KEPT}'],
    ),
    ("second address and family released", DUAL, FOUR, []),
    (
        "second released without a policy that says so",
        DUAL,
        FOUR | {"ipFamilyPolicy": "PreferDualStack"},
        [
            f'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": {RELEASE} clusterIP',
            f'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": {RELEASE} ipFamily',
        ],
    ),
    (
        "first address released instead",
        DUAL,
        SIX,
        [
            f'spec.clusterIPs[0]: Invalid value: ["fd00::9"]: {KEPT}',
            f'spec.ipFamilies[0]: Invalid value: ["fd00::9"]: {KEPT}',
        ],
    ),
    (
        "a second address in the first place",
        FOUR,
        DUAL
        | {"clusterIP": "fd00::9", "clusterIPs": ["fd00::9", "10.96.0.9"], "ipFamilies": ["IPv6", "IPv4"]},
        [
            f'spec.clusterIPs[0]: Invalid value: ["fd00::9","10.96.0.9"]: {KEPT}',
            f'spec.ipFamilies[0]: Invalid value: ["fd00::9","10.96.0.9"]: {KEPT}',
        ],
    ),
    (
        "family",
        FOUR,
        SIX,
        [
            f'spec.clusterIPs[0]: Invalid value: ["fd00::9"]: {KEPT}',
            f'spec.ipFamilies[0]: Invalid value: ["IPv6"]: {KEPT}',
        ],
    ),
    (
        "families of a headless one",
        HEADLESS | {"ipFamilies": ["IPv4"]},
        HEADLESS | {"ipFamilies": ["IPv6"]},
        [],
    ),
    (
        "a class",
        {"type": "LoadBalancer", "loadBalancerClass": "a"},
        {"type": "LoadBalancer", "loadBalancerClass": "b"},
        [f'spec.loadBalancerClass: Invalid value: "b": {KEPT}'],
    ),
    (
        "a class given later",
        {"type": "LoadBalancer"},
        {"type": "LoadBalancer", "loadBalancerClass": "b"},
        [f'spec.loadBalancerClass: Invalid value: "b": {KEPT}'],
    ),
    (
        "a class taken away",
        {"type": "LoadBalancer", "loadBalancerClass": "a"},
        {"type": "LoadBalancer"},
        [f"spec.loadBalancerClass: Invalid value: null: {KEPT}"],
    ),
    ("a class with the type", {"type": "NodePort"}, {"type": "LoadBalancer", "loadBalancerClass": "b"}, []),
    (
        "the health check's port",
        LOCAL,
        LOCAL | {"healthCheckNodePort": 30100},
        ["spec.healthCheckNodePort: Forbidden: field is immutable"],
    ),
    (
        "an old form of an external address",
        {"externalIPs": ["010.1.2.3"]},
        {"externalIPs": ["010.1.2.3"]},
        [],
    ),
    (
        "an old form in another place",
        {"externalIPs": ["010.1.2.3"]},
        {"externalIPs": ["192.0.2.1", "010.1.2.3"]},
        [],
    ),
    (
        "an old form of another address",
        {"externalIPs": ["010.1.2.3"]},
        {"externalIPs": ["010.1.2.4"]},
        ['spec.externalIPs[0]: Invalid value: "010.1.2.4": must not have leading 0s'],
    ),
    (
        "an old form does not make an unreachable address good",
        {"externalIPs": ["127.0.0.01"]},
        {"externalIPs": ["127.0.0.01"]},
        [
            'spec.externalIPs[0]: Invalid value: "127.0.0.01": '
            "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        ],
    ),
    (
        "an old form of a cluster address",
        {"clusterIP": "010.96.0.9", "clusterIPs": ["010.96.0.9"]},
        {"clusterIP": "010.96.0.9", "clusterIPs": ["010.96.0.9"]},
        [],
    ),
    (
        "an old form of a range",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]},
        {"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.1/8"]},
        [],
    ),
)
def test_changes(case: tuple[dict[str, Any], dict[str, Any], list[str]]) -> None:
    before, after, expected = case
    assert said(service(**after), service(**before)) == expected


@table(
    ("uid", {"uid": "a"}, {"uid": "b"}, ['metadata.uid: Invalid value: "b": field is immutable']),
    ("name", {}, {"name": "other"}, ['metadata.name: Invalid value: "other": field is immutable']),
    (
        "no version",
        {},
        {"resourceVersion": ""},
        ['metadata.resourceVersion: Invalid value: "": must be specified for an update'],
    ),
    ("labels", {"labels": {"a": "b"}}, {"labels": {"a": "c"}}, []),
    ("a bad old annotation of ranges", {"annotations": {RANGES: "x"}}, {"annotations": {RANGES: "x"}}, []),
    (
        "a bad new annotation of ranges",
        {"annotations": {RANGES: "x"}},
        {"annotations": {RANGES: "y"}},
        [f'metadata.annotations[{RANGES}]: Invalid value: "y": {NO_CIDR}'],
    ),
)
def test_changes_of_metadata(case: tuple[dict[str, Any], dict[str, Any], list[str]]) -> None:
    before, after, expected = case
    assert said(service(after, type="LoadBalancer"), service(before, type="LoadBalancer")) == expected


# ---- status ---------------------------------------------------------------------------------------------------------


def balanced(kind: str, ingress: list[dict[str, Any]], conditions: list[Any] | None = None) -> Service:
    plain = service(type=kind)
    status = {"loadBalancer": {"ingress": ingress}, "conditions": conditions or []}
    return msgspec.structs.replace(plain, status=msgspec.convert(status, type(plain.status)))


INGRESS = "status.loadBalancer.ingress"
VIP = {"ip": "192.0.2.1", "ipMode": "VIP"}


@table(
    ("none", "ClusterIP", [], []),
    ("an address", "LoadBalancer", [VIP], []),
    ("a proxy's address", "LoadBalancer", [VIP | {"ipMode": "Proxy"}], []),
    ("an IPv6 address", "LoadBalancer", [VIP | {"ip": "2001:db8::1"}], []),
    ("a name", "LoadBalancer", [{"hostname": "lb.example.com"}], []),
    ("ports", "LoadBalancer", [VIP | {"ports": [{"port": 80, "protocol": "TCP", "error": "no"}]}], []),
    ("nothing in it", "LoadBalancer", [{}], []),
    (
        "elsewhere",
        "NodePort",
        [VIP],
        [f"{INGRESS}: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    ),
    (
        "no address",
        "LoadBalancer",
        [VIP | {"ip": "web"}],
        [f'{INGRESS}[0].ip: Invalid value: "web": {NO_IP}'],
    ),
    (
        "leading zeros",
        "LoadBalancer",
        [VIP | {"ip": "192.0.2.01"}],
        [f'{INGRESS}[0].ip: Invalid value: "192.0.2.01": must not have leading 0s'],
    ),
    (
        "no mode",
        "LoadBalancer",
        [{"ip": "192.0.2.1"}],
        [f"{INGRESS}[0].ipMode: Required value: must be specified when `ip` is set"],
    ),
    (
        "a mode without an address",
        "LoadBalancer",
        [{"hostname": "lb.example.com", "ipMode": "VIP"}],
        [f"{INGRESS}[0].ipMode: Forbidden: may not be specified when `ip` is not set"],
    ),
    (
        "a mode that is none",
        "LoadBalancer",
        [VIP | {"ipMode": "Direct"}],
        [f'{INGRESS}[0].ipMode: Unsupported value: "Direct": supported values: "Proxy", "VIP"'],
    ),
    (
        "a name that is none",
        "LoadBalancer",
        [{"hostname": "LB"}],
        [f'{INGRESS}[0].hostname: Invalid value: "LB": {SUBDOMAIN}'],
    ),
    (
        "a name that is an address",
        "LoadBalancer",
        [{"hostname": "192.0.2.1"}],
        [f'{INGRESS}[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address'],
    ),
    (
        "the second of two",
        "LoadBalancer",
        [VIP, VIP | {"ip": "x"}],
        [f'{INGRESS}[1].ip: Invalid value: "x": {NO_IP}'],
    ),
)
def test_status(case: tuple[str, list[dict[str, Any]], list[str]]) -> None:
    kind, ingress, expected = case
    old = balanced(kind, [])
    assert [str(error) for error in RULES.validate_status(balanced(kind, ingress), old)] == expected


def test_an_old_form_of_an_ingress_may_stay() -> None:
    old = balanced("LoadBalancer", [VIP | {"ip": "192.0.2.01"}])
    assert RULES.validate_status(old, old) == []


# ---- warnings -------------------------------------------------------------------------------------------------------

FUTURE = "will be considered invalid in a future Kubernetes release: use"
DEPRECATED = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"


@table(
    ("nothing to say", {}, []),
    (
        "PreferClose",
        {"trafficDistribution": "PreferClose"},
        ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
    ),
    ("PreferSameZone", {"trafficDistribution": "PreferSameZone"}, []),
    ("external addresses", {"externalIPs": ["198.51.100.1"]}, [DEPRECATED]),
    (
        "external addresses in a long form",
        {"externalIPs": ["2001:DB8::1"]},
        [
            'spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
            DEPRECATED,
        ],
    ),
    (
        "external addresses in an old form",
        {"externalIPs": ["010.1.2.3"]},
        [f'spec.externalIPs[0]: non-standard IP address "010.1.2.3" {FUTURE} "10.1.2.3"', DEPRECATED],
    ),
    (
        "external addresses of a headless one",
        HEADLESS | {"externalIPs": ["198.51.100.1"]},
        ["spec.externalIPs is ignored for headless services"],
    ),
    (
        "external addresses of ExternalName",
        EXTERNAL_NAME | {"externalIPs": ["198.51.100.1"]},
        ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
    ),
    (
        "an external name elsewhere",
        {"externalName": "a.b"},
        ['spec.externalName is ignored when spec.type is not "ExternalName"'],
    ),
    (
        "affinity of a headless one",
        HEADLESS | {"sessionAffinity": "ClientIP"},
        ["spec.SessionAffinity is ignored for headless services"],
    ),
    (
        "a balancer's address of a headless one",
        HEADLESS | {"loadBalancerIP": "192.0.2.1"},
        ["spec.loadBalancerIP is ignored for headless services"],
    ),
    ("a balancer's address", {"type": "LoadBalancer", "loadBalancerIP": "192.0.2.1"}, []),
    ("a balancer's address of no form", {"type": "LoadBalancer", "loadBalancerIP": "nonsense"}, []),
    (
        "a balancer's address in a long form",
        {"type": "LoadBalancer", "loadBalancerIP": "2001:db8:0:0::2"},
        [
            'spec.loadBalancerIP: IPv6 address "2001:db8:0:0::2" should be in RFC 5952 canonical format '
            '("2001:db8::2")'
        ],
    ),
    (
        "a balancer's address within IPv6",
        {"type": "LoadBalancer", "loadBalancerIP": "::ffff:192.0.2.1"},
        [f'spec.loadBalancerIP: non-standard IP address "::ffff:192.0.2.1" {FUTURE} "192.0.2.1"'],
    ),
    (
        "a cluster address in a long form",
        {"clusterIP": "FD00::9", "clusterIPs": ["FD00::9"]},
        ['spec.clusterIPs[0]: IPv6 address "FD00::9" should be in RFC 5952 canonical format ("fd00::9")'],
    ),
    (
        "a range in a long form",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["2001:DB8::/32"]},
        [
            'spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format '
            '("2001:db8::/32")'
        ],
    ),
    (
        "a range with bits beyond its prefix",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.1.2.3/8"]},
        [
            'spec.loadBalancerSourceRanges[0]: CIDR value "10.1.2.3/8" is ambiguous in this context '
            '(should be "10.0.0.0/8" or "10.1.2.3/32"?)'
        ],
    ),
    (
        "a range with leading zeros",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["010.0.0.0/8"]},
        [f'spec.loadBalancerSourceRanges[0]: non-standard CIDR value "010.0.0.0/8" {FUTURE} "10.0.0.0/8"'],
    ),
    (
        "a range within IPv6",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["::ffff:192.12.2.0/120"]},
        [
            'spec.loadBalancerSourceRanges[0]: non-standard CIDR value "::ffff:192.12.2.0/120" '
            f'{FUTURE} "192.12.2.0/24"'
        ],
    ),
)
def test_warnings(case: tuple[dict[str, Any], list[str]]) -> None:
    spec, expected = case
    assert RULES.warnings(service(**spec)) == expected


def test_the_old_annotation_of_hints_is_deprecated() -> None:
    [warning] = RULES.warnings(service({"annotations": {HINTS: "Auto"}}))
    assert warning == f"annotation {HINTS} is deprecated, please use {MODE} instead"
