"""What a lab's cluster has besides its control plane, made through the API as a user would.

The cluster's DNS, and the addresses that load balancers get.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
import yaml

from fairlead.client.api import Api
from fairlead.client.retry import Backoff
from fairlead.lab.addressing import Family
from fairlead.lab.topology import API_PORT
from fairlead.loadbalancer.ipaddresspools import GROUP, RESOURCES, IPAddressPool, definition
from fairlead.objects import core_v1
from fairlead.objects.apiextensions_v1 import CustomResourceDefinition
from fairlead.objects.apps_v1 import Deployment, DeploymentSpec
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    DEPLOYMENTS,
    NODES,
    PODS,
    SERVICEACCOUNTS,
    SERVICES,
    Resource,
    Stored,
)
from fairlead.objects.status import StatusError

T = TypeVar("T", bound=Stored)

NAMESPACE = "kube-system"
DNS_LABELS = {"k8s-app": "kube-dns"}
DNS_SERVICE = "kube-dns"
DNS = "fairlead-dns"
"""The Deployment and the ServiceAccount of the DNS."""
DNS_IMAGE = "fairlead/dns"
POOL = "lab"


def dns_service(families: Sequence[Family]) -> core_v1.Service:
    """The Service of the cluster's DNS, named and labelled as kubeadm does."""
    return core_v1.Service(
        metadata=ObjectMeta(
            name=DNS_SERVICE,
            namespace=NAMESPACE,
            labels={**DNS_LABELS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
            annotations={"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
        ),
        spec=core_v1.ServiceSpec(
            clusterIP=families[0].dns,
            clusterIPs=tuple(family.dns for family in families),
            ipFamilyPolicy="SingleStack" if len(families) == 1 else "RequireDualStack",
            selector=DNS_LABELS,
            ports=(
                core_v1.ServicePort(name="dns", port=53, protocol="UDP", targetPort=53),
                core_v1.ServicePort(name="dns-tcp", port=53, protocol="TCP", targetPort=53),
                core_v1.ServicePort(name="metrics", port=9153, protocol="TCP", targetPort=9153),
            ),
        ),
    )


def dns_deployment(families: Sequence[Family]) -> Deployment:
    """The pods that serve it, which go to another node when theirs goes."""
    return Deployment(
        metadata=ObjectMeta(name=DNS, namespace=NAMESPACE, labels=DNS_LABELS),
        spec=DeploymentSpec(
            replicas=1,
            selector=LabelSelector(matchLabels=DNS_LABELS),
            template=core_v1.PodTemplateSpec(metadata=ObjectMeta(labels=DNS_LABELS), spec=_dns_pod(families)),
        ),
    )


def _dns_pod(families: Sequence[Family]) -> core_v1.PodSpec:
    """A pod that serves it, known by its ServiceAccount's token."""
    return core_v1.PodSpec(
        serviceAccountName=DNS,
        priorityClassName="system-cluster-critical",
        dnsPolicy="Default",
        terminationGracePeriodSeconds=1,
        containers=(
            core_v1.Container(
                name="dns",
                image=DNS_IMAGE,
                env=(
                    # Not by way of the Service, so that names are known as soon as the proxy works.
                    core_v1.EnvVar(name="KUBERNETES_SERVICE_HOST", value=families[0].router),
                    core_v1.EnvVar(name="KUBERNETES_SERVICE_PORT", value=str(API_PORT)),
                    # The host's name servers are not to be reached from a lab, nor is anything that they
                    # know: a name that is not the cluster's does not exist, as a real cluster's DNS would say
                    # of most. REFUSED would be taken for a server that is out of order, and tried again.
                    core_v1.EnvVar(name="FAIRLEAD_DNS_UPSTREAMS", value="nowhere"),
                    core_v1.EnvVar(
                        name="FAIRLEAD_DNS_LISTEN", value=" ".join(f.any_address for f in families)
                    ),
                ),
                ports=(
                    core_v1.ContainerPort(name="dns", containerPort=53, protocol="UDP"),
                    core_v1.ContainerPort(name="dns-tcp", containerPort=53, protocol="TCP"),
                    core_v1.ContainerPort(name="metrics", containerPort=9153, protocol="TCP"),
                ),
                readinessProbe=core_v1.Probe(
                    httpGet=core_v1.HTTPGetAction(path="/ready", port=8181), periodSeconds=1
                ),
            ),
        ),
    )


def pool(families: Sequence[Family]) -> IPAddressPool:
    """The addresses of the lab's load balancers."""
    spec = {"addresses": [family.pool for family in families], "avoidBuggyIPs": True}
    return IPAddressPool(metadata=ObjectMeta(name=POOL), spec=spec)


async def apply(api: Api, families: Sequence[Family]) -> None:
    """Makes what is not there; a store that an earlier lab left has it already."""
    # What takes the longest comes first: until the nodes are there, the DNS's pod can be.
    account = core_v1.ServiceAccount(metadata=ObjectMeta(name=DNS, namespace=NAMESPACE))
    await _ensure(api, SERVICEACCOUNTS, account)
    await _ensure(api, DEPLOYMENTS, dns_deployment(families))
    await _ensure(api, SERVICES, dns_service(families))
    pools = msgspec.convert(yaml.safe_load(definition()), CustomResourceDefinition)
    await _ensure(api, CUSTOMRESOURCEDEFINITIONS, pools)
    await _ensure_pool(api, pool(families))


async def forget(api: Api, nodes: frozenset[str]) -> None:
    """Deletes nodes that an earlier lab on the same store had and this one has not, with their pods.

    Upstream it is the cloud's node controller and the pod garbage collector that do so.
    """
    for node in (await api.list(NODES)).items:
        if node.metadata.name not in nodes:
            await api.delete(NODES, node.metadata.name)
    for pod in (await api.list(PODS)).items:
        if pod.spec is not None and pod.spec.nodeName and pod.spec.nodeName not in nodes:
            meta = pod.metadata
            await api.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0)


async def _ensure(api: Api, resource: Resource[T], wanted: T) -> None:
    try:
        await api.create(resource, wanted, wanted.metadata.namespace)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


async def _ensure_pool(api: Api, wanted: IPAddressPool) -> None:
    """Their definition is served some milliseconds after it was made."""
    backoff = Backoff(0.005, 0.5)
    while True:
        try:
            await _ensure(api, RESOURCES[GROUP], wanted)
            return
        except StatusError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
        await backoff.wait()
