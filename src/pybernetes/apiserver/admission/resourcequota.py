"""ResourceQuota: no more is made in a namespace than its quotas allow; what is made is charged before it is stored.

Configuration: `limitedResources` (resourcequota ConfigMap of upstream): what may only be used where a quota covers it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pybernetes.api.objects import GroupResource, Object
from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.admission._charges import Charge, Ledger, pertinent
from pybernetes.apiserver.admission._followed import NAMESPACES, Followed, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.rules import quota as rule
from pybernetes.rules.podresources import Quantities

_CLASSES = GroupResource("resource.k8s.io", "deviceclasses")


class Quotas:
    """The plugin of one server."""

    def __init__(self, registry: Registry, limited: Collection[Mapping[str, Any]]) -> None:
        self._ledger = Ledger(registry)
        self._classes = Followed(registry, _CLASSES)
        self._limited = limited

    async def validate(self, request: AdmissionRequest) -> None:
        """Checks and charges. Raises Forbidden."""
        call = request.call
        if not call.namespace:
            return
        quotas = self._ledger.quotas(call.namespace)
        if not quotas and not self._limited:
            return
        resource = call.resource.group_resource
        if resource in rule.IGNORED or resource == NAMESPACES:
            return
        if not rule.handles(resource, request.operation, call.subresource, request.object, request.old):
            return
        found, restricted = pertinent(quotas, resource, request)
        used, delta = self._usage(request, resource)
        if not found and not delta:
            return
        self._refuse_uncovered(request, resource, used, quotas, restricted)
        amounts = {}
        for quota in found:
            before = request.old is not None and rule.all_in_scope(resource, quota, request.old)
            hard = quota["status"]["hard"]
            charged = {n: v for n, v in (delta if before else used).items() if v and n in hard}
            if charged:
                amounts[quota["metadata"]["name"]] = charged
        if amounts:
            await self._ledger.charge(Charge(request, amounts))

    def _usage(self, request: AdmissionRequest, resource: GroupResource) -> tuple[Quantities, Quantities]:
        """What the object uses, and how much more than before."""
        now = request.call.registry.clock.now()
        extended = rule.extended_names(self._classes.of()) if resource == rule.DEVICES else None
        used = rule.usage(resource, request.object, now, extended)
        negative = sorted(name for name, value in used.items() if value.nanos < 0)
        if negative:
            raise refused(request, f"quota usage is negative for resource(s): {','.join(negative)}")
        if request.old is None:
            return used, used
        old = rule.usage(resource, request.old, now, extended)
        more = {name: value - old.get(name, Quantity()) for name, value in used.items()}
        return used, {name: value for name, value in more.items() if value.nanos > 0}

    def _refuse_uncovered(
        self,
        request: AdmissionRequest,
        resource: GroupResource,
        used: Quantities,
        quotas: Iterable[Object],
        restricted: set[str],
    ) -> None:
        """What is limited by configuration needs a quota that covers it."""
        if not self._limited:
            return
        obj, names, scopes = request.object, set[str](), list[Mapping[str, Any]]()
        for limited in self._limited:
            scopes += [one for one in limited.get("matchScopes") or () if rule.in_scope(resource, one, obj)]
            if (limited.get("apiGroup") or "", limited.get("resource")) == (resource.group, resource.resource):
                parts = limited.get("matchContains") or ()
                names |= {name for name, value in used.items() if value and any(part in name for part in parts)}
        if names - restricted:
            raise refused(request, f"insufficient quota to consume: {','.join(sorted(names - restricted))}")
        covered = {
            selector.get("scopeName")
            for quota in quotas
            for selector in rule.selectors(quota)
            if rule.in_scope(resource, selector, obj)
        }
        bare = [one for one in scopes if one.get("scopeName") not in covered]
        if bare:
            texts = (f"{{{s['scopeName']} {s.get('operator')} [{' '.join(s.get('values') or ())}]}}" for s in bare)
            raise refused(request, f"insufficient quota to match these scopes: [{' '.join(texts)}]")


def _start(registry: Registry, configuration: Object) -> Hooks:
    limited = configuration.get("limitedResources") or []
    for at, one in enumerate(limited):
        if not isinstance(one, dict) or not one.get("resource"):
            raise ValueError(f"limitedResources[{at}].resource: Required value")
    return Hooks(validate=Quotas(registry, limited).validate)


ADMISSION = Admission(name="ResourceQuota", order=400, start=_start)
