"""What the newer CRUD tests ask: every call on one object, each way to patch it and its status, watched by informers."""

import asyncio
import copy
from typing import Any

import orjson
from msgspec import Struct, field
from tests.component.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, Events

STATUS_CONDITION = {
    "type": "TestCondition",
    "status": "True",
    "reason": "TestReason",
    "message": "TestMessage",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
LABEL = {"e2e-test.kubernetes.io": "crud-1"}
SELECTED = "labelSelector=e2e-test.kubernetes.io%3Dcrud-1"
CHANGE = {"metadata": {"labels": {"test.example.com": "test"}}}
CHANGE_BY_JSON = [{"op": "add", "path": "/metadata/labels/test.example.com", "value": "test"}]


class Case(Struct):
    """A kind to test: where, what, the change of its spec, and the status it may get."""

    version: str
    plural: str
    obj: dict[str, Any]
    namespace: str = ""
    change: Any = field(default_factory=lambda: CHANGE)
    change_by_json: Any = field(default_factory=lambda: CHANGE_BY_JSON)
    status: Any = None

    @property
    def path(self) -> str:
        """Of the collection."""
        return f"{self.version}/namespaces/{self.namespace}/{self.plural}" if self.namespace else self.everywhere

    @property
    def everywhere(self) -> str:
        """Of the collection in all namespaces."""
        return f"{self.version}/{self.plural}"


class _Informer:
    """A watch with initial events that checks what it is told."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._newest = 0

    async def next(self) -> tuple[str, Any]:
        """The next event; revisions never go back."""
        kind, obj = await asyncio.wait_for(self._events.next(), 5)
        assert int(obj["metadata"]["resourceVersion"]) >= self._newest
        self._newest = int(obj["metadata"]["resourceVersion"])
        return kind, obj

    async def sees(self, *kinds: str) -> None:
        """Just these, and nothing before them."""
        assert [(await self.next())[0] for _ in kinds] == list(kinds)


class _Run:
    def __init__(self, api: Api, case: Case) -> None:
        self.api = api
        self.case = case
        self.informers: list[_Informer] = []
        self.one = f"{case.path}/{case.obj['metadata']['name']}"
        meta = {**case.obj["metadata"], "labels": {**case.obj["metadata"].get("labels", {}), **LABEL}}
        if case.namespace:
            meta["namespace"] = case.namespace
        said = {name: value for name, value in case.obj.items() if name not in ("kind", "apiVersion")}
        self.initial = {**said, "metadata": meta}
        self.changed = _merged(self.initial, case.change)

    async def sees(self, *kinds: str) -> None:
        for informer in self.informers:
            await informer.sees(*kinds)

    async def watch(self) -> None:
        asked = (
            f"?allowWatchBookmarks=true&{SELECTED}&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true"
        )
        for path in sorted({self.case.path, self.case.everywhere}):
            informer = _Informer(await self.api.watch(path + asked))
            kind, mark = await informer.next()
            assert (kind, mark["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
            self.informers.append(informer)

    async def create(self, query: str = "") -> Any:
        made = await self.api.made(self.case.path + query, self.initial)
        self.holds(made, self.initial)
        await self.sees("ADDED")
        return made

    async def delete(self) -> None:
        await self.api.ok("DELETE", self.one, {"kind": "DeleteOptions", "apiVersion": self.case.version[6:]})
        assert (await self.api("GET", self.one))[0] == 404
        await self.sees("DELETED")

    def holds(self, found: Any, *wanted: Any) -> None:
        for part in wanted:
            assert _within(part, found), (part, found)

    async def update(self, made: Any) -> Any:
        updated = await self.api.ok("PUT", self.one, _merged(made, self.case.change))
        self.holds(updated, self.changed)
        assert int(updated["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        await self.sees("MODIFIED")
        return updated

    async def patch(self, kind: str, body: Any, existing: Any, subresource: str = "") -> Any:
        """As a dynamic client does: with the name, the uid and the kind of what is there, and strict."""
        if kind != JSON_PATCH:
            meta = {name: existing["metadata"][name] for name in ("namespace", "name", "uid")
                    if name in existing["metadata"]}  # fmt: skip
            body = _merged(body, {"apiVersion": existing["apiVersion"], "kind": existing["kind"], "metadata": meta})
        query = "?fieldValidation=Strict" + ("&fieldManager=test-apply&force=true" if kind == APPLY else "")
        found = await self.api.ok("PATCH", self.one + subresource + query, body, content_type=kind)
        await self.sees("MODIFIED")
        return found


async def supports_everything(api: Api, case: Case) -> None:
    """Discovery, informers, create, get, update, status, every patch of both, lists, deletion of one and of all."""
    run = _Run(api, case)
    assert case.plural in [row["name"] for row in (await api.ok("GET", case.version))["resources"]]
    await run.watch()
    made = await run.create("?fieldValidation=Strict")
    assert await api.ok("GET", run.one) == made
    updated = await run.update(made)
    if case.status is not None:
        told = await api.ok("PUT", f"{run.one}/status", {**updated, "status": case.status})
        run.holds(told, run.changed, {"status": case.status})
        await run.sees("MODIFIED")
        assert await api.ok("GET", f"{run.one}/status") == told
    for kind in (STRATEGIC, APPLY, MERGE, JSON_PATCH):
        await run.delete()
        made = await run.create()
        patched = await run.patch(kind, case.change_by_json if kind == JSON_PATCH else case.change, made)
        run.holds(patched, run.changed)
    for kind in (STRATEGIC, APPLY, MERGE, JSON_PATCH) if case.status is not None else ():
        await run.delete()
        updated = await run.update(await run.create())
        by_json = [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in case.status.items()]
        told = await run.patch(kind, by_json if kind == JSON_PATCH else {"status": case.status}, updated, "/status")
        run.holds(told, run.changed, {"status": case.status})
    for path in {case.path, case.everywhere}:
        listed = (await api.ok("GET", f"{path}?{SELECTED}"))["items"]
        assert len(listed) == 1
        run.holds(listed[0], run.changed)
    await api.ok("DELETE", f"{case.path}?{SELECTED}", {"kind": "DeleteOptions", "apiVersion": case.version[6:]})
    assert (await api("GET", run.one))[0] == 404
    await run.sees("DELETED")


def _within(part: Any, whole: Any) -> bool:
    """Whether everything that `part` says is said by `whole`."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(_within(value, whole.get(name)) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) <= len(whole) and all(map(_within, part, whole))
    return bool(part == whole)


def _merged(obj: Any, change: Any) -> Any:
    """A copy of the object with the change laid over its maps."""
    made = orjson.loads(orjson.dumps(obj))
    for name, value in change.items():
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = _merged(made[name], value) if both else copy.deepcopy(value)
    return made
