"""The ipvs mode: virtual servers of the kernel, an interface that has their addresses, sets for what else there is."""
