"""Many nodes on one machine, out of network namespaces."""
