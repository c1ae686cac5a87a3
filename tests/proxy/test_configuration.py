"""kube-proxy's configuration file, as kubeadm writes it and with what it may say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.proxy.configuration import ConfigurationError, read

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

KUBEADM = (
    HEAD
    + """
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
healthzBindAddress: ""
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s,
  tcpTimeout: 0s, udpTimeout: 0s}
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
metricsBindAddress: ""
mode: ""
nodePortAddresses: null
"""
)

FULL = (
    HEAD
    + """
mode: iptables
hostnameOverride: n1
clusterCIDR: 10.0.0.0/8,fd00::/48
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0}
nodePortAddresses: [192.168.0.0/16, fd01::/64]
healthzBindAddress: 127.0.0.1:1
metricsBindAddress: 127.0.0.1:2
iptables: {masqueradeAll: true, masqueradeBit: 15}
nftables: {masqueradeBit: 16}
ipvs: {scheduler: lc, excludeCIDRs: [10.7.0.0/16, fd07::/64], strictARP: true, syncPeriod: 1m0s, minSyncPeriod: 2s,
  tcpTimeout: 3s, tcpFinTimeout: 4s, udpTimeout: 5s}
conntrack: {maxPerCore: 0, min: 7, tcpEstablishedTimeout: 1h0m0s, udpTimeout: 5s, tcpBeLiberal: true}
"""
)


def written(directory: Path, text: str) -> Path:
    path = directory / "config.conf"
    path.write_text(text)
    return path


def test_what_kubeadm_writes_says_little(tmp_path: Path) -> None:
    assert read(written(tmp_path, KUBEADM)).flags("nftables") == {
        "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf",
        "cluster_cidr": "10.244.0.0/16",
        "conntrack_tcp_be_liberal": False,
        "ipvs_strict_arp": False,
        "ipvs_min_sync_period": "0s",
        "ipvs_tcp_timeout": "0s",
        "ipvs_tcpfin_timeout": "0s",
        "ipvs_udp_timeout": "0s",
    }


def test_everything_that_it_may_say(tmp_path: Path) -> None:
    assert read(written(tmp_path, FULL)).flags("nftables") == {
        "proxy_mode": "iptables",
        "node_name": "n1",
        "cluster_cidr": "10.0.0.0/8,fd00::/48",
        "detect_local_mode": "BridgeInterface",
        "pod_bridge_interface": "cni0",
        "nodeport_addresses": "192.168.0.0/16,fd01::/64",
        "healthz": "127.0.0.1:1",
        "metrics": "127.0.0.1:2",
        "masquerade_all": True,
        "masquerade_bit": 15,
        "conntrack_max_per_core": 0,
        "conntrack_min": 7,
        "conntrack_tcp_timeout_established": "1h0m0s",
        "conntrack_udp_timeout": "5s",
        "conntrack_tcp_be_liberal": True,
        "ipvs_scheduler": "lc",
        "ipvs_exclude_cidrs": "10.7.0.0/16,fd07::/64",
        "ipvs_strict_arp": True,
        "ipvs_sync_period": "1m0s",
        "ipvs_min_sync_period": "2s",
        "ipvs_tcp_timeout": "3s",
        "ipvs_tcpfin_timeout": "4s",
        "ipvs_udp_timeout": "5s",
    }


def test_the_mode_ipvs_masquerades_as_the_section_of_iptables_says(tmp_path: Path) -> None:
    file = written(tmp_path, FULL.replace("mode: iptables", "mode: ipvs"))
    assert read(file).flags("nftables")["masquerade_bit"] == 15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "while parsing"),
        ("[]", "Expected `object`"),
        ("kind: Other\n", "this is no KubeProxyConfiguration"),
        (HEAD + "iptables: {masqueradeBit: x}\n", r"Expected `int \| null`"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(written(tmp_path, text))


def test_the_file_wins_over_the_flags(tmp_path: Path) -> None:
    """Seen by what the command says of the values: the file's mode counts, and the flag's does not."""
    file = written(tmp_path, HEAD + "mode: userspace\n")
    command = [sys.executable, "-c", "from fairlead.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "proxy", "--mode", "nftables", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--proxy-mode userspace: there is no such mode" in done.stderr
