"""What the EndpointSlice controller counts, under upstream's names."""

from collections.abc import Mapping, Sequence

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._slices import Slice, Wanted
from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential

_NAME = "endpoint_slice_controller"
_SIZES = exponential(2, 2, 15)


class SliceMetrics:
    """endpoint_slice_controller_*."""

    def __init__(self) -> None:
        self.added = Distribution(
            f"{_NAME}_endpoints_added_per_sync",
            "Number of endpoints added on each Service sync",
            stability="BETA",
            bounds=_SIZES,
        )
        self.removed = Distribution(
            f"{_NAME}_endpoints_removed_per_sync",
            "Number of endpoints removed on each Service sync",
            stability="BETA",
            bounds=_SIZES,
        )
        self.endpoints = Gauge(f"{_NAME}_endpoints_desired", "Number of endpoints desired", stability="BETA")
        self.slices = Gauge(f"{_NAME}_num_endpoint_slices", "Number of EndpointSlices", stability="BETA")
        self.perfect = Gauge(
            f"{_NAME}_desired_endpoint_slices",
            "Number of EndpointSlices that would exist with perfect endpoint allocation",
            stability="BETA",
        )
        self.changes = Counter(f"{_NAME}_changes", "Number of EndpointSlice changes", "operation")
        self.changes_total = Counter(f"{_NAME}_changes_total", "Number of EndpointSlice changes", "operation")
        self.changed = Distribution(
            f"{_NAME}_endpointslices_changed_per_sync",
            "Number of EndpointSlices changed on each Service sync",
            "topology traffic_distribution",
        )
        self.syncs = Counter(f"{_NAME}_syncs", "Number of EndpointSlice syncs", "result")
        self._of: dict[Key, tuple[int, int, int]] = {}
        """By Service: endpoints, slices, slices if they were full."""

    def synced(
        self,
        service: core_v1.Service,
        *,
        automatic: bool,
        there: Sequence[Slice],
        wanted: Wanted,
        written: Mapping[str, int],
        most: int,
    ) -> None:
        """One Service was brought to what is wanted."""
        old = {address for found in there for endpoint in found.endpoints for address in endpoint.addresses}
        sets = [listed for by_ports in wanted.values() for listed in by_ports.values()]
        new = {address for listed in sets for endpoint in listed for address in endpoint.addresses}
        self.added.observe(len(new - old))
        self.removed.observe(len(old - new))
        self.syncs.add("success")
        for operation, count in written.items():
            if count:
                self.changes.add(operation, by=count)
                self.changes_total.add(operation, by=count)
        changed = sum(written.values())
        self.changed.observe(changed, "Auto" if automatic else "Disabled", service.spec.trafficDistribution or "")
        slices = len(there) + written.get("create", 0) - written.get("delete", 0)
        self._set(key_of(service), (len(new), slices, sum(_full(listed, most) for listed in sets)))

    def gone(self, key: Key) -> None:
        """A Service is no more."""
        if key in self._of:
            self._set(key, (0, 0, 0))
            del self._of[key]

    def _set(self, key: Key, now: tuple[int, int, int]) -> None:
        before = self._of.get(key, (0, 0, 0))
        self._of[key] = now
        for gauge, old, new in zip((self.endpoints, self.slices, self.perfect), before, now, strict=True):
            gauge.add(by=new - old)


def _full(listed: Sequence[discovery_v1.Endpoint], most: int) -> int:
    return max(1, -(-len(listed) // most))
