"""Fairlead: the Kubernetes Service subsystem as one Python package."""

__version__ = "0.1.0"
