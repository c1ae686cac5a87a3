"""Addresses on a local network without being on an interface: ARP and NDP answered for them, by one node each."""
