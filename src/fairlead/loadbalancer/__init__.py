"""External addresses for Services of type LoadBalancer: pools, allocation, announcing."""
