"""Host ports: ports of the node that lead to a pod's containers."""
