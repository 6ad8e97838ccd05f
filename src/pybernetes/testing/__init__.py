"""A cluster inside a test process. Start at cluster.py; `from pybernetes.testing import Cluster`.

Names are imported when they are first used: a plugin that nobody uses costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.assembly.simulated.description import SimulatedNode
    from pybernetes.testing.blocking import SyncCluster
    from pybernetes.testing.checkpoint import Checkpoint
    from pybernetes.testing.cluster import Cluster
    from pybernetes.testing.errors import (
        ClosedClusterError,
        ClusterError,
        CrashedError,
        NotInTimeError,
        OptionError,
        OrderError,
        RealClusterError,
        StartError,
        WrongLoopError,
    )
    from pybernetes.testing.external import ExternalCluster
    from pybernetes.testing.virtual import simulated

__all__ = [
    "Checkpoint",
    "ClosedClusterError",
    "Cluster",
    "ClusterError",
    "CrashedError",
    "ExternalCluster",
    "NotInTimeError",
    "OptionError",
    "OrderError",
    "RealClusterError",
    "SimulatedNode",
    "StartError",
    "SyncCluster",
    "WrongLoopError",
    "simulated",
]

if not TYPE_CHECKING:
    _MODULES = {
        "Checkpoint": "pybernetes.testing.checkpoint",
        "Cluster": "pybernetes.testing.cluster",
        "SyncCluster": "pybernetes.testing.blocking",
        "ExternalCluster": "pybernetes.testing.external",
        "SimulatedNode": "pybernetes.assembly.simulated.description",
        "simulated": "pybernetes.testing.virtual",
    }

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_MODULES.get(name, "pybernetes.testing.errors")), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
