"""Requests that are passed on: to nodes for the streams, logs and ports of pods, and to pods, services and nodes."""
