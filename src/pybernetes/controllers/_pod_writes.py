"""Making and removing the Pods of an owner, with the events and expectations that belong to it. For workloads."""

from typing import Any

from msgspec import Struct

from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.names import SUBDOMAIN_LENGTH
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._batches import of_ending_namespace
from pybernetes.controllers._claim import reference_to
from pybernetes.controllers._expectations import Expectations
from pybernetes.controllers.runtime import Context


class PodWrites:
    """Of one owner. Refusals are returned, and told in events."""

    def __init__(self, ctx: Context, owner: Any) -> None:
        self._ctx, self._owner, self._key = ctx, owner, key_of(owner)
        self._pods = ctx.api(core_v1.Pod)
        self._expectations = ctx.state(Expectations)

    async def make(self, new: core_v1.Pod) -> ApiError | None:
        """A new Pod."""
        try:
            pod = await self._pods.create(new)
        except ApiError as error:
            if not of_ending_namespace(error):
                self._ctx.events.event(self._owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        self._expectations.created(self._key, pod, self._ctx.clock.now())
        self._ctx.events.event(self._owner, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")
        return None

    async def remove(self, pod: core_v1.Pod, *, as_seen: bool = False) -> ApiError | None:
        """The Pod goes; `as_seen`: only while it is as it was seen, or else a Conflict is returned."""
        meta = pod.metadata
        try:
            await self._pods.delete(key_of(pod), uid=meta.uid, revision=meta.resourceVersion if as_seen else "")
        except NotFound:
            pass
        except ApiError as error:
            if not (as_seen and isinstance(error, Conflict)):
                self._ctx.events.event(self._owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            return error
        else:
            self._ctx.events.event(self._owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name}")
        self._expectations.deleted(self._key, pod, self._ctx.clock.now())
        return None


def pod_of(kind: type[Struct], owner: Any) -> core_v1.Pod:
    """A new Pod of the owner's template."""
    template: core_v1.PodTemplateSpec = owner.spec.template
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            namespace=owner.metadata.namespace,
            # A name as long as can be leaves no room for a dash.
            generateName=owner.metadata.name + ("-" if len(owner.metadata.name) < SUBDOMAIN_LENGTH else ""),
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            ownerReferences=(reference_to(kind, owner.metadata),),
        ),
        spec=template.spec,
    )
