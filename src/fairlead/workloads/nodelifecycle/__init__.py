"""Nodes that fall silent: they are marked, tainted, and their pods go elsewhere."""
