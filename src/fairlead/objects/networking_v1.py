"""The types of api.networking.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.core_v1 import TypedLocalObjectReference
from fairlead.objects.meta_v1 import Condition, LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import IntOrString, Object, empty, text, zero


class HTTPIngressPath(Object, frozen=True, kw_only=True):
    path: str = ""
    pathType: str = field(default_factory=text)
    backend: IngressBackend = field(default_factory=lambda: IngressBackend())


class HTTPIngressRuleValue(Object, frozen=True, kw_only=True):
    paths: tuple[HTTPIngressPath, ...] = field(default_factory=empty)


class IPAddress(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "IPAddress")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: IPAddressSpec = field(default_factory=lambda: IPAddressSpec())


class IPAddressList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "IPAddressList")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[IPAddress, ...] = field(default_factory=empty)


class IPAddressSpec(Object, frozen=True, kw_only=True):
    parentRef: ParentReference = field(default_factory=lambda: ParentReference())


class IPBlock(Object, frozen=True, kw_only=True, rename={"except_": "except"}):
    cidr: str = field(default_factory=text)
    except_: tuple[str, ...] = ()


class Ingress(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Ingress")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: IngressSpec = field(default_factory=lambda: IngressSpec())
    status: IngressStatus = field(default_factory=lambda: IngressStatus())


class IngressBackend(Object, frozen=True, kw_only=True):
    service: IngressServiceBackend | None = None
    resource: TypedLocalObjectReference | None = None


class IngressClass(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "IngressClass")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: IngressClassSpec = field(default_factory=lambda: IngressClassSpec())


class IngressClassList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "IngressClassList")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[IngressClass, ...] = field(default_factory=empty)


class IngressClassParametersReference(Object, frozen=True, kw_only=True):
    apiGroup: str | None = None
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)
    scope: str | None = None
    namespace: str | None = None


class IngressClassSpec(Object, frozen=True, kw_only=True):
    controller: str = ""
    parameters: IngressClassParametersReference | None = None


class IngressList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "IngressList")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Ingress, ...] = field(default_factory=empty)


class IngressLoadBalancerIngress(Object, frozen=True, kw_only=True):
    ip: str = ""
    hostname: str = ""
    ports: tuple[IngressPortStatus, ...] = ()


class IngressLoadBalancerStatus(Object, frozen=True, kw_only=True):
    ingress: tuple[IngressLoadBalancerIngress, ...] = ()


class IngressPortStatus(Object, frozen=True, kw_only=True):
    port: int = field(default_factory=zero)
    protocol: str = field(default_factory=text)
    error: str | None = None


class IngressRule(Object, frozen=True, kw_only=True):
    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressRuleValue(Object, frozen=True, kw_only=True):
    http: HTTPIngressRuleValue | None = None


class IngressServiceBackend(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    port: ServiceBackendPort | None = None


class IngressSpec(Object, frozen=True, kw_only=True):
    ingressClassName: str | None = None
    defaultBackend: IngressBackend | None = None
    tls: tuple[IngressTLS, ...] = ()
    rules: tuple[IngressRule, ...] = ()


class IngressStatus(Object, frozen=True, kw_only=True):
    loadBalancer: IngressLoadBalancerStatus = field(default_factory=lambda: IngressLoadBalancerStatus())


class IngressTLS(Object, frozen=True, kw_only=True):
    hosts: tuple[str, ...] = ()
    secretName: str = ""


class NetworkPolicy(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "NetworkPolicy")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: NetworkPolicySpec = field(default_factory=lambda: NetworkPolicySpec())


class NetworkPolicyEgressRule(Object, frozen=True, kw_only=True):
    ports: tuple[NetworkPolicyPort, ...] = ()
    to: tuple[NetworkPolicyPeer, ...] = ()


class NetworkPolicyIngressRule(Object, frozen=True, kw_only=True, rename={"from_": "from"}):
    ports: tuple[NetworkPolicyPort, ...] = ()
    from_: tuple[NetworkPolicyPeer, ...] = ()


class NetworkPolicyList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "NetworkPolicyList")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[NetworkPolicy, ...] = field(default_factory=empty)


class NetworkPolicyPeer(Object, frozen=True, kw_only=True):
    podSelector: LabelSelector | None = None
    namespaceSelector: LabelSelector | None = None
    ipBlock: IPBlock | None = None


class NetworkPolicyPort(Object, frozen=True, kw_only=True):
    protocol: str | None = None
    port: IntOrString | None = None
    endPort: int | None = None


class NetworkPolicySpec(Object, frozen=True, kw_only=True):
    podSelector: LabelSelector | None = None
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()
    policyTypes: tuple[str, ...] = ()


class ParentReference(Object, frozen=True, kw_only=True):
    group: str = ""
    resource: str = field(default_factory=text)
    namespace: str = ""
    name: str = field(default_factory=text)


class ServiceBackendPort(Object, frozen=True, kw_only=True):
    name: str = ""
    number: int = 0


class ServiceCIDR(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ServiceCIDR")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ServiceCIDRSpec = field(default_factory=lambda: ServiceCIDRSpec())
    status: ServiceCIDRStatus = field(default_factory=lambda: ServiceCIDRStatus())


class ServiceCIDRList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ServiceCIDRList")
    apiVersion: str = field(default_factory=lambda: "networking.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ServiceCIDR, ...] = field(default_factory=empty)


class ServiceCIDRSpec(Object, frozen=True, kw_only=True):
    cidrs: tuple[str, ...] = ()


class ServiceCIDRStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
