"""The node's HTTPS server: logs, commands in containers, forwarded ports and usage, as the kubelet serves them."""
