"""OpenAPI: what the served kinds are, and what can be asked of them."""
