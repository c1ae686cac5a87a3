"""The way to any Kubernetes API: configuration, requests, informers, work queues, events."""
