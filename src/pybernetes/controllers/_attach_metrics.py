"""What attach and detach count, under upstream's names. persistentvolume_attach_detach.py says when."""

from collections import Counter as Tally
from collections.abc import Iterator

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.storage_v1 import VolumeAttachment
from pybernetes.controllers._attachments import MANAGED, PLACES, attachable, users
from pybernetes.controllers._volume_metrics import LONG, plugin_name
from pybernetes.controllers.runtime import Context
from pybernetes.rules import volumebinding as rule
from pybernetes.wire.metrics import Counter, Current, Distribution, Values


class AttachMetrics:
    """attachdetach_controller_*, and what volumes the Pods of each Node use."""

    def __init__(self) -> None:
        self._ctx: Context | None = None
        self.in_use = Current(
            "storage_count_attachable_volumes_in_use",
            "Measure number of volumes in use",
            lambda: Tally(self._used()).items(),
            "node volume_plugin",
        )
        self.volumes = Current(
            "attachdetach_controller_total_volumes",
            "Number of volumes in A/D Controller",
            self._states,
            "plugin_name state",
        )
        self.forced = Counter(
            "attach_detach_controller_attachdetach_controller_forced_detaches",
            "Number of times the A/D Controller performed a forced detach",
            "reason",
        )

        self._operations = Distribution(
            "storage_operation_duration_seconds",
            "Storage operation duration",
            "migrated operation_name status volume_plugin",
            bounds=LONG,
        )
        self._began: dict[Key, tuple[float, str]] = {}
        """By place: since when, and what."""

    def begin(self, place: Key, operation: str, now: float) -> None:
        """A driver was asked to do something (`volume_attach`, `volume_detach`)."""
        self._began[place] = (now, operation)

    def done(
        self, place: Key, operation: str, volume: core_v1.PersistentVolume, now: float, *, well: bool = True
    ) -> None:
        """It says how that went; what nobody here asked for is not counted."""
        since, asked = self._began.get(place, (0.0, ""))
        if asked == operation:
            status = "success" if well else "fail-unknown"
            self._operations.observe(now - since, "false", operation, status, plugin_name(volume))
            if well:
                del self._began[place]

    def follow(self, ctx: Context) -> None:
        """Whose caches to count when somebody asks."""
        self._ctx = ctx

    def _used(self) -> Iterator[tuple[str, str]]:
        """Node and plugin of each claimed volume, of those that are attached, of a Pod that has a Node."""
        if self._ctx is None:
            return
        claims, volumes = self._ctx.cache(core_v1.PersistentVolumeClaim), self._ctx.cache(core_v1.PersistentVolume)
        for pod in self._ctx.cache(core_v1.Pod):
            if not pod.spec.nodeName:
                continue
            for name, _ in rule.claims_of_pod(pod):
                claim = claims.get(Key(pod.metadata.namespace, name))
                volume = volumes.get(Key("", claim.spec.volumeName)) if claim and claim.spec.volumeName else None
                if volume is not None and volume.spec.csi is not None:
                    yield pod.spec.nodeName, plugin_name(volume)

    def _states(self) -> Values:
        """What is wanted, and what is attached or on its way, each volume on each Node once."""
        ctx = self._ctx
        if ctx is None:
            return ()
        found: Tally[tuple[str, str]] = Tally()
        nodes, attachments = ctx.cache(core_v1.Node), ctx.cache(VolumeAttachment)
        for volume in ctx.cache(core_v1.PersistentVolume):
            if not attachable(volume, ctx):
                continue
            wanted = {pod.spec.nodeName for pod in users(volume, ctx)}
            managed = [node for name in wanted if (node := nodes.get(Key("", name))) is not None]
            found[plugin_name(volume), "desired_state_of_world"] += sum(
                MANAGED in n.metadata.annotations for n in managed
            )
            there = attachments.by(PLACES, f"volume/{volume.metadata.name}")
            found[plugin_name(volume), "actual_state_of_world"] += sum(one.status.attached for one in there)
        return [(labels, count) for labels, count in found.items() if count]
