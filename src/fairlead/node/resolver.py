"""The pod's /etc/resolv.conf and /etc/hosts as the kubelet writes them. Pure.

Upstream: pkg/kubelet/network/dns, pkg/kubelet/kubelet_pods.go (ensureHostsFile, managedHostsFileContent).
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.objects.core_v1 import Pod, PodDNSConfigOption

MAX_NAMESERVERS = 3
"""What the C library reads; the kubelet leaves out the rest."""

MAX_SEARCHES, MAX_SEARCH_LENGTH = 32, 2048
"""Search domains, and bytes of all of them with the blanks between; the kubelet leaves out the last ones."""

LONGEST_HOSTNAME = 64
"""Bytes that the kernel takes for a host name."""


def hostname(pod: Pod) -> str:
    """The pod's host name: at most 63 bytes of its name, unless its spec gives one."""
    if pod.spec.hostnameOverride is not None:
        return pod.spec.hostnameOverride
    name = pod.spec.hostname or pod.metadata.name
    return name[:63].rstrip("-.")


def kernel_hostname(pod: Pod, domain: str) -> str:
    """What `hostname` says in the pod: with setHostnameAsFQDN the whole name, if it has one of at most 64 bytes."""
    whole = qualified(pod, domain)
    return whole if pod.spec.setHostnameAsFQDN and whole and len(whole) <= LONGEST_HOSTNAME else hostname(pod)


def qualified(pod: Pod, domain: str) -> str:
    """The name that DNS gives the pod under its `subdomain`; empty where it has none."""
    if not pod.spec.subdomain:
        return ""
    return f"{hostname(pod)}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"


def resolv_conf(pod: Pod, cluster_dns: Sequence[str], domain: str, host: str) -> str:
    """The file for the pod's `dnsPolicy`; `host` is the text of the node's own.

    Raises nothing: a cluster without DNS server gives ClusterFirst pods the node's, as the kubelet does.
    """
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "ClusterFirst" and pod.spec.hostNetwork:
        policy = "Default"
    servers, searches, options = _parse(host)
    if policy == "None":
        servers, searches, options = [], [], {}
    elif policy != "Default" and cluster_dns:
        servers = list(cluster_dns)
        namespace = pod.metadata.namespace
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        options = {"ndots": "5"}
    config = pod.spec.dnsConfig
    if config is not None:
        servers += config.nameservers
        searches += config.searches
        options.update(_option(option) for option in config.options)
    lines = []
    if searches:
        lines.append("search " + " ".join(_fitting(list(dict.fromkeys(searches))[:MAX_SEARCHES])))
    lines += [f"nameserver {server}" for server in list(dict.fromkeys(servers))[:MAX_NAMESERVERS]]
    if options:
        said = (f"{name}:{value}" if value else name for name, value in options.items())
        lines.append("options " + " ".join(said))
    return "".join(line + "\n" for line in lines)


def hosts(pod: Pod, addresses: Sequence[str], domain: str, host: str) -> str:
    """The file with the pod's own name and its `hostAliases`; a pod of the host's network starts from `host`."""
    if pod.spec.hostNetwork:
        text = "# Kubernetes-managed hosts file (host network).\n" + host
    else:
        text = (
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
        )
        full = qualified(pod, domain)
        names = f"{full}\t{hostname(pod)}" if full else hostname(pod)
        text += "".join(f"{address}\t{names}\n" for address in addresses)
    if pod.spec.hostAliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t{chr(9).join(alias.hostnames)}\n" for alias in pod.spec.hostAliases)
    return text


def _fitting(searches: list[str]) -> list[str]:
    while len(" ".join(searches)) > MAX_SEARCH_LENGTH:
        searches = searches[:-1]
    return searches


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver":
            servers += values[:1]
        elif keyword == "search":
            searches = [value if value == "." else value.removesuffix(".") for value in values]
        elif keyword == "options":
            for value in values:
                name, _, setting = value.partition(":")
                options[name] = setting
    return servers, searches, options


def _option(option: PodDNSConfigOption) -> tuple[str, str]:
    return option.name, option.value or ""
