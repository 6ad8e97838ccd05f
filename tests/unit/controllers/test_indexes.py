"""Who is looked for by an index and not among all: adopters, orphans, the Services of a Pod, the Pods of a Service."""

from typing import Any, cast

import msgspec
from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.api.selectors import parse
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.client.informer import Cache
from pybernetes.client.rest import key_of
from pybernetes.controllers._claim import INDEX, adopters, by_controller
from pybernetes.controllers._endpoints import of_pod, selected
from pybernetes.controllers._labels import LABEL, LABELS
from pybernetes.controllers.runtime import Context


class Caches:
    """As a Context, as far as caches go."""

    def __init__(self) -> None:
        self._caches: dict[type[Struct], Cache[Any]] = {}

    def cache(self, kind: type[Struct]) -> Cache[Any]:
        return self._caches.setdefault(kind, Cache())

    def put(self, kind: type[Struct], name: str, **body: Any) -> Any:
        meta = {"name": name, "namespace": "default", "uid": name, **body.pop("metadata", {})}
        obj = msgspec.convert({"metadata": meta, **body}, kind)
        self.cache(kind).put(key_of(obj), obj)
        return obj

    @property
    def ctx(self) -> Context:
        return cast(Context, self)


def replica_set(caches: Caches, name: str, **selector: Any) -> None:
    caches.put(apps_v1.ReplicaSet, name, spec={"selector": selector, "template": {"spec": {"containers": []}}})


def pod(caches: Caches, name: str, **labels: str) -> core_v1.Pod:
    found: core_v1.Pod = caches.put(core_v1.Pod, name, metadata={"labels": labels}, spec={"containers": []})
    return found


def service(caches: Caches, name: str, **selector: str) -> core_v1.Service:
    found: core_v1.Service = caches.put(core_v1.Service, name, spec={"selector": selector})
    return found


def names(keys: Any) -> list[str]:
    return sorted(key.name for key in keys)


def test_adopters_are_those_whose_whole_selector_holds_also_without_an_exact_label():
    caches = Caches()
    replica_set(caches, "exact", matchLabels={"app": "web"})
    replica_set(caches, "both", matchLabels={"app": "web", "tier": "front"})
    replica_set(caches, "exists", matchExpressions=[{"key": "app", "operator": "Exists"}])
    replica_set(caches, "one-of", matchExpressions=[{"key": "app", "operator": "In", "values": ["web", "shop"]}])
    replica_set(caches, "other", matchLabels={"app": "shop"})
    found = adopters(apps_v1.ReplicaSet, pod(caches, "p", app="web"), caches.ctx)
    assert names(map(key_of, found)) == ["exact", "exists", "one-of"]
    assert adopters(apps_v1.ReplicaSet, pod(caches, "bare"), caches.ctx) == []


def test_an_owner_that_comes_later_is_found_too():
    caches = Caches()
    orphan = pod(caches, "p", app="web")
    assert adopters(apps_v1.ReplicaSet, orphan, caches.ctx) == []
    replica_set(caches, "late", matchLabels={"app": "web"})
    assert names(map(key_of, adopters(apps_v1.ReplicaSet, orphan, caches.ctx))) == ["late"]


def test_orphans_are_indexed_by_namespace_and_by_each_label():
    caches = Caches()
    cache = caches.cache(core_v1.Pod)
    cache.add_index(INDEX, by_controller)
    pod(caches, "p", app="web", tier="front")
    for value in ("orphans/default", "orphans/default/app=web", "orphans/default/tier=front"):
        assert names(map(key_of, cache.by(INDEX, value))) == ["p"]
    cache.put(Key("default", "p"), None)
    assert cache.by(INDEX, "orphans/default/app=web") == []


def test_a_selector_is_exact_where_a_term_has_one_value():
    found = {text: parse(text).exact for text in ("a=1", "a in (1)", "a in (1,2),b==2", "a!=1", "a", "!a", "")}
    assert found == {
        "a=1": ("a", "1"), "a in (1)": ("a", "1"), "a in (1,2),b==2": ("b", "2"), "a!=1": None, "a": None, "!a": None,
        "": None,
    }  # fmt: skip


def test_services_and_pods_find_each_other_by_labels():
    caches = Caches()
    web = service(caches, "web", app="web", tier="front")
    service(caches, "none")
    pod(caches, "half", app="web")
    whole = pod(caches, "whole", app="web", tier="front", more="x")
    assert names(of_pod(whole, caches.ctx)) == ["web"]
    assert names(map(key_of, selected(web, caches.ctx))) == ["whole"]
    assert caches.cache(core_v1.Pod).indexes(LABEL) == ["label/app"]


def test_services_by_more_labels_than_are_indexed_still_find_their_pods():
    caches = Caches()
    for number in range(LABELS + 2):
        one = service(caches, f"s{number}", **{f"key{number}": "x"})
        pod(caches, f"p{number}", **{f"key{number}": "x"})
        assert names(map(key_of, selected(one, caches.ctx))) == [f"p{number}"]
    assert len(caches.cache(core_v1.Pod).indexes(LABEL)) == LABELS
