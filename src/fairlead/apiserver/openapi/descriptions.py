"""Descriptions: what the fields of Services and of all that belongs to them are for, as `kubectl explain` shows it.

Our own words, for the kinds that this project is about; the fields of the others have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CORE, DISCOVERY, NETWORKING = "k8s.io.api.core.v1.", "k8s.io.api.discovery.v1.", "k8s.io.api.networking.v1."

ITSELF = ""
"""Stands for the type, where the others are names of its fields."""

METADATA = "Its name, namespace, labels, annotations, owners."
PROTOCOL = "TCP (the default), UDP or SCTP."
APP_PROTOCOL = (
    "What is spoken over it: a name of IANA's, kubernetes.io/h2c, /ws, /wss, or one with a prefix of its own."
)

DESCRIPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        f"{CORE}Service": {
            ITSELF: (
                "One address and a set of ports for the pods that a selector names, or for whatever its "
                "EndpointSlices hold."
            ),
            "metadata": METADATA,
            "spec": "What it offers, to whom, and to which pods it leads.",
            "status": "What a load balancer has given it.",
        },
        f"{CORE}ServiceSpec": {
            "ports": (
                "Its ports; each pair of port and protocol once. Needed unless it is headless or an "
                "ExternalName."
            ),
            "selector": (
                "The labels of the pods that it leads to. Without one, its EndpointSlices are somebody "
                "else's to keep."
            ),
            "clusterIP": (
                "Its first virtual address. Given by the server unless asked for; None makes it headless: "
                "its name leads to the pods themselves. It cannot be changed while it has one."
            ),
            "clusterIPs": (
                "Its virtual addresses, one a family, in the order of ipFamilies. The first is clusterIP."
            ),
            "type": (
                "ClusterIP (the default): reachable in the cluster. NodePort: at a port of every node "
                "too. LoadBalancer: at an address from outside too. ExternalName: another name for "
                "externalName."
            ),
            "externalIPs": "Addresses that nodes take traffic for, though nobody here routes them there.",
            "sessionAffinity": (
                "None (the default): any pod for each connection. ClientIP: the same pod for the same client."
            ),
            "sessionAffinityConfig": "For how long a client keeps its pod.",
            "loadBalancerIP": (
                "Deprecated: the address that a load balancer should give, if it understands that."
            ),
            "loadBalancerSourceRanges": (
                "The networks whose clients may use the load balancer's address. All where it is empty."
            ),
            "loadBalancerClass": (
                "Which implementation gives it an address; the default one where it is absent. It cannot "
                "be changed."
            ),
            "externalName": (
                "The DNS name that it stands for, if its type is ExternalName. Nothing is proxied."
            ),
            "externalTrafficPolicy": (
                "Cluster (the default): traffic from outside may go to pods on other nodes, and loses its "
                "source address. Local: to pods on the node that it came in at, or nowhere."
            ),
            "internalTrafficPolicy": (
                "Cluster (the default): traffic from pods may go to any node. Local: to pods on the same "
                "node, or nowhere."
            ),
            "healthCheckNodePort": (
                "The port of nodes that tells a load balancer whether they have pods for it. Only where "
                "externalTrafficPolicy is Local; it cannot be changed."
            ),
            "publishNotReadyAddresses": (
                "Whether pods that are not ready count too: for peers that find each other by DNS."
            ),
            "ipFamilies": "IPv4, IPv6 or both, the first one first. The first cannot be changed.",
            "ipFamilyPolicy": (
                "SingleStack (the default), PreferDualStack: both families where the cluster has both, or "
                "RequireDualStack."
            ),
            "allocateLoadBalancerNodePorts": (
                "Whether a LoadBalancer has node ports too (the default): not all of them need any."
            ),
            "trafficDistribution": (
                "Which pods are preferred, where there is a choice: PreferSameZone, its older name "
                "PreferClose, or PreferSameNode."
            ),
        },
        f"{CORE}ServicePort": {
            "name": "How it is called in DNS and in EndpointSlices. Needed where there are several.",
            "protocol": PROTOCOL,
            "appProtocol": APP_PROTOCOL,
            "port": "The port of the Service's addresses.",
            "targetPort": (
                "The port of the pods: a number, or the name of a container's port. As `port` where it is "
                "absent."
            ),
            "nodePort": (
                "The port of every node, from 30000 to 32767 if not configured otherwise. Given by the "
                "server unless asked for."
            ),
        },
        f"{CORE}ServiceStatus": {
            "loadBalancer": "What a load balancer has given it.",
            "conditions": "What is to be said about it; one of each type.",
        },
        f"{CORE}LoadBalancerStatus": {
            "ingress": "The addresses or names that lead to it from outside.",
        },
        f"{CORE}LoadBalancerIngress": {
            "ip": "An address.",
            "hostname": "A name, from load balancers that give names.",
            "ipMode": (
                "VIP (the default): traffic arrives with this address, and nodes may take it on the way. "
                "Proxy: traffic arrives at a node's own address, and nodes leave this one alone."
            ),
            "ports": "The ports that were asked for, each with what came of it.",
        },
        f"{CORE}PortStatus": {
            "port": "The port of the Service.",
            "protocol": PROTOCOL,
            "error": "Why it does not work, in a word such as CamelCase or example.com/CamelCase.",
        },
        f"{CORE}SessionAffinityConfig": {
            "clientIP": "How ClientIP affinity works.",
        },
        f"{CORE}ClientIPConfig": {
            "timeoutSeconds": (
                "For how long after its last connection a client keeps its pod: 1 to 86400 s; 10800 s by "
                "default."
            ),
        },
        f"{CORE}Endpoints": {
            ITSELF: (
                "Deprecated for EndpointSlices: all addresses behind the Service of the same name, 1000 "
                "at most."
            ),
            "metadata": METADATA,
            "subsets": "Addresses with the ports that all of them have.",
        },
        f"{CORE}EndpointSubset": {
            "addresses": "Addresses that are ready.",
            "notReadyAddresses": "Addresses that are not ready.",
            "ports": "The ports of each address.",
        },
        f"{CORE}EndpointAddress": {
            "ip": "The address. Not one of loopback or link-local.",
            "hostname": "Its name in DNS, below that of a headless Service.",
            "nodeName": "The node that it is on.",
            "targetRef": "The pod that has it.",
        },
        f"{CORE}EndpointPort": {
            "name": "The name of the Service's port.",
            "port": "The number.",
            "protocol": PROTOCOL,
            "appProtocol": APP_PROTOCOL,
        },
        f"{DISCOVERY}EndpointSlice": {
            ITSELF: "Some of the endpoints of a Service, which its label kubernetes.io/service-name names.",
            "metadata": METADATA,
            "addressType": "IPv4, IPv6 or FQDN: what all its addresses are. It cannot be changed.",
            "endpoints": "The endpoints, 1000 at most.",
            "ports": "The ports of each endpoint, 100 at most. Empty means every port.",
        },
        f"{DISCOVERY}Endpoint": {
            "addresses": "Addresses of this one endpoint, all as good: who reads them takes the first.",
            "conditions": "Whether it takes connections.",
            "hostname": "Its name in DNS, below that of a headless Service.",
            "targetRef": "The pod that it is.",
            "deprecatedTopology": (
                "What v1beta1 had as topology, without what has a field of its own. It can only be read."
            ),
            "nodeName": "The node that it is on.",
            "zone": "The zone that it is in.",
            "hints": "From where it should be used.",
        },
        f"{DISCOVERY}EndpointConditions": {
            "ready": (
                "Whether it takes connections; absent counts as true. False while it terminates, unless "
                "not ready ones are published."
            ),
            "serving": "As ready, but true too for one that terminates and still answers.",
            "terminating": "Whether it is going away.",
        },
        f"{DISCOVERY}EndpointHints": {
            "forZones": "The zones whose clients should use it, 8 at most.",
            "forNodes": "The nodes whose clients should use it, 8 at most.",
        },
        f"{DISCOVERY}ForZone": {
            "name": "The name of the zone.",
        },
        f"{DISCOVERY}ForNode": {
            "name": "The name of the node.",
        },
        f"{DISCOVERY}EndpointPort": {
            "name": "The name of the Service's port; each once.",
            "protocol": PROTOCOL,
            "port": "The number. Absent means every port.",
            "appProtocol": APP_PROTOCOL,
        },
        f"{NETWORKING}ServiceCIDR": {
            ITSELF: "Networks that the virtual addresses of Services are taken from.",
            "metadata": METADATA,
            "spec": "Which networks.",
            "status": "Whether addresses are taken from them.",
        },
        f"{NETWORKING}ServiceCIDRSpec": {
            "cidrs": (
                "One network of a family, or one of each. They cannot be changed, but for a second family "
                "to come."
            ),
        },
        f"{NETWORKING}ServiceCIDRStatus": {
            "conditions": "Ready, while addresses can be taken from it; one of each type.",
        },
        f"{NETWORKING}IPAddress": {
            ITSELF: "An address of a ServiceCIDR that is taken; the address is its name.",
            "metadata": METADATA,
            "spec": "By what it is taken.",
        },
        f"{NETWORKING}IPAddressSpec": {
            "parentRef": "The object that has the address. It cannot be changed.",
        },
        f"{NETWORKING}ParentReference": {
            "group": "The API group of the object; empty for Services.",
            "resource": "The resource of the object, such as services.",
            "namespace": "Its namespace.",
            "name": "Its name.",
        },
    }
)
"""By the full name of a type, of each of its fields; apiVersion and kind are described for all at once."""
