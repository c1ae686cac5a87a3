"""Scheduling: which node a pod goes to, and why none will do. Pure: a state of the cluster, rules, and a decision."""
