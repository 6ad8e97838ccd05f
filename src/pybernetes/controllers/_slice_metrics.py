"""What the EndpointSlice controller and the mirroring one count, under upstream's names."""

from collections.abc import Mapping, Sequence

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._slices import Slice, Wanted, identity
from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential

_NAME = "endpoint_slice_controller"
_SIZES = exponential(2, 2, 15)


class _Totals:
    """Gauges over all Services: endpoints, slices, and slices if they were full."""

    def __init__(self, *gauges: Gauge) -> None:
        self._gauges = gauges
        self._of: dict[Key, tuple[int, ...]] = {}

    def set(self, key: Key, *now: int) -> None:
        """What they are of one Service; nothing where it has none any more."""
        nothing = (0,) * len(self._gauges)
        before = self._of.pop(key, nothing)
        if now:
            self._of[key] = now
        for gauge, old, new in zip(self._gauges, before, now or nothing, strict=True):
            if new != old or now:
                gauge.add(by=new - old)


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
        self.distributions = Gauge(
            f"{_NAME}_services_count_by_traffic_distribution",
            "Number of Services using some specific trafficDistribution",
            "traffic_distribution",
        )
        self._distribution: dict[Key, str] = {}
        self._totals = _Totals(self.endpoints, self.slices, self.perfect)

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
        for operation, count in written.items():
            if count:
                self.changes.add(operation, by=count)
                self.changes_total.add(operation, by=count)
        changed = sum(written.values())
        distribution = "" if automatic else service.spec.trafficDistribution or ""
        self.changed.observe(changed, "Auto" if automatic else "Disabled", distribution)
        self._distribute(key_of(service), distribution)
        slices = len(there) + written.get("create", 0) - written.get("delete", 0)
        self._totals.set(key_of(service), len(new), slices, sum(_full(listed, most) for listed in sets))

    def gone(self, key: Key) -> None:
        """A Service is no more."""
        self._distribute(key, "")
        self._totals.set(key)

    def _distribute(self, key: Key, now: str) -> None:
        before = self._distribution.pop(key, "")
        if now:
            self._distribution[key] = now
        if before != now:
            for name, by in ((before, -1), (now, 1)):
                if name:
                    self.distributions.add(name, by=by)


_MIRRORING = "endpoint_slice_mirroring_controller"


class MirrorMetrics:
    """endpoint_slice_mirroring_controller_*."""

    def __init__(self) -> None:
        def per_sync(name: str, about: str) -> Distribution:
            return Distribution(f"{_MIRRORING}_{name}_per_sync", f"Number of {about}", bounds=_SIZES)

        self.added = per_sync("endpoints_added", "endpoints added on each Endpoints sync")
        self.updated = per_sync("endpoints_updated", "endpoints updated on each Endpoints sync")
        self.removed = per_sync("endpoints_removed", "endpoints removed on each Endpoints sync")
        self.skipped = per_sync(
            "addresses_skipped",
            "addresses skipped on each Endpoints sync due to being invalid or exceeding MaxEndpointsPerSubset",
        )
        self.seconds = Distribution(
            f"{_MIRRORING}_endpoints_sync_duration",
            "Duration of syncEndpoints() in seconds",
            bounds=exponential(0.001, 2, 15),
        )
        self.endpoints = Gauge(f"{_MIRRORING}_endpoints_desired", "Number of endpoints desired")
        self.slices = Gauge(f"{_MIRRORING}_num_endpoint_slices", "Number of EndpointSlices")
        self.perfect = Gauge(
            f"{_MIRRORING}_desired_endpoint_slices",
            "Number of EndpointSlices that would exist with perfect endpoint allocation",
        )
        self.changes = Counter(f"{_MIRRORING}_changes", "Number of EndpointSlice changes", "operation")
        self._totals = _Totals(self.endpoints, self.slices, self.perfect)

    def synced(
        self, key: Key, *, skipped: int, there: Sequence[Slice], wanted: Wanted, written: Mapping[str, int], most: int
    ) -> None:
        """One Endpoints was mirrored."""
        old = {identity(endpoint): endpoint for found in there for endpoint in found.endpoints}
        sets = [listed for by_ports in wanted.values() for listed in by_ports.values()]
        new = {identity(endpoint): endpoint for listed in sets for endpoint in listed}
        self.added.observe(len(new.keys() - old.keys()))
        self.updated.observe(sum(new[who] != old[who] for who in new.keys() & old.keys()))
        self.removed.observe(len(old.keys() - new.keys()))
        self.skipped.observe(skipped)
        self.wrote(written)
        slices = len(there) + written.get("create", 0) - written.get("delete", 0)
        self._totals.set(key, sum(map(len, sets)), slices, sum(-(-len(listed) // most) for listed in sets))

    def wrote(self, written: Mapping[str, int]) -> None:
        """So many slices were made, changed and deleted."""
        for operation, count in written.items():
            if count:
                self.changes.add(operation, by=count)

    def gone(self, key: Key) -> None:
        """There is no mirror any more."""
        self._totals.set(key)


def _full(listed: Sequence[discovery_v1.Endpoint], most: int) -> int:
    return max(1, -(-len(listed) // most))
