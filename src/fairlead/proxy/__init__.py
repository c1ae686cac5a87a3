"""The node proxy: Services into the kernel of one node."""
