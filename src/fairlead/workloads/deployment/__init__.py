"""Deployments: ReplicaSets that replace one another without an outage."""
