"""Gauges: what /metrics says of the watch cache, by resource and under upstream's names, and of the process."""

import os
from collections.abc import Callable, Mapping

from pybernetes.apiserver.metrics import Gauge
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.entry import FORMS
from pybernetes.apiserver.watchcache.resource_cache import HISTORY, ResourceCache

_BY = ("group", "resource")


def gauges(cache: WatchCache) -> list[Gauge]:
    """Of one server's cache."""

    def named(value: Callable[[ResourceCache], float]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {(str(one.served.gr),): value(one) for one in cache.resources}

    def grouped(value: Callable[[ResourceCache], float]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {(one.served.gr.group, one.served.gr.resource): value(one) for one in cache.resources}

    def usage() -> dict[tuple[str, ...], float]:
        times = os.times()
        return {(): times.user + times.system}

    return [
        Gauge(
            "apiserver_storage_objects",
            "[STABLE] Number of stored objects by resource.",
            ("resource",),
            named(lambda one: len(one.entries)),
        ),
        Gauge(
            "apiserver_resource_objects",
            "[ALPHA] Number of stored objects by resource.",
            _BY,
            grouped(lambda one: len(one.entries)),
        ),
        Gauge(
            "apiserver_resource_size_estimate_bytes",
            "[ALPHA] Bytes of the stored objects of a resource.",
            _BY,
            grouped(lambda one: one.size),
        ),
        Gauge(
            "watch_cache_capacity",
            "[ALPHA] Changes of a resource that are remembered at most.",
            _BY,
            grouped(lambda one: HISTORY),
        ),
        Gauge(
            "apiserver_watch_cache_resource_version",
            "[ALPHA] The revision up to which the watch cache knows a resource.",
            _BY,
            grouped(lambda one: cache.revision),
        ),
        Gauge(
            "apiserver_watch_cache_events_received_total",
            "[ALPHA] Changes of a resource that the watch cache has taken in.",
            _BY,
            grouped(lambda one: one.received),
            "counter",
        ),
        Gauge(
            "apiserver_terminated_watchers_total",
            "[ALPHA] Watchers that were cut off because they did not read.",
            _BY,
            grouped(lambda one: one.terminated),
            "counter",
        ),
        Gauge(
            "pybernetes_watch_cache_history_bytes",
            "Bytes of the states that are remembered of a resource for watches that resume.",
            _BY,
            grouped(lambda one: one.history_size),
        ),
        Gauge(
            "pybernetes_watch_cache_forms_bytes",
            "Bytes of a resource's objects that this process keeps in other forms than the store's, and as rows of tables.",
            _BY,
            grouped(lambda one: FORMS.of(one.served.gr)),
        ),
        Gauge(
            "apiserver_longrunning_requests",
            "[STABLE] Watches that are open now.",
            ("resource",),
            named(lambda one: one.watching),
        ),
        Gauge("process_cpu_seconds_total", "CPU time of this process in seconds.", (), usage),
    ]
