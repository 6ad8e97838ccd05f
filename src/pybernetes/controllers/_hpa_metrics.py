"""What is measured, read for HorizontalPodAutoscalers: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

Each is served by the API server or by whom it forwards to; whether there is one shows when it is asked. Numbers are
checked here, once: what is no quantity, no time or no answer is a metric that says nothing (CannotCompute), whoever sent it.
"""

import asyncio
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import ApiError, NotFound, ServiceUnavailable
from pybernetes.api.objects import Key
from pybernetes.api.quantity import parse
from pybernetes.api.selectors import Selector
from pybernetes.client.rest import Client
from pybernetes.controllers._hpa_replicas import CannotCompute, Sample, Samples
from pybernetes.rules.durations import seconds_of
from pybernetes.wire.http import read_body

T = TypeVar("T", bound=Struct)

RESOURCE, CUSTOM, EXTERNAL = "metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"
CUSTOM_VERSIONS = ("v1beta2", "v1beta1")
"""Of the custom metrics API, the better one first."""
PATIENCE = 30.0
"""Seconds that an answer may take: a metrics server that hangs holds up nobody else's autoscaler."""
WINDOW = 60.0
"""Seconds over which a metric of Pods was measured that does not say so."""
_REMEMBERED = 30.0
"""Seconds for which the custom metrics API's version holds."""


class _Meta(Struct, frozen=True):
    name: str = ""


class _Container(Struct, frozen=True):
    name: str = ""
    usage: dict[str, str | int | float] = {}


class _PodMetrics(Struct, frozen=True):
    metadata: _Meta = _Meta()
    timestamp: str = ""
    window: str = "0s"
    containers: list[_Container] | None = None


class _PodMetricsList(Struct, frozen=True):
    items: list[_PodMetrics] | None = None


class _Value(Struct, frozen=True, rename="camel"):
    value: str | int | float
    described_object: _Meta = _Meta()
    timestamp: str = ""
    window_seconds: int | None = None


class _Values(Struct, frozen=True):
    items: list[_Value] | None = None


class _Version(Struct, frozen=True):
    version: str = ""


class _Group(Struct, frozen=True, rename="camel"):
    versions: list[_Version] | None = None
    preferred_version: _Version = _Version()


@dataclass(slots=True)
class CustomVersion:
    """What is remembered of the custom metrics API."""

    version: str = ""
    at: float = float("-inf")


class Metrics:
    """Reads for one look at one autoscaler: what was read once is not read again. Every method raises CannotCompute, OSError."""

    def __init__(self, client: Client, custom: CustomVersion) -> None:
        self._client = client
        self._custom = custom
        self._read: dict[str, list[_PodMetrics]] = {}

    async def of_resource(self, resource: str, container: str, namespace: str, selector: Selector) -> Samples:
        """What Pods use of a resource: all of a Pod's containers, or one."""
        found: Samples = {}
        for one in await self._pod_metrics(namespace, str(selector)):
            containers = one.containers or []
            if container:
                containers = [c for c in containers if c.name == container]
            amounts = [c.usage.get(resource) for c in containers]
            told = [amount for amount in amounts if amount is not None]
            if told and len(told) == len(amounts):
                value = sum(map(_milli, told))
                found[one.metadata.name] = Sample(value, _time(one.timestamp), _duration(one.window))
        return found

    async def _pod_metrics(self, namespace: str, selector: str) -> list[_PodMetrics]:
        if selector not in self._read:
            api = "resource metrics API"
            path = f"/apis/{RESOURCE}/v1beta1/namespaces/{quote(namespace)}/pods"
            answer = await self._get(path, _PodMetricsList, api, f"pods.{RESOURCE}", labelSelector=selector)
            self._read[selector] = _some(answer.items, api)
        return self._read[selector]

    async def of_pods(self, metric: str, namespace: str, selector: Selector, metric_selector: Selector) -> Samples:
        """A custom metric of each Pod."""
        api = "custom metrics API"
        path = f"namespaces/{quote(namespace)}/pods/*/{quote(metric, safe='')}"
        found = await self._custom_values(path, f"pods.{CUSTOM}", selector, metric_selector)
        return {
            one.described_object.name: Sample(
                _milli(one.value),
                _time(one.timestamp),
                WINDOW if one.window_seconds is None else float(one.window_seconds),
            )
            for one in _some(found, api)
        }

    async def of_object(self, metric: str, resource: str, key: Key, metric_selector: Selector) -> int:
        """A custom metric of one object, in thousandths. `resource` is `<plural>.<group>`; of a Namespace: `namespaces`."""
        name = quote(metric, safe="")
        path = f"namespaces/{quote(key.namespace)}/{quote(resource)}/{quote(key.name, safe='')}/{name}"
        if resource == "namespaces":  # nobody may look out of their own
            path = f"namespaces/{quote(key.namespace)}/metrics/{name}"
        found = await self._custom_values(path, f"{resource.partition('.')[0]}.{CUSTOM}", None, metric_selector)
        if len(found or ()) != 1:
            count = len(found or ())
            told = f"the custom metrics API server returned {count} results when we asked for exactly one"
            raise CannotCompute(f"unable to fetch metrics from custom metrics API: {told}")
        return _milli((found or [])[0].value)

    async def of_outside(self, metric: str, namespace: str, metric_selector: Selector) -> int:
        """An external metric: the sum of all its values, in thousandths."""
        api = "external metrics API"
        path = f"/apis/{EXTERNAL}/v1beta1/namespaces/{quote(namespace)}/{quote(metric, safe='')}"
        answer = await self._get(path, _Values, api, f"{metric}.{EXTERNAL}", labelSelector=str(metric_selector))
        return sum(_milli(one.value) for one in _some(answer.items, api))

    # --- requests

    async def _custom_values(
        self, path: str, resource: str, selector: Selector | None, metric_selector: Selector
    ) -> list[_Value] | None:
        version = await self._custom_version()
        query = {"labelSelector": str(selector or ""), "metricLabelSelector": str(metric_selector)}
        answer = await self._get(f"/apis/{CUSTOM}/{version}/{path}", _Values, "custom metrics API", resource, **query)
        return answer.items

    async def _custom_version(self) -> str:
        """The one to ask, by discovery: the group's own choice if it is one that we speak."""
        now = self._client.clock.monotonic()
        if now - self._custom.at > _REMEMBERED:
            api = "custom metrics API"
            try:
                async with asyncio.timeout(PATIENCE):
                    response = await self._client.send("GET", f"/apis/{CUSTOM}")
                    group = msgspec.json.decode(await read_body(response), type=_Group)
            except NotFound:
                raise CannotCompute(
                    f"unable to fetch metrics from {api}: no custom metrics API ({CUSTOM}) registered"
                ) from None
            except (ApiError, TimeoutError, msgspec.MsgspecError) as error:
                raise CannotCompute(f"unable to fetch metrics from {api}: {_told(error, CUSTOM)}") from None
            offered = [one.version for one in group.versions or ()]
            wanted = (group.preferred_version.version, *CUSTOM_VERSIONS)
            version = next((v for v in wanted if v in CUSTOM_VERSIONS and v in offered), "")
            if not version:
                raise CannotCompute(f"unable to fetch metrics from {api}: no known available metric versions found")
            self._custom.version, self._custom.at = version, now
        return self._custom.version

    async def _get(self, path: str, kind: type[T], api: str, resource: str, **query: str) -> T:
        given = {name: value for name, value in query.items() if value}
        try:
            async with asyncio.timeout(PATIENCE):
                response = await self._client.send("GET", path, query=given)
                return msgspec.json.decode(await read_body(response), type=kind)
        except (ApiError, TimeoutError, msgspec.MsgspecError) as error:
            raise CannotCompute(f"unable to fetch metrics from {api}: {_told(error, resource)}") from None


def _told(error: Exception, resource: str) -> str:
    """In client-go's words, where the answer has none of its own."""
    verb = f"(get {resource})"
    if isinstance(error, TimeoutError):
        return f"the server did not answer within {PATIENCE:.0f} s {verb}"
    if isinstance(error, NotFound) and not error.details.get("kind"):
        return f"the server could not find the requested resource {verb}"
    if isinstance(error, ServiceUnavailable) and not error.details:
        return f"the server is currently unable to handle the request {verb}"
    return str(error)


def _some(items: list[T] | None, api: str) -> list[T]:
    if not items:
        raise CannotCompute(f"no metrics returned from {api}")
    return items


def _milli(amount: str | int | float) -> int:
    """Thousandths of a quantity, which JSON may give as a number."""
    try:
        return parse(str(amount)).milli_value()
    except ValueError as error:
        raise CannotCompute(f"invalid metric value {str(amount)[:40]!r}: {error}") from None


def _time(text: str) -> float:
    try:
        return parse_time(text)
    except ValueError:
        raise CannotCompute(f"invalid metric timestamp {text[:40]!r}") from None


def _duration(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise CannotCompute(f"invalid metric window: {error}") from None


def resource_name(plural: str, group: str) -> str:
    """As the custom metrics API calls a resource: `services`, `ingresses.networking.k8s.io`."""
    return ".".join(filter(None, (plural, group)))
