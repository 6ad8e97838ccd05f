"""Pybernetes: a real Kubernetes, written in Python. ARCHITECTURE.md draws the rows; start reading at `assembly`."""

__version__ = "0.1.0"
KUBERNETES_VERSION = "v1.37.0"
"""The API level that discovery and /version announce."""
