"""What this kubelet counts, under upstream's names: /metrics shows it (server/figures.py). Counted where it happens.

One process is one kubelet, so these are the process's own; a test that looks at them compares before and after.
"""

from pybernetes.wire.metrics import SECONDS, Counter, Distribution, Family, Gauge, exponential

_STARTS: tuple[float, ...] = (
    0.5,
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    20.0,
    30.0,
    45.0,
    60.0,
    120.0,
    180.0,
    240.0,
    300.0,
    360.0,
)
_STARTS += (480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0)
_OPERATIONS = exponential(0.005, 2.5, 14)

# -- the API on port 10250
_HTTP = "method path server_type long_running"
HTTP_REQUESTS = Counter("kubelet_http_requests_total", "Requests received since this kubelet started.", _HTTP)
HTTP_SECONDS = Distribution("kubelet_http_requests_duration_seconds", "Seconds to serve a request.", _HTTP)
HTTP_INFLIGHT = Gauge("kubelet_http_inflight_requests", "Requests being served now.", _HTTP)
STREAMS = Counter("kubelet_websocket_streaming_requests_total", "Streams by WebSocket, translated here.", "subresource")

# -- the runtime
RUNTIME_OPERATIONS = Counter("kubelet_runtime_operations_total", "Calls of the runtime.", "operation_type")
RUNTIME_ERRORS = Counter("kubelet_runtime_operations_errors_total", "Calls that failed.", "operation_type")
RUNTIME_SECONDS = Distribution(
    "kubelet_runtime_operations_duration_seconds", "Seconds of a call.", "operation_type", bounds=_OPERATIONS
)
RELIST_SECONDS = Distribution("kubelet_pleg_relist_duration_seconds", "Seconds of a look at all of the runtime.")
RELIST_INTERVAL = Distribution("kubelet_pleg_relist_interval_seconds", "Seconds between two such looks.")

# -- Pods
POD_START_SECONDS = Distribution(
    "kubelet_pod_start_duration_seconds", "Seconds from first seeing a Pod to its running.", bounds=_STARTS
)
WORKER_SECONDS = Distribution(
    "kubelet_pod_worker_duration_seconds", "Seconds of one pass over a Pod.", "operation_type", bounds=SECONDS
)
STARTED_PODS = Counter("kubelet_started_pods_total", "Sandboxes whose start was tried.")
STARTED_PODS_ERRORS = Counter("kubelet_started_pods_errors_total", "Sandboxes that could not be started.")
STARTED_CONTAINERS = Counter("kubelet_started_containers_total", "Containers whose start was tried.", "container_type")
STARTED_CONTAINERS_ERRORS = Counter(
    "kubelet_started_containers_errors_total", "Containers that could not be started.", "container_type code"
)
SANDBOX_SECONDS = Distribution(
    "kubelet_run_podsandbox_duration_seconds", "Seconds of a start of a sandbox.", "runtime_handler", bounds=_OPERATIONS
)
SANDBOX_ERRORS = Counter("kubelet_run_podsandbox_errors_total", "Starts of sandboxes that failed.", "runtime_handler")
PULL_SECONDS = Distribution(
    "kubelet_image_pull_duration_seconds",
    "Seconds of a pull of an image.",
    "image_size_in_bytes",
    bounds=(1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0),
)
REJECTIONS = Counter("kubelet_admission_rejections_total", "Pods that were refused.", "reason")
VOLUME_SECONDS = Distribution(
    "storage_operation_duration_seconds",
    "Seconds of setting up a volume.",
    "migrated operation_name status volume_plugin",
    bounds=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0),
)
SHUTDOWN_BEGAN = Gauge("kubelet_graceful_shutdown_start_time_seconds", "When the last shutdown of the node began.")
SHUTDOWN_ENDED = Gauge("kubelet_graceful_shutdown_end_time_seconds", "When it was over; 0 until then.")
EVICTIONS = Counter("kubelet_evictions", "Pods evicted by the signal that told of pressure.", "eviction_signal")
PREEMPTIONS = Counter("kubelet_preemptions", "Pods that made room for critical ones.", "preemption_signal")
FALLBACKS = Counter(
    "kubelet_lifecycle_handler_http_fallbacks_total", "HTTPS hooks that were answered in plain HTTP and repeated so."
)

# -- the API server
REST_REQUESTS = Counter("rest_client_requests_total", "Requests to the API server.", "code host method")
REST_SECONDS = Distribution(
    "rest_client_request_duration_seconds",
    "Seconds to the head of an answer of the API server.",
    "host verb",
    bounds=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0),
)

# -- certificates
CERTIFICATE_SECONDS = Gauge(
    "kubelet_certificate_manager_client_ttl_seconds", "Seconds until the client certificate expires."
)
SERVING_SECONDS = Gauge(
    "kubelet_certificate_manager_server_ttl_seconds", "Seconds until the serving certificate expires."
)
RENEW_ERRORS = Counter(
    "kubelet_certificate_manager_client_expiration_renew_errors", "Renewals of the client certificate that failed."
)
SERVING_RENEW_ERRORS = Counter(
    "kubelet_server_expiration_renew_errors", "Renewals of the serving certificate that failed."
)

# -- probes, which have a page of their own
PROBES = Counter(
    "prober_probe_total",
    "Results of probes.",
    "probe_type result container pod namespace pod_uid",
    "BETA",
)
PROBE_SECONDS = Distribution(
    "prober_probe_duration_seconds", "Seconds of a probe that succeeded.", "probe_type container pod namespace"
)

OF_PROBES: tuple[Family, ...] = (PROBES, PROBE_SECONDS)
ALL: tuple[Family, ...] = (
    *(SANDBOX_SECONDS, SANDBOX_ERRORS, PULL_SECONDS, REJECTIONS, VOLUME_SECONDS, SERVING_RENEW_ERRORS),
    *(CERTIFICATE_SECONDS, SERVING_SECONDS, RENEW_ERRORS, EVICTIONS, PREEMPTIONS, FALLBACKS),
    *(SHUTDOWN_BEGAN, SHUTDOWN_ENDED),
    *(HTTP_INFLIGHT, HTTP_SECONDS, HTTP_REQUESTS, STREAMS, RELIST_SECONDS, RELIST_INTERVAL),
    *(POD_START_SECONDS, WORKER_SECONDS, STARTED_PODS, STARTED_PODS_ERRORS),
    *(REST_REQUESTS, REST_SECONDS),
    *(STARTED_CONTAINERS, STARTED_CONTAINERS_ERRORS, RUNTIME_OPERATIONS, RUNTIME_ERRORS, RUNTIME_SECONDS),
)
"""What /metrics shows, besides what is looked up when it is asked for."""


_MEGABYTE = 1024 * 1024
_SIZES = (
    *((0, "0-10MB"), (10, "10MB-100MB"), (100, "100MB-500MB"), (500, "500MB-1GB"), (1024, "1GB-5GB")),
    *((5120, "5GB-10GB"), (10240, "10GB-20GB"), (20480, "20GB-30GB"), (30720, "30GB-40GB"), (40960, "40GB-60GB")),
    *((61440, "60GB-100GB"), (102400, "GT100GB")),
)


def size_of(image: int) -> str:
    """The label of PULL_SECONDS for an image of so many bytes."""
    return next(name for least, name in reversed(_SIZES) if image >= least * _MEGABYTE)


def forget_probes(uid: str) -> None:
    """A Pod has gone: its series, too, or they would grow for ever."""
    for labels in [labels for labels in PROBES.values if labels[5] == uid]:
        del PROBES.values[labels]
        PROBE_SECONDS.values.pop((labels[0], *labels[2:5]), None)
