"""What the PersistentVolume binder counts, under upstream's names. persistentvolume_binder.py says when."""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from pybernetes.wire.metrics import Counter, Current, Distribution, Values

LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0)
"""Bounds for what drivers take, in seconds."""
NOBODY = "N/A"
"""The plugin of a volume that none here knows."""
_PLUGINS = (
    ("hostPath", "kubernetes.io/host-path"),
    ("nfs", "kubernetes.io/nfs"),
    ("local", "kubernetes.io/local-volume"),
)


class BinderMetrics:
    """pv_collector_*, volume_operation_total_* and retroactive_storageclass_*."""

    def __init__(self) -> None:
        self._volumes: Iterable[PersistentVolume] = ()
        self._claims: Iterable[PersistentVolumeClaim] = ()
        name, about = "pv_collector", "Gauge measuring"
        self.volumes = Current(
            f"{name}_total_pv_count",
            f"{about} total number of persistent volumes",
            lambda: _tallied((plugin_name(v), v.spec.volumeMode or "Filesystem") for v in self._volumes),
            "plugin_name volume_mode",
        )
        self.bound_volumes = self._of_volumes("bound", bound=True)
        self.unbound_volumes = self._of_volumes("unbound", bound=False)
        self.bound_claims = self._of_claims("bound", bound=True)
        self.unbound_claims = self._of_claims("unbound", bound=False)
        self.errors = Counter(
            "volume_operation_total_errors", "Total volume operation errors", "plugin_name operation_name"
        )
        self.seconds = Distribution(
            "volume_operation_total_seconds",
            "Storage operation end to end duration in seconds",
            "operation_name plugin_name",
            bounds=LONG,
        )
        about = "retroactive StorageClass assignments to persistent volume claim"
        self.given_classes = Counter("retroactive_storageclass_total", f"Total number of {about}")
        self.failed_classes = Counter("retroactive_storageclass_errors_total", f"Total number of failed {about}")
        self._began: dict[Key, tuple[float, str, str]] = {}
        """Claims that wait for a provisioner and volumes that wait for their end: since when, who does it, and what."""

    def _of_volumes(self, word: str, *, bound: bool) -> Current:
        return Current(
            f"pv_collector_{word}_pv_count",
            f"Gauge measuring number of persistent volume currently {word}",
            lambda: _tallied((v.spec.storageClassName,) for v in self._volumes if (v.status.phase == "Bound") is bound),
            "storage_class",
        )

    def _of_claims(self, word: str, *, bound: bool) -> Current:
        return Current(
            f"pv_collector_{word}_pvc_count",
            f"Gauge measuring number of persistent volume claim currently {word}",
            lambda: _tallied(
                (c.metadata.namespace, c.spec.storageClassName or "", c.spec.volumeAttributesClassName or "")
                for c in self._claims
                if (c.status.phase == "Bound") is bound
            ),
            "namespace storage_class volume_attributes_class",
        )

    def follow(self, volumes: Iterable[PersistentVolume], claims: Iterable[PersistentVolumeClaim]) -> None:
        """The caches to count when somebody asks."""
        self._volumes, self._claims = volumes, claims

    def begin(self, key: Key, provisioner: str, operation: str, now: float) -> None:
        """A claim wants a volume made (`provision`), or a volume wants to go (`delete`). The first word counts."""
        self._began.setdefault(key, (now, provisioner or NOBODY, operation))

    def failed(self, key: Key) -> None:
        """A step towards it failed."""
        if key in self._began:
            _, provisioner, operation = self._began[key]
            self.errors.add(provisioner, operation)

    def done(self, key: Key, now: float) -> None:
        """It has happened."""
        if key in self._began:
            since, provisioner, operation = self._began.pop(key)
            self.seconds.observe(now - since, operation, provisioner)

    def forget(self, key: Key) -> None:
        """It will not happen any more."""
        self._began.pop(key, None)


def plugin_name(volume: PersistentVolume) -> str:
    """The plugin that serves a volume, with the driver behind it: `kubernetes.io/csi:example.com`."""
    if volume.spec.csi is not None:
        return f"kubernetes.io/csi:{volume.spec.csi.driver}"
    return next((name for field, name in _PLUGINS if getattr(volume.spec, field) is not None), NOBODY)


def _tallied(labels: Iterable[Sequence[str]]) -> Values:
    return Tally(map(tuple, labels)).items()
