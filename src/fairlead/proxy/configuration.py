"""kube-proxy's configuration file: KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1, as the command's flags.

As upstream has it, what the file says wins over flags, but for --hostname-override. What the file says of things that
there are not here is passed over; a value of the wrong type is an error.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

API_VERSION, KIND = "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"


class ConfigurationError(ValueError):
    """The file cannot be used; the text says why."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the file. Fields that are absent, or null, say nothing."""


class Masquerading(_Part, frozen=True, rename="camel"):
    """`iptables` or `nftables`."""

    masquerade_all: bool | None = None
    masquerade_bit: int | None = None


class Ipvs(_Part, frozen=True, rename="camel"):
    """`ipvs`; times as 30s."""

    scheduler: str | None = None
    exclude_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="excludeCIDRs")
    strict_arp: bool | None = msgspec.field(default=None, name="strictARP")
    sync_period: str | None = None
    min_sync_period: str | None = None
    tcp_timeout: str | None = None
    tcp_fin_timeout: str | None = None
    udp_timeout: str | None = None


class Detection(_Part, frozen=True, rename="camel"):
    """`detectLocal`."""

    bridge_interface: str | None = None
    interface_name_prefix: str | None = None


class Conntrack(_Part, frozen=True, rename="camel"):
    """`conntrack`; times as 24h0m0s."""

    max_per_core: int | None = None
    min: int | None = None
    tcp_established_timeout: str | None = None
    tcp_close_wait_timeout: str | None = None
    tcp_be_liberal: bool | None = None
    udp_timeout: str | None = None
    udp_stream_timeout: str | None = None


class ClientConnection(_Part, frozen=True, rename="camel"):
    """`clientConnection`."""

    kubeconfig: str | None = None


class KubeProxyConfiguration(_Part, frozen=True, rename="camel"):
    """The fields of the file that there is something for here."""

    api_version: str = ""
    kind: str = ""
    mode: str | None = None
    hostname_override: str | None = None
    cluster_cidr: str | None = msgspec.field(default=None, name="clusterCIDR")
    detect_local_mode: str | None = None
    detect_local: Detection | None = None
    node_port_addresses: tuple[str, ...] | None = None
    healthz_bind_address: str | None = None
    metrics_bind_address: str | None = None
    client_connection: ClientConnection | None = None
    iptables: Masquerading | None = None
    nftables: Masquerading | None = None
    ipvs: Ipvs | None = None
    conntrack: Conntrack | None = None

    def flags(self, mode: str) -> dict[str, object]:
        """What the file says, by the names of the flags (with underscores); `mode` is what counts without its own."""
        detection = self.detect_local or Detection()
        conntrack = self.conntrack or Conntrack()
        ipvs = self.ipvs or Ipvs()
        # The section of iptables speaks for the mode ipvs too (upstream: cmd/kube-proxy/app/server_linux.go).
        masquerading = (
            self.nftables if (self.mode or mode) == "nftables" else self.iptables
        ) or Masquerading()
        said: dict[str, object] = {
            "proxy_mode": self.mode,
            "node_name": self.hostname_override,
            "cluster_cidr": self.cluster_cidr,
            "detect_local_mode": self.detect_local_mode,
            "pod_bridge_interface": detection.bridge_interface,
            "pod_interface_name_prefix": detection.interface_name_prefix,
            "nodeport_addresses": ",".join(self.node_port_addresses or ()),
            "healthz": self.healthz_bind_address,
            "metrics": self.metrics_bind_address,
            "kubeconfig": self.client_connection.kubeconfig if self.client_connection else None,
            "masquerade_all": masquerading.masquerade_all,
            "masquerade_bit": masquerading.masquerade_bit,
            "ipvs_scheduler": ipvs.scheduler,
            "ipvs_exclude_cidrs": ",".join(ipvs.exclude_cidrs or ()),
            "ipvs_strict_arp": ipvs.strict_arp,
            # Zero says nothing (upstream: pkg/proxy/apis/config/v1alpha1/defaults.go).
            "ipvs_sync_period": None if ipvs.sync_period == "0s" else ipvs.sync_period,
            "ipvs_min_sync_period": ipvs.min_sync_period,
            "ipvs_tcp_timeout": ipvs.tcp_timeout,
            "ipvs_tcpfin_timeout": ipvs.tcp_fin_timeout,
            "ipvs_udp_timeout": ipvs.udp_timeout,
            "conntrack_max_per_core": conntrack.max_per_core,
            "conntrack_min": conntrack.min,
            "conntrack_tcp_timeout_established": conntrack.tcp_established_timeout,
            "conntrack_tcp_timeout_close_wait": conntrack.tcp_close_wait_timeout,
            "conntrack_tcp_be_liberal": conntrack.tcp_be_liberal,
            "conntrack_udp_timeout": conntrack.udp_timeout,
            "conntrack_udp_timeout_stream": conntrack.udp_stream_timeout,
        }
        # Empty words are what upstream writes for its defaults (`kubectl -n kube-system get cm kube-proxy`).
        return {name: value for name, value in said.items() if value is not None and value != ""}


def read(path: Path) -> KubeProxyConfiguration:
    """The file. Raises `ConfigurationError`, or OSError where it cannot be read."""
    try:
        found = msgspec.convert(yaml.safe_load(path.read_text()), KubeProxyConfiguration)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if (found.api_version, found.kind) != (API_VERSION, KIND):
        raise ConfigurationError(f"{path}: this is no {KIND} of {API_VERSION}")
    return found
