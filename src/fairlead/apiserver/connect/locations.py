"""Where a request that is passed on goes, by what the API knows of pods, nodes and endpoints. Pure.

Upstream: pkg/registry/core/pod/strategy.go (ResourceLocation, LogLocation, streamLocation), core/node/strategy.go,
core/service/storage (ResourceLocation), apimachinery/pkg/util/net (SplitSchemeNamePort).
"""

from __future__ import annotations

import ipaddress
import random
from datetime import datetime
from urllib.parse import quote, urlencode

from fairlead.apiserver.connect.backends import Location
from fairlead.apiserver.requests import Query
from fairlead.objects.core_v1 import EndpointAddress, Endpoints, Node, Pod, Service
from fairlead.objects.status import (
    FieldError,
    StatusError,
    bad_request,
    failure,
    forbidden,
    invalid,
    not_supported,
    unprocessable,
)

KUBELET_PORT = 10250
"""The port of a node that names none in its status."""

ADDRESS_TYPES = ("InternalIP", "ExternalIP")
"""The addresses of a node that are used, the best first (kubeadm: --kubelet-preferred-address-types)."""

Parameters = list[tuple[str, str]]


def scheme_name_port(text: str) -> tuple[str, str, str] | None:
    """Takes `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT` apart; None for anything else."""
    parts = text.split(":")
    match len(parts):
        case 1:
            scheme, name, port = "", parts[0], ""
        case 2:
            scheme, (name, port) = "", parts
        case 3:
            scheme, name, port = parts
        case _:
            return None
    return (scheme, name, port) if name and scheme in ("", "http", "https") else None


def container_of(pod: Pod, wanted: str) -> str:
    """The container that is meant. Raises 400 where it is not there, or not clear which of several it is."""
    spec = pod.spec
    names = [
        *(one.name for one in spec.initContainers),
        *(one.name for one in spec.containers),
        *(one.name for one in spec.ephemeralContainers),
    ]
    name = pod.metadata.name
    if wanted:
        if wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(spec.containers) == 1:
        return spec.containers[0].name
    raise bad_request(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        if spec.containers
        else f"a container name must be specified for pod {name}"
    )


def kubelet(node: Node, path: str, parameters: Parameters | str = "") -> Location:
    """A path of a node's own server. Raises 500 for a node without an address."""
    for kind in ADDRESS_TYPES:
        for address in node.status.addresses:
            if address.type == kind:
                return Location(
                    host=address.address,
                    port=node.status.daemonEndpoints.kubeletEndpoint.Port or KUBELET_PORT,
                    path=path,
                    query=parameters if isinstance(parameters, str) else urlencode(parameters),
                    scheme="https",
                    kubelet=True,
                )
    known = [f"{one.type}:{one.address}" for one in node.status.addresses]
    said = f"no preferred addresses found; known addresses: [{' '.join(known)}]"
    raise failure(500, "InternalError", f"Internal error occurred: {said}")


def host_of(pod: Pod) -> str:
    """The name of the pod's node. Raises 400 for a pod that has none yet."""
    if not pod.spec.nodeName:
        raise bad_request(f"pod {pod.metadata.name} does not have a host assigned")
    return pod.spec.nodeName


def stream(pod: Pod, node: Node, part: str, query: Query) -> Location:
    """Where commands are run and containers attached to: `part` is exec or attach. Raises 400."""
    container = container_of(pod, query.text("container"))
    names = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
    parameters = [("command", word) for word in query.all("command")] if part == "exec" else []
    parameters += [(short, "1") for name, short in names.items() if query.flag(name)]
    return kubelet(node, _pod_path(part, pod, container), parameters)


def ports(pod: Pod, node: Node, query: Query) -> Location:
    """Where ports of a pod are forwarded."""
    listed = query.all("ports")
    return kubelet(node, _pod_path("portForward", pod), [("port", ",".join(listed))] if listed else [])


def logs(pod: Pod, node: Node, query: Query) -> Location:
    """Where a container's log is read. Raises 400, and 422 for options that cannot be."""
    container = container_of(pod, query.text("container"))
    check_log_options(pod.metadata.name, query)
    parameters = [(name, "true") for name in ("follow", "previous", "timestamps") if query.flag(name)]
    given = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
    parameters += [(name, query.text(name)) for name in given if query.text(name)]
    return kubelet(node, _pod_path("containerLogs", pod, container), parameters)


def check_log_options(name: str, query: Query) -> None:
    """Raises 422 for options of a log that cannot be, 400 for what cannot be read. Upstream: ValidatePodLogOptions."""
    errors: list[FieldError] = []
    tail, limit, seconds = (query.number(one) for one in ("tailLines", "limitBytes", "sinceSeconds"))
    if tail is not None and tail < 0:
        errors.append(invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        errors.append(invalid("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and query.text("sinceTime"):
        errors.append(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif seconds is not None and seconds < 1:
        errors.append(invalid("sinceSeconds", seconds, "must be greater than 0"))
    kind = query.text("stream") or "All"
    if kind not in ("All", "Stdout", "Stderr"):
        errors.append(not_supported("stream", kind, ("All", "Stdout", "Stderr")))
    elif kind != "All" and tail is not None:
        errors.append(forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    if text := query.text("sinceTime"):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise bad_request(f'parsing time "{text}": it is not in the form of RFC 3339') from None
    if errors:
        raise unprocessable("PodLogOptions", name, errors)


def _pod_path(first: str, pod: Pod, *rest: str) -> str:
    parts = (first, pod.metadata.namespace, pod.metadata.name, *rest)
    return "/" + "/".join(quote(part, safe="") for part in parts)


def of_pod(pod: Pod, name: str, path: str, query: str) -> Location:
    """A port of a pod: the one that is named, or its first. Raises 400."""
    scheme, _, port = split(name, "pod")
    if not port:
        declared = (container.ports for container in pod.spec.containers if container.ports)
        port = next((str(one[0].containerPort) for one in declared), "")
    number = _port(port, scheme)
    return Location(
        proxyable(pod.status.podIP), number, path, query, scheme or "http", node=pod.spec.nodeName
    )


def of_node(node: Node, name: str, path: str, query: str) -> Location:
    """The node's own server, or another port of the node. Raises 400."""
    scheme, _, port = split(name, "node")
    own = kubelet(node, path, query)
    if port in ("", str(own.port)):
        return own
    return Location(proxyable(own.host), _port(port, scheme), path, query, scheme or "http")


def service_port(service: Service, port: str) -> str:
    """The name of the port, which may be given by its number. Raises 503."""
    if not port.isdecimal():
        return port
    for one in service.spec.ports:
        if one.port == int(port):
            return one.name
    name = service.metadata.name
    raise failure(503, "ServiceUnavailable", f'no service port {int(port)} found for service "{name}"')


def endpoints_of(endpoints: Endpoints | None, name: str, port: str) -> list[tuple[EndpointAddress, int]]:
    """A service's ready endpoints with their ports, in an order by chance. `port` is the name of a port. Raises 503."""
    _, service, _ = split(name, "service")
    subsets = endpoints.subsets if endpoints is not None else ()
    found = [
        (address, one.port)
        for subset in subsets
        for one in subset.ports
        if one.name == port
        for address in subset.addresses
    ]
    if not found:
        raise no_endpoints(name if subsets else service)
    random.shuffle(found)
    return found


def no_endpoints(name: str) -> StatusError:
    """503: nobody is behind a service."""
    return failure(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')


def is_of_pod(address: EndpointAddress, namespace: str, pod: Pod | None) -> bool:
    """Whether an endpoint is its pod's address: whoever writes Endpoints may send nobody elsewhere (isValidAddress)."""
    target = address.targetRef
    if target is None or target.namespace != namespace or pod is None:
        return False
    return address.ip in {one.ip for one in pod.status.podIPs}


def of_endpoint(address: EndpointAddress, port: int, name: str, path: str, query: str) -> Location:
    """One of those. Raises 400."""
    scheme, _, _ = split(name, "service")
    return Location(proxyable(address.ip), port, path, query, scheme or "http", node=address.nodeName or "")


def split(text: str, what: str) -> tuple[str, str, str]:
    """Scheme, name and port. Raises 400."""
    found = scheme_name_port(text)
    if found is None:
        raise bad_request(f'invalid {what} request "{text}"')
    return found


def _port(text: str, scheme: str) -> int:
    if not text:
        return 443 if scheme == "https" else 80
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise bad_request(f'"{text}" is no port')
    return int(text)


def proxyable(address: str) -> str:
    """An address that requests may be passed on to: no loopback, no link's own. Raises 400.

    Upstream: IsProxyableIP in pkg/proxy/util.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise bad_request("address not allowed: it is no IP address") from None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise bad_request("address not allowed")
    return address


def raw_path(target: str, parts: int) -> tuple[str, str]:
    """What follows the first `parts` parts of a request's path, as it was written, and its query."""
    path, _, query = target.partition("?")
    rest = path.split("/")[parts + 1 :]
    return ("/" + "/".join(rest) if rest else ""), query


def not_found_there(code: int, said: str, resource: str, name: str) -> StatusError:
    """A kubelet's refusal as the API's. Upstream: GenericHttpResponseChecker."""
    text = said.strip()
    if code == 400:
        return bad_request(text)
    if code == 404:
        return failure(
            404, "NotFound", f"the server could not find the requested resource ({resource} {name})"
        )
    return failure(500, "InternalError", f"Internal error occurred: {text}")
