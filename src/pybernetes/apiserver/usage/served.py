"""NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1): get and list, made from the scraper's figures at each request.

They are no part of upstream's release (metrics-server serves them there), so their facts and schemas are here. An
APIService of somebody's own takes their place once this server aggregates: it drops them from its catalog then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pybernetes.aio.clock import rfc3339
from pybernetes.api.canonical import Canonical
from pybernetes.api.errors import not_found
from pybernetes.api.facts import ResourceFacts
from pybernetes.api.objects import GroupResource, Object
from pybernetes.api.quantity import BINARY, DECIMAL, Quantity, of_int, parse
from pybernetes.apiserver.catalog import ROOT, Served, head
from pybernetes.apiserver.connect import NODES, PODS
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import NAME
from pybernetes.apiserver.usage.figures import Owner, Rate
from pybernetes.apiserver.usage.scraper import Scraper
from pybernetes.rules.durations import text_of

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_NANO = 10**9
_NODE_METRICS, _POD_METRICS = GroupResource(GROUP, "nodemetrics"), GroupResource(GROUP, "podmetrics")
"""As errors name what is not known."""


def served(scraper: Scraper) -> Iterator[Sequence[Served]]:
    """What a Catalog is to serve: each resource in its one version."""
    answers = _Answers(scraper)
    nodes = Resource(group=GROUP, plural="nodes", version=VERSION, made=answers.nodes, columns=_columns(_of_node))
    pods = Resource(group=GROUP, plural="pods", version=VERSION, made=answers.pods, columns=_columns(_of_pod))
    yield [_served(nodes, "NodeMetrics", False, {"usage": _USAGE})]
    yield [_served(pods, "PodMetrics", True, {"containers": {"type": "array", "items": _CONTAINER}})]


class _Answers:
    """All there are of each kind, as the request asks."""

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper

    async def nodes(self, call: Call) -> Sequence[Object]:
        await self._scraper.asked()
        known, now = self._scraper.nodes, rfc3339(call.registry.clock.now())
        if call.verb == "get" and call.name not in known:
            raise not_found(NODES, call.name)
        names = [call.name] if call.verb == "get" else sorted(known)
        found = []
        for name in names:
            rate = self._scraper.of_node(name)
            if rate is not None:
                labels = known[name]["metadata"].get("labels") or {}
                found.append({**_head({"name": name}, labels, now, rate), "usage": _usage(rate)})
        if call.verb == "get" and not found:
            raise not_found(_NODE_METRICS, call.name)
        return found

    async def pods(self, call: Call) -> Sequence[Object]:
        await self._scraper.asked()
        known, now = self._scraper.pods, rfc3339(call.registry.clock.now())
        owner = (call.namespace, call.name)
        if call.verb == "get" and owner not in known:
            raise not_found(PODS, call.name)
        owners = sorted(one for one in known if call.namespace in ("", one[0]))
        found = [self._pod(one, now) for one in ([owner] if call.verb == "get" else owners)]
        present = [one for one in found if one is not None]
        if call.verb == "get" and not present:
            raise not_found(_POD_METRICS, "/".join(owner))
        return present

    def _pod(self, owner: Owner, now: str) -> Object | None:
        rates = self._scraper.of_pod(owner)
        if not rates:
            return None
        oldest = min(rates.values(), key=lambda rate: rate.at)
        named = {"name": owner[1], "namespace": owner[0]}
        containers = [{"name": name, "usage": _usage(rate)} for name, rate in sorted(rates.items())]
        return {**_head(named, self._scraper.pods[owner].labels, now, oldest), "containers": containers}


def _head(named: Mapping[str, str], labels: Mapping[str, str], now: str, rate: Rate) -> Object:
    metadata: Object = {**named, "creationTimestamp": now}
    if labels:
        metadata["labels"] = dict(labels)
    return {"metadata": metadata, "timestamp": rfc3339(rate.at), "window": text_of(round(rate.window, 3))}


def _usage(rate: Rate) -> Object:
    """A ResourceList."""
    return {"cpu": str(Quantity(round(rate.cores * _NANO), DECIMAL)), "memory": str(of_int(rate.memory, BINARY))}


def _of_node(obj: Object, name: str) -> str:
    return str(obj["usage"].get(name, "0"))


def _of_pod(obj: Object, name: str) -> str:
    total = of_int(0, BINARY if name == "memory" else DECIMAL)
    for container in obj["containers"]:
        total += parse(container["usage"][name])
    return str(total)


def _columns(cell: Callable[[Object, str], str]) -> tuple[Column, ...]:
    return (
        NAME,
        Column("cpu", lambda obj: cell(obj, "cpu"), format="quantity"),
        Column("memory", lambda obj: cell(obj, "memory"), format="quantity"),
        Column("Window", lambda obj: obj["window"], format="duration"),
    )


_QUANTITY = {"type": "string", "description": "A quantity: 100m, 64Mi."}
_USAGE = {"type": "object", "additionalProperties": _QUANTITY, "description": "What is used: cpu and memory."}
_CONTAINER = {
    "type": "object",
    "required": ["name", "usage"],
    "properties": {"name": {"type": "string"}, "usage": _USAGE},
}
_TIMES = {
    "timestamp": {"type": "string", "format": "date-time", "description": "The end of the time that was measured."},
    "window": {"type": "string", "description": "The length of the time that was measured."},
}


def _served(resource: Resource, kind: str, namespaced: bool, properties: Object) -> Served:
    facts = ResourceFacts(
        group=GROUP,
        version=VERSION,
        plural=resource.plural,
        singular="",
        kind=kind,
        namespaced=namespaced,
        verbs=("get", "list"),
        short_names=(),
        categories=(),
        subresources=MappingProxyType({}),
        storage_version_hash="",
        module="",
    )
    published = {
        "type": "object",
        "description": f"{kind} is what one of them uses.",
        "required": ["timestamp", "window", *properties],
        "properties": {**_TIMES, **properties},
    }
    form = Form(gvk=facts.gvk, walk=Canonical, published=published)
    gr = GroupResource(GROUP, resource.plural)
    return Served(resource, facts, f"{ROOT}{GROUP}/{resource.plural}/", head(facts), gr, form)
