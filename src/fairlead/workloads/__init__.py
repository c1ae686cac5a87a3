"""Workloads: pods onto nodes."""
