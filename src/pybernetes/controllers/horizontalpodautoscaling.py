"""HorizontalPodAutoscaler controller: looks at each autoscaler every sync period. _hpa_look.py says what a look does."""

from pybernetes.api.objects import Key
from pybernetes.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from pybernetes.api.types.core_v1 import Pod
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Outcome, Watch, allow, nothing


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One autoscaler. No failure makes anybody look more often."""
    from pybernetes.controllers._hpa_look import look  # 10 ms, for the few clusters that have autoscalers

    return await look(key, ctx)


def _asks_for_something_else(old: HorizontalPodAutoscaler, new: HorizontalPodAutoscaler) -> bool:
    return old.spec != new.spec or old.metadata.uid != new.metadata.uid


CONTROLLER = Controller(
    name="horizontal-pod-autoscaler-controller",
    queue="horizontalpodautoscaler",
    account="horizontal-pod-autoscaler",
    component="horizontal-pod-autoscaler",
    watches=(
        Watch(kind=HorizontalPodAutoscaler, changed=_asks_for_something_else),
        Watch(kind=Pod, keys=nothing),  # they are looked at when it is time to, not when they change
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "horizontalpodautoscalers", "autoscaling"),
        allow("patch", "horizontalpodautoscalers/status", "autoscaling"),
        allow("get update", "*/scale", "*"),
        allow("list watch", "pods"),
        allow("list", "pods", "metrics.k8s.io"),
        allow("get", "*", "custom.metrics.k8s.io"),
        allow("list", "*", "external.metrics.k8s.io"),
        EVENTS,
    ),
)
