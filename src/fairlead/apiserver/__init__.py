"""The Kubernetes REST face of a store."""
