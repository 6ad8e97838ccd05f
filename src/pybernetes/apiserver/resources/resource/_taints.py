"""When taints were added: devices and rules note it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call


def note_time(call: Call, taint: Object, before: Mapping[str, Any] | None = None) -> None:
    """A taint is from now on, unless it says otherwise; one whose effect has changed (`before`) begins anew."""
    changed = (
        before is not None
        and before.get("effect") != taint.get("effect")
        and before.get("timeAdded") == taint.get("timeAdded")
    )
    if not taint.get("timeAdded") or changed:
        taint["timeAdded"] = rfc3339(call.registry.clock.now())
