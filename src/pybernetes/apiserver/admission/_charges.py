"""The quota ledger: checks what writes would use, and charges it to the quotas' status in one compare-and-set each.

Requests of a namespace that come together are charged together: whoever holds the namespace's lock does the work of
all that wait, in their order, with one write a quota. So fifty creates at once are two or three writes, and no one
loses a race fifty times.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.errors import ApiError, Conflict, Forbidden, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.admission._followed import Followed, refused
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.registry import Registry
from pybernetes.rules import quota as rule
from pybernetes.rules.podresources import Quantities, quantities

QUOTAS = GroupResource("", "resourcequotas")
_ZERO = Quantity()


class Charge:
    """What one request takes of which quotas, and what came of it."""

    __slots__ = ("amounts", "dry_run", "limited", "outcome", "request", "settled")

    def __init__(self, request: AdmissionRequest, amounts: Mapping[str, Quantities]) -> None:
        self.request = request
        self.amounts = amounts
        """By name of the quota."""
        self.limited = request.call.subresource != "status"
        """A claim's status reports what has happened: it is charged, and never refused."""
        self.dry_run = request.call.dry_run
        self.outcome: ApiError | None = None
        self.settled = False


class Ledger:
    """The quotas of all namespaces, and who waits for them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._quotas = Followed(registry, QUOTAS)
        self._waiting: dict[str, list[Charge]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def quotas(self, namespace: str) -> list[Object]:
        """Those of a namespace by name; shared: not to be changed."""
        return sorted(self._quotas.of(namespace), key=lambda quota: str(quota["metadata"]["name"]))

    async def charge(self, charge: Charge) -> None:
        """Returns when it is charged to all its quotas; raises Forbidden, and then none keeps anything of it."""
        namespace = charge.request.call.namespace
        waiting = self._waiting.setdefault(namespace, [])
        waiting.append(charge)
        lock = self._locks.setdefault(namespace, asyncio.Lock())
        try:
            async with lock:
                if not charge.settled:
                    await self._settle(namespace, list(waiting))
        finally:
            waiting.remove(charge)
            if not waiting:
                self._waiting.pop(namespace, None)
                self._locks.pop(namespace, None)
        if charge.outcome is not None:
            raise charge.outcome
        if not charge.dry_run:
            charge.request.call.undo.append(lambda: self._give_back(namespace, charge.amounts))

    async def _settle(self, namespace: str, charges: list[Charge]) -> None:
        charges = [charge for charge in charges if not charge.settled]
        self._rehearse(namespace, charges)
        names = sorted({name for charge in charges if _goes_on(charge) for name in charge.amounts})
        done: list[str] = []
        for name in names:
            before = [charge for charge in charges if _goes_on(charge)]
            try:
                await self._write(namespace, name, before)
            except ApiError as error:
                for charge in before:
                    if name in charge.amounts:
                        charge.outcome = error
            for charge in before:
                if charge.outcome is not None:
                    for earlier in [name for name in done if name in charge.amounts]:
                        await self._give_back(namespace, {earlier: charge.amounts[earlier]})
            done.append(name)
        for charge in charges:
            charge.settled = True

    def _rehearse(self, namespace: str, charges: Iterable[Charge]) -> None:
        """Refuses what does not fit by what is known: most refusals then need no write to be taken back."""
        states = {quota["metadata"]["name"]: _State(quota) for quota in self.quotas(namespace)}
        for charge in charges:
            for name, amounts in charge.amounts.items():
                if name in states and charge.outcome is None:
                    charge.outcome = states[name].refusal(charge, amounts)
            if charge.outcome is None and not charge.dry_run:
                for name in charge.amounts.keys() & states.keys():
                    states[name].take(charge.amounts[name])

    async def _write(self, namespace: str, name: str, charges: list[Charge]) -> None:
        """Charges one quota, judging again by its newest state."""
        concerned = [charge for charge in charges if name in charge.amounts]

        def change(quota: Object) -> Object:
            state = _State(quota)
            for charge in concerned:
                charge.outcome = state.refusal(charge, charge.amounts[name])
                if charge.outcome is None:
                    state.take(charge.amounts[name])
            return state.noted()

        try:
            await self._registry.update(QUOTAS, namespace, name, change)
        except NotFound:
            return  # deleted meanwhile: it limits nothing

    async def _give_back(self, namespace: str, amounts: Mapping[str, Quantities]) -> None:
        for name, taken in amounts.items():

            def change(quota: Object, taken: Quantities = taken) -> Object:
                state = _State(quota)
                state.take({resource: -value for resource, value in taken.items()})
                return state.noted()

            try:
                await self._registry.update(QUOTAS, namespace, name, change)
            except (NotFound, Conflict):
                continue  # the controller recounts


def _goes_on(charge: Charge) -> bool:
    return charge.outcome is None and not charge.dry_run


class _State:
    """A quota's numbers while charges are tried on it."""

    def __init__(self, quota: Object) -> None:
        status = quota.get("status") or {}
        self._quota = quota
        self._hard = quantities(status.get("hard"))
        self._used = quantities(status.get("used"))

    def refusal(self, charge: Charge, amounts: Quantities) -> Forbidden | None:
        """Why it does not fit; None where it does."""
        if not charge.limited:
            return None
        asked = {name: value for name, value in amounts.items() if name in self._hard}
        exceeded = [n for n, v in asked.items() if self._used.get(n, _ZERO) + v > self._hard[n]]
        if not exceeded:
            return None
        parts = [
            f"{word}: {rule.shown({name: amounts.get(name, _ZERO) for name in exceeded})}"
            for word, amounts in (("requested", asked), ("used", self._used), ("limited", self._hard))
        ]
        name = self._quota["metadata"]["name"]
        return refused(charge.request, f"exceeded quota: {name}, {', '.join(parts)}")

    def take(self, amounts: Mapping[str, Quantity]) -> None:
        """Adds to what is used, of what the quota limits; never below nothing."""
        for name, value in amounts.items():
            if name in self._hard:
                self._used[name] = max(self._used.get(name, _ZERO) + value, _ZERO)

    def noted(self) -> Object:
        """The quota with these numbers in its status."""
        used = {name: str(value) for name, value in self._used.items()}
        return {**self._quota, "status": {**(self._quota.get("status") or {}), "used": used}}


def pertinent(
    quotas: Iterable[Object], resource: GroupResource, request: AdmissionRequest
) -> tuple[list[Object], set[str]]:
    """The quotas that concern the object of a request, and all they limit of it. Raises Forbidden.

    A quota concerns an object that it limits anything of and whose every scope holds.
    """
    found: list[Object] = []
    restricted: set[str] = set()
    obj: Mapping[str, Any] = request.object
    for quota in quotas:
        status = quota.get("status") or {}
        names = [name for name in status.get("hard") or () if rule.concerns(resource, name)]
        if not names or not rule.all_in_scope(resource, quota, obj):
            continue
        name = quota["metadata"]["name"]
        missing = rule.unset(obj, names) if resource == rule.PODS else ""
        if missing:
            raise refused(request, f"failed quota: {name}: {missing}")
        if any(one not in (status.get("used") or {}) for one in names):
            raise refused(request, f"status unknown for quota: {name}, resources: {','.join(sorted(names))}")
        found.append(quota)
        restricted.update(names)
    return found, restricted
