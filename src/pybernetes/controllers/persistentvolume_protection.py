"""PV protection: a volume stays for as long as it is bound to a claim."""

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers._finalizers import protect
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow

FINALIZER = "kubernetes.io/pv-protection"


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One volume."""
    volume = ctx.cache(core_v1.PersistentVolume).get(key)
    if volume is not None:
        await protect(volume, FINALIZER, volume.status.phase == "Bound", ctx)
    return Done()


CONTROLLER = Controller(
    name="persistentvolume-protection-controller",
    component="pv-protection-controller",
    queue="pvprotection",
    account="pv-protection-controller",
    watches=(Watch(kind=core_v1.PersistentVolume),),
    reconcile=reconcile,
    rules=(allow("get list watch update patch", "persistentvolumes"), EVENTS),
)
