"""kube-proxy's iptables mode: the chains that operators know, written by their differences."""
