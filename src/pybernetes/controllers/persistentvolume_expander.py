"""PV expander: tells who waits for a larger claim that an external resizer is to make it so.

Nothing in the tree can expand a volume any more: drivers do (CSI), by their resizer. Directories of local-path have no size.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pybernetes.api.objects import Key
from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import volumebinding as rule

WAITING = "waiting for an external controller to expand this PVC"


@dataclass(slots=True)
class _Told:
    """By claim: its uid and the size that was told of."""

    by_claim: dict[Key, tuple[str, Quantity]] = field(default_factory=dict)


def _grows(claim: core_v1.PersistentVolumeClaim) -> bool:
    held = claim.status.capacity.get("storage")
    if claim.status.phase != "Bound" or not claim.spec.volumeName or held is None:
        return False
    return rule.size_of_claim(claim) > parse(held)


def _of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    return (key_of(claim),) if _grows(claim) or key_of(claim) in ctx.state(_Told).by_claim else ()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One claim that was, or is, to grow."""
    told = ctx.state(_Told).by_claim
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(key)
    if claim is None or not _grows(claim):
        told.pop(key, None)
        return Done()
    now = (claim.metadata.uid, rule.size_of_claim(claim))
    if told.get(key) != now:
        told[key] = now
        ctx.events.event(claim, "Normal", "ExternalExpanding", WAITING)
    return Done()


CONTROLLER = Controller(
    name="persistentvolume-expander-controller",
    queue="volume_expand",
    account="expand-controller",
    component="volume_expand",
    watches=(Watch(kind=core_v1.PersistentVolumeClaim, keys=_of_claim),),
    reconcile=reconcile,
    rules=(allow("get list watch", "persistentvolumeclaims persistentvolumes"), EVENTS),
)
