"""A cluster inside a test process. Start at cluster.py; `from pybernetes.testing import Cluster`."""

from pybernetes.testing.cluster import ClosedClusterError, Cluster

__all__ = ["ClosedClusterError", "Cluster"]
