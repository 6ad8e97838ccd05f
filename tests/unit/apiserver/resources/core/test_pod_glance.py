"""A glance at a Pod shows all that those who make do with it look at; others see the whole of it."""

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.wire.codecs.test_laws import drawn

from pybernetes.aio.clock import SystemClock
from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.schema import Field
from pybernetes.apiserver.authz._graph import _pod as edges
from pybernetes.apiserver.catalog import Catalog, built
from pybernetes.apiserver.resources.core.pods import RESOURCE
from pybernetes.apiserver.usage.scraper import Scraper
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.entry import stored_bytes
from pybernetes.apiserver.watchcache.resource_cache import ResourceCache
from pybernetes.store.memory import MemoryStore

POD = schema.type_name(schema.GroupVersionKind("", "v1", "Pod"))
CATALOG = Catalog([built(RESOURCE)])
SERVED = CATALOG.find("", "v1", "pods")
assert SERVED is not None
assert SERVED.glance is not None
_SCALARS: dict[str, Any] = {
    "int32": 1,
    "int64": 1,
    "bool": True,
    "quantity": "1",
    "intorstring": 1,
    "time": "2026-01-02T03:04:05Z",
    "microtime": "2026-01-02T03:04:05.000000Z",
    "bytes": "YQ==",
    "raw": {},
}


def filled(type_name: str, path: str = "") -> dict[str, Any]:
    """An object with all its fields; texts say where they are."""
    return {name: _value(field, f"{path}.{name}") for name, field in schema.get(type_name).fields.items()}


def _value(field: Field, path: str) -> Any:
    if field.kind == "object":
        return filled(field.ref, path)
    if field.kind in ("list", "map"):
        assert field.item
        inner = _value(field.item, path)
        return [inner] if field.kind == "list" else {path: inner}
    return _SCALARS.get(field.kind, path)


class Registry:
    """Keeps who listens."""

    clock = SystemClock()

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def subscribe(self, resource: Any, listener: Any, *, glance: bool = False) -> None:
        self.listeners.append(listener)


def known(pod: dict[str, Any]) -> Any:
    registry = Registry()
    scraper = Scraper(registry)  # type: ignore[arg-type]  # it asks no more of it
    registry.listeners[-1]("ADDED", pod)
    return scraper.pods


def check(pod: dict[str, Any]) -> None:
    pod = canonicalize(pod, POD).object
    seen = SERVED.glance(stored_bytes(SERVED, pod))
    for name, value in SERVED.fields.items():
        assert value(seen) == value(pod), name
    for node in ("", "n"):  # with a name or without: one is drawn seldom
        for one in (pod, seen):
            one["spec"]["nodeName"] = node
        assert list(edges(seen)) == list(edges(pod))
        assert known(seen) == known(pod)


def test_of_a_pod_with_all_that_a_pod_can_have() -> None:
    pod = filled(POD)
    assert len(list(edges(pod))) > 25
    check(pod)
    check({**pod, "metadata": {**pod["metadata"], "annotations": {"kubernetes.io/config.mirror": "x"}}})


@given(st.data())
@settings(max_examples=200, derandomize=True, suppress_health_check=list(HealthCheck))
def test_of_whatever_pod(data: st.DataObject) -> None:
    pod: dict[str, Any] = {
        part: drawn(data.draw, f"io.k8s.api.core.v1.Pod{part.title()}") for part in ("spec", "status")
    }
    pod["spec"]["containers"] = [drawn(data.draw, "io.k8s.api.core.v1.Container") for _ in range(2)]
    pod["spec"]["volumes"] = [drawn(data.draw, "io.k8s.api.core.v1.Volume") for _ in range(2)]
    check({**pod, "metadata": {**drawn(data.draw, schema.OBJECT_META), "name": "x", "namespace": "y"}})


def test_what_is_not_a_pod_is_no_worse_than_it_is() -> None:
    odd = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "labels": {"a": 1}}, "spec": {"nodeName": 7}}
    assert SERVED.glance(orjson.dumps(odd)) == odd


async def test_who_wants_the_whole_gets_it() -> None:
    store = MemoryStore()
    pod = canonicalize({"metadata": {"name": "x", "namespace": "y"}, "spec": {"hostname": "h"}}, POD).object
    await store.create("/registry/pods/y/x", stored_bytes(SERVED, pod))

    async def told(*glances: bool) -> list[dict[str, Any]]:
        cache, found = WatchCache(store, CATALOG), []
        one: ResourceCache = cache.of(SERVED)
        for glance in glances:
            one.subscribe(lambda kind, obj: found.append(obj["spec"]), glance=glance)
        await cache.open()
        return found

    assert await told(True) == [{"containers": []}]
    assert await told(True, False) == [pod["spec"]] * 2
