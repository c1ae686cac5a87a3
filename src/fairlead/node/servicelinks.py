"""The environment variables by which a container finds the Services of its namespace. Pure.

Upstream: pkg/kubelet/envvars (FromServices), getServiceEnvVarMap in pkg/kubelet/kubelet_pods.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.objects.core_v1 import Service


def variables(services: Iterable[Service]) -> dict[str, str]:
    """NAME_SERVICE_HOST, NAME_SERVICE_PORT and Docker's NAME_PORT_80_TCP... of each Service with an address."""
    found: dict[str, str] = {}
    for service in services:
        address, ports = service.spec.clusterIP, service.spec.ports
        if address in ("", "None") or not ports:
            continue
        name = _upper(service.metadata.name)
        found[f"{name}_SERVICE_HOST"] = address
        found[f"{name}_SERVICE_PORT"] = str(ports[0].port)
        host = f"[{address}]" if ":" in address else address
        for i, port in enumerate(ports):
            if port.name:
                found[f"{name}_SERVICE_PORT_{_upper(port.name)}"] = str(port.port)
            protocol = port.protocol or "TCP"
            url = f"{protocol.lower()}://{host}:{port.port}"
            if i == 0:
                found[f"{name}_PORT"] = url
            prefix = f"{name}_PORT_{port.port}_{protocol.upper()}"
            found[prefix] = url
            found[f"{prefix}_PROTO"] = protocol.lower()
            found[f"{prefix}_PORT"] = str(port.port)
            found[f"{prefix}_ADDR"] = address
    return found


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
