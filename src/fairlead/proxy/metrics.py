"""What the proxy tells Prometheus, under kube-proxy's names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SYNC_BUCKETS = tuple(0.001 * 2**power for power in range(15))
_PROGRAMMING_BUCKETS = (0.25, 0.5, *range(1, 60), *range(60, 121, 5), *range(120, 301, 30))

SYNC_DURATION = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "From taking up changes to the kernel's commit",
    ["ip_family"],
    buckets=_SYNC_BUCKETS,
)
PROGRAMMING_DURATION = Histogram(
    "kubeproxy_network_programming_duration_seconds",
    "From the change of a pod or Service, as its slice says, to the kernel's commit",
    ["ip_family"],
    buckets=tuple(sorted(set(_PROGRAMMING_BUCKETS))),
)
ENDPOINT_CHANGES = Counter(
    "kubeproxy_sync_proxy_rules_endpoint_changes", "Changes of EndpointSlices taken up", ["ip_family"]
)
SERVICE_CHANGES = Counter(
    "kubeproxy_sync_proxy_rules_service_changes", "Changes of Services taken up", ["ip_family"]
)
ENDPOINTS_PENDING = Gauge(
    "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
    "Changes of EndpointSlices that the kernel does not have yet",
    ["ip_family"],
)
SERVICES_PENDING = Gauge(
    "kubeproxy_sync_proxy_rules_service_changes_pending",
    "Changes of Services that the kernel does not have yet",
    ["ip_family"],
)
NO_LOCAL_ENDPOINTS = Gauge(
    "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
    "Service ports whose policy is Local, that have endpoints, but none on this node",
    ["ip_family", "traffic_policy"],
)
PARTIAL_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures",
    "The same, where only Services that changed were looked at",
    ["ip_family"],
)
CLEANUP_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_cleanup_failures",
    "Removals of unused chains that the kernel refused",
    ["ip_family"],
)
IPTABLES_RULES = Gauge(
    "kubeproxy_sync_proxy_rules_iptables_total", "Rules that are ours", ["ip_family", "table"]
)
IPTABLES_LAST = Gauge(
    "kubeproxy_sync_proxy_rules_iptables_last",
    "Rules that the last transaction wrote or removed",
    ["ip_family", "table"],
)
SYNC_FAILURES = {
    "nftables": Counter(
        "kubeproxy_sync_proxy_rules_nftables_sync_failures",
        "Transactions that the kernel refused",
        ["ip_family"],
    ),
    "iptables": Counter(
        "kubeproxy_sync_proxy_rules_iptables_restore_failures",
        "Input that iptables-restore refused",
        ["ip_family"],
    ),
}
"""By mode, for those that upstream counts."""
FULL_DURATION = Histogram(
    "kubeproxy_sync_full_proxy_rules_duration_seconds",
    "The same, where what the kernel holds was compared with everything",
    ["ip_family"],
    buckets=_SYNC_BUCKETS,
)
PARTIAL_DURATION = Histogram(
    "kubeproxy_sync_partial_proxy_rules_duration_seconds",
    "The same, where only Services that changed were looked at",
    ["ip_family"],
    buckets=_SYNC_BUCKETS,
)
LAST_SYNC = Gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    "When the kernel last took a transaction",
    ["ip_family"],
)
LAST_QUEUED = Gauge(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "When a change last came", ["ip_family"]
)
CONNTRACK_DURATION = Histogram(
    "kubeproxy_conntrack_reconciler_sync_duration_seconds",
    "Looking for UDP connections that lead nowhere, after a commit that can have left some",
    ["ip_family"],
    buckets=_SYNC_BUCKETS,
)
CONNTRACK_DELETED = Counter(
    "kubeproxy_conntrack_reconciler_deleted_entries", "UDP connections that were removed", ["ip_family"]
)
HEALTHZ = Counter("kubeproxy_proxy_healthz", "Answers of /healthz", ["code"])
LIVEZ = Counter("kubeproxy_proxy_livez", "Answers of /livez", ["code"])
