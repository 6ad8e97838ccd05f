"""Establishing: follows the stored CustomResourceDefinitions, settles their names and serves what they declare.

Every server on a store does this by itself: what it writes is compare-and-set and follows from what is stored, so that
two of them agree. A definition says Established once this server answers for it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import orjson

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.crd.conditions import condition, find, put
from pybernetes.apiserver.crd.declaration import approval
from pybernetes.apiserver.crd.instances import Instances
from pybernetes.apiserver.crd.serving import served_of
from pybernetes.apiserver.storage import Storage
from pybernetes.apiserver.validation.conditions import is_true
from pybernetes.store.protocol import StoreError

log = logging.getLogger(__name__)

DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_RETRY_SECONDS = 1.0
_SINGLE = (("plural", "Plural"), ("singular", "Singular"), ("kind", "Kind"), ("listKind", "ListKind"))


class _Kept:
    """What this server serves of one definition: its versions, and by what they can be told from others."""

    def __init__(self, versions: list[Served], stored: bytes, shown: bytes) -> None:
        self.versions = versions
        self.stored = stored
        self.shown = shown


class Definitions:
    """The definitions of one server. follow() before its cache is opened, load() after, run() until cancelled."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._instances = Instances(storage, self._note)
        self._kept: dict[str, _Kept] = {}
        self._waiting: dict[str, None] = {}
        self._by_group: dict[str, dict[str, Mapping[str, Any]]] = {}
        """The accepted names of every definition of a group, by its name."""
        self._wake = asyncio.Event()
        self._turned = asyncio.Event()
        """Set for a moment, after each turn."""
        self._busy = False

    @property
    def settled(self) -> bool:
        """Whether everything that is stored is served as it says."""
        return not self._waiting and not self._busy

    def follow(self) -> None:
        """From now on every change is noted; run() acts on it."""
        if DEFINITIONS in self._storage.catalog.by_gr:
            self._storage.subscribe(DEFINITIONS, self._changed)

    async def caught_up(self) -> None:
        """Waits until what is stored at this moment, by whichever server, is served as it says. Raises ServiceUnavailable."""
        await self._storage.fresh()
        while not self.settled:
            await self._turned.wait()

    async def load(self) -> None:
        """Serves what was established before this server began."""
        while self._waiting:
            await self._turn()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._turn()

    async def _turn(self) -> None:
        name = next(iter(self._waiting))
        del self._waiting[name]
        self._busy = True
        try:
            await self._settle(name)
        except (ApiError, StoreError) as error:
            log.warning("definition is not settled name=%s cause=%s", name, error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._note, name)
        except (KeyError, TypeError, ValueError) as error:  # stored by something else than this server
            log.error("definition is unreadable and not served name=%s cause=%r", name, error)
        finally:
            self._busy = False
            self._turned.set()
            self._turned.clear()

    def _changed(self, kind: str, crd: Object) -> None:
        name, group = crd["metadata"]["name"], crd.get("spec", {}).get("group", "")
        self._by_group.setdefault(group, {})[name] = (crd.get("status") or {}).get("acceptedNames") or {}
        self._note(name)
        if kind == "DELETED":
            del self._by_group[group][name]
            self._note_group(group, name)  # its names are free now

    def _note(self, name: str) -> None:
        self._waiting[name] = None
        self._wake.set()

    def _note_group(self, group: str, but: str) -> None:
        for other in self._by_group.get(group, {}):
            if other != but:
                self._note(other)

    async def _settle(self, name: str) -> None:
        crd = self._storage.look(DEFINITIONS, "", name)
        if crd is None:
            self._drop(name)
            return
        wanted = self._named(crd)
        if is_true(wanted, "Established"):
            await self._serve(wanted)
        if wanted.get("status") != crd.get("status"):
            crd = await self._store(wanted, crd)
        if crd["metadata"].get("deletionTimestamp"):
            await self._instances.clear(crd, self._kept.get(name))

    async def _store(self, wanted: Object, seen: Object) -> Object:
        """Writes the status unless somebody else was first: then that is looked at next."""
        revision = seen["metadata"]["resourceVersion"]
        name = seen["metadata"]["name"]

        def change(crd: Object) -> Object | None:
            if crd["metadata"]["resourceVersion"] != revision:
                self._note(name)
                return None
            return {**crd, "status": wanted["status"]}

        try:
            stored = await self._storage.update(DEFINITIONS, "", name, change)
        except NotFound:
            return seen
        written = stored["metadata"]["resourceVersion"] != revision
        if written and wanted["status"].get("acceptedNames") != (seen.get("status") or {}).get("acceptedNames"):
            self._note_group(seen["spec"].get("group", ""), name)
        return stored

    # --- names

    def _named(self, crd: Object) -> Object:
        """The definition with what can be said of its names today."""
        wanted: Object = {**crd, "status": {**(crd.get("status") or {})}}
        now = rfc3339(self._storage.clock.now())
        spec, accepted = crd["spec"]["names"], dict(wanted["status"].get("acceptedNames") or {})
        if _names_of(spec) != _names_of(accepted) or find(crd, "NamesAccepted") is None:
            resources, kinds = self._taken(crd)
            accepted, reason, why = _accepted(spec, accepted, resources, kinds)
            wanted["status"]["acceptedNames"] = {"plural": "", "kind": "", **_names_of(accepted)}
            if why:
                _set(wanted, condition("NamesAccepted", False, reason, why, now))
            else:
                _set(wanted, condition("NamesAccepted", True, "NoConflicts", "no conflicts found", now))
        if not is_true(wanted, "Established"):
            if is_true(wanted, "NamesAccepted"):
                text = "the initial names have been accepted"
                _set(wanted, condition("Established", True, "InitialNamesAccepted", text, now))
            else:
                _set(wanted, condition("Established", False, "NotAccepted", "not all names are accepted", now))
        state = approval(crd)
        if state is not None:
            approved = state[0] == "ApprovedAnnotation"
            _set(wanted, condition("KubernetesAPIApprovalPolicyConformant", approved, *state, now))
        return wanted

    def _taken(self, crd: Object) -> tuple[set[str], set[str]]:
        """Names of resources and of kinds that definitions of the group have, this one among them."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for names in self._by_group.get(crd["spec"].get("group", ""), {}).values():
            resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
            kinds |= {names.get("kind", ""), names.get("listKind", "")}
        return resources - {""}, kinds - {""}

    # --- what is served

    async def _serve(self, crd: Object) -> None:
        name = crd["metadata"]["name"]
        storage = self._storage
        known = storage.catalog.by_gr.get(GroupResource(crd["spec"]["group"], crd["spec"]["names"]["plural"]))
        if known is not None and known.form.type_name:
            return  # built in: never hidden behind a definition
        stored, shown = _marks(crd)
        kept = self._kept.get(name)
        if kept is not None and (kept.stored, kept.shown) == (stored, shown):
            return
        versions = served_of(crd)
        first = versions[0]
        if kept is None or kept.stored != stored:
            await storage.cache.put(first)
            self._instances.follow(name, first)
        served = [one for one in versions if _is_served(crd, one.facts.version)]
        storage.catalog.drop(first.gr, keep=[one.facts.version for one in served])
        storage.catalog.put(served)
        self._kept[name] = _Kept(versions, stored, shown)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._storage.catalog.drop(kept.versions[0].gr)
            self._storage.cache.drop(kept.versions[0])


def _is_served(crd: Object, name: str) -> bool:
    return any(version["name"] == name and version.get("served") for version in crd["spec"]["versions"])


def _marks(crd: Object) -> tuple[bytes, bytes]:
    """By what is told whether stored objects must be read anew, and whether anything that is shown has changed."""
    spec, names = crd["spec"], crd["status"]["acceptedNames"]
    parts = [
        [version.get(field) for field in ("name", "storage", "schema", "selectableFields")]
        for version in spec["versions"]
    ]
    stored = [crd["metadata"]["uid"], spec.get("scope"), names.get("kind"), parts]
    shown = [spec, names, is_true(crd, "Terminating")]
    return _digest(stored), _digest(shown)


def _digest(value: object) -> bytes:
    """Schemas are long and many: their text is not kept."""
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()


def _names_of(names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if value}


def _set(crd: Object, new: dict[str, Any]) -> None:
    """A condition, unless that is what it says already."""
    old = find(crd, new["type"])
    if old is None or any(old.get(field) != new[field] for field in ("status", "reason", "message")):
        put(crd, new)


def _accepted(
    spec: Mapping[str, Any], old: Mapping[str, Any], resources: set[str], kinds: set[str]
) -> tuple[Object, str, str]:
    """The accepted names; reason and text of the last conflict there is."""
    accepted = {**old}
    reason = why = ""
    for field, shown in _SINGLE:
        wanted, taken = spec.get(field, ""), kinds if field.endswith("ind") else resources
        if field == "kind":
            accepted, reason, why = _short_names(spec, old, resources, (accepted, reason, why))
        if wanted != old.get(field, "") and wanted in taken:
            reason, why = f"{shown}Conflict", f'"{wanted}" is already in use'
        else:
            accepted[field] = wanted
    accepted["categories"] = spec.get("categories") or []
    return accepted, reason, why


def _short_names(
    spec: Mapping[str, Any], old: Mapping[str, Any], resources: set[str], so_far: tuple[Object, str, str]
) -> tuple[Object, str, str]:
    accepted, reason, why = so_far
    mine = {*(old.get("shortNames") or ()), old.get("plural", ""), old.get("singular", "")}
    wanted = spec.get("shortNames") or []
    taken = [f'"{name}" is already in use' for name in wanted if name not in mine and name in resources]
    if taken:
        return accepted, "ShortNamesConflict", taken[0] if len(taken) == 1 else f"[{', '.join(taken)}]"
    return {**accepted, "shortNames": wanted}, reason, why
