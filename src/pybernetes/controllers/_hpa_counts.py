"""What the HorizontalPodAutoscaler controller counts, under upstream's names. _hpa_look.py says when."""

from typing import Literal

from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential

Fault = Literal["none", "internal", "spec"]
"""Whether a look failed: by what the autoscaler says (spec), or by anything else."""
_NAME = "horizontal_pod_autoscaler_controller"
_ACTION = "The label 'action' should be either 'scale_down', 'scale_up', or 'none'."
_ERROR = "the label 'error' should be either 'spec', 'internal', or 'none'."
_ALSO = f"{_ACTION} Also, {_ERROR}"
_FIRST = (
    "Note that if both spec and internal errors happen during a reconciliation, the first one to occur is reported in "
    "`error` label."
)
_TYPE = "The label 'metric_type' corresponds to HPA.spec.metrics[*].type"
_BOUNDS = exponential(0.001, 2, 15)


def action(before: int, after: int) -> str:
    """What a change of size is called."""
    return "none" if before == after else "scale_up" if after > before else "scale_down"


class AutoscalerCounts:
    """horizontal_pod_autoscaler_controller_*."""

    def __init__(self) -> None:
        self._looks = Counter(
            f"{_NAME}_reconciliations_total",
            f"Number of reconciliations of HPA controller. {_ALSO} {_FIRST}",
            "action error",
        )
        self._seconds = Distribution(
            f"{_NAME}_reconciliation_duration_seconds",
            f"The time(seconds) that the HPA controller takes to reconcile once. {_ALSO} {_FIRST}",
            "action error",
            "ALPHA",
            _BOUNDS,
        )
        self._metrics = Counter(
            f"{_NAME}_metric_computation_total",
            f"Number of metric computations. {_ALSO} {_TYPE}",
            "action error metric_type",
        )
        self._metric_seconds = Distribution(
            f"{_NAME}_metric_computation_duration_seconds",
            f"The time(seconds) that the HPA controller takes to calculate one metric. {_ACTION} T{_ERROR[1:]} {_TYPE}",
            "action error metric_type",
            "ALPHA",
            _BOUNDS,
        )
        self.autoscalers = Gauge(f"{_NAME}_num_horizontal_pod_autoscalers", "Current number of controlled HPA objects.")
        self.wanted = Gauge(
            f"{_NAME}_desired_replicas", "Current desired replica count for HPA objects.", "namespace hpa_name"
        )

    def looked(self, done: str, fault: Fault, seconds: float) -> None:
        """One look at one autoscaler; `done` is an action()."""
        self._looks.add(done, fault)
        self._seconds.observe(seconds, done, fault)

    def computed(self, kind: str, done: str, fault: Fault, seconds: float) -> None:
        """One metric of one autoscaler; `done` is what it alone would do."""
        self._metrics.add(done, fault, kind)
        self._metric_seconds.observe(seconds, done, fault, kind)
