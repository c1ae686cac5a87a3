"""What a dataplane depends on besides Services: the same for every mode."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.proxy.detection import LocalPods

PRIMARY = "primary"
"""`--nodeport-addresses primary`: the addresses that the node's own object says; the default of nftables."""


@dataclass(frozen=True, slots=True)
class IpvsOptions:
    """What only the ipvs mode asks for, as kube-proxy's flags `--ipvs-...`."""

    scheduler: str = "rr"
    """The kernel's module ip_vs_SCHEDULER chooses among endpoints."""
    exclude_cidrs: tuple[str, ...] = ()
    """Virtual servers in these networks are somebody else's, and left alone."""
    strict_arp: bool = False
    """Whether the node keeps silent when its neighbours ask who has a Service's address."""
    sync_period: float = 30.0
    """Seconds between comparisons of all that the kernel holds with what it should."""
    min_sync_period: float = 0.0
    """Seconds at least between changes of the kernel."""
    tcp_timeout: int = 0
    """Seconds after which the kernel forgets an idle connection; 0 leaves it as it is."""
    tcp_fin_timeout: int = 0
    """The same for one that was closed."""
    udp_timeout: int = 0


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """The node's settings, named as kube-proxy's flags are."""

    local_pods: LocalPods = field(default_factory=LocalPods)
    """What counts as sent from inside."""
    service_cidrs: tuple[str, ...] = ()
    """Where ClusterIPs are taken from: packets to those of no Service are dropped."""
    masquerade_all: bool = False
    """Whether everything that is sent to a ClusterIP takes the node's address."""
    masquerade_bit: int = 14
    """The bit of the packet's mark that says so, where it has to be said with a mark."""
    nodeport_addresses: tuple[str, ...] = ()
    """Networks whose addresses, where they are the node's own, open node ports; or `PRIMARY` alone.

    Empty is the mode's default.
    """
    localhost_nodeports: bool = True
    """Whether node ports are open on 127.0.0.1 too, in the one mode that can do it: iptables, with IPv4."""
    own_table: bool = True
    """Whether the mode nftables claims its table, so that nobody else can change it (Linux 6.9)."""
    ipvs: IpvsOptions = field(default_factory=IpvsOptions)

    @property
    def masquerade_mark(self) -> int:
        """The mark with no other bit."""
        return 1 << self.masquerade_bit
