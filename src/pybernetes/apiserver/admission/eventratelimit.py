"""EventRateLimit: so many Events a second and no more, for the server, a namespace, a user, or one thing's story.

Configuration: `limits`, each with `type`, `qps`, `burst` and `cacheSize`.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import FieldError, TooManyRequests, invalid_value, not_supported
from pybernetes.api.objects import Object
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

_CACHE = 4096


def _story(request: AdmissionRequest) -> str:
    event = request.object
    source, about = event.get("source") or {}, event.get("involvedObject") or event.get("regarding") or {}
    parts = [source.get("component"), source.get("host")]
    parts += [about.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


_KEYS: Mapping[str, Callable[[AdmissionRequest], str]] = {
    "Server": lambda request: "",
    "Namespace": lambda request: request.call.namespace,
    "User": lambda request: request.call.user.name,
    "SourceAndObject": _story,
}


class Limit:
    """One limit: a bucket of tokens for each key; the longest unused is forgotten first."""

    def __init__(self, clock: Clock, given: Mapping[str, Any]) -> None:
        self._clock = clock
        self._kind: str = given["type"]
        self._rate, self._burst = float(given["qps"]), float(given["burst"])
        self._most = int(given.get("cacheSize") or _CACHE)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refusal(self, request: AdmissionRequest) -> str:
        """Why the Event is too much; empty when it is not."""
        key = _KEYS[self._kind](request)
        now = self._clock.monotonic()
        tokens, then = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        enough = tokens >= 1
        self._buckets[key] = (tokens - 1 if enough else tokens, now)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return "" if enough else f"limit reached on type {self._kind} for key {key}"


def _start(registry: Registry, configuration: Object) -> Hooks:
    faults = _faults(configuration.get("limits") or [])
    if faults:
        raise ValueError(", ".join(str(fault) for fault in faults))
    limits = [Limit(registry.clock, given) for given in configuration["limits"]]

    async def validate(request: AdmissionRequest) -> None:
        if request.call.dry_run:
            return
        texts = [text for text in [limit.refusal(request) for limit in limits] if text]
        if texts:
            shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            raise TooManyRequests(f"Too many requests: {shown}")

    return Hooks(validate=validate)


def _faults(limits: Any) -> list[FieldError]:
    if not isinstance(limits, list) or not limits:
        return [invalid_value("limits", None, "must not be empty")]
    found = []
    for at, limit in enumerate(limits):
        given = limit if isinstance(limit, dict) else {}
        path = f"limits[{at}]"
        if given.get("type") not in _KEYS:
            found.append(not_supported(f"{path}.type", given.get("type") or "", _KEYS))
        for field in ("burst", "qps"):
            number = given.get(field)
            if not isinstance(number, int) or number <= 0:
                found.append(invalid_value(f"{path}.{field}", number or 0, "must be positive"))
        size = given.get("cacheSize") or 0
        if not isinstance(size, int) or size < 0:
            found.append(invalid_value(f"{path}.cacheSize", size, "must not be negative"))
    return found


ADMISSION = Admission(
    name="EventRateLimit",
    order=170,
    resources=frozenset({"events", "events.events.k8s.io"}),
    start=_start,
    default_on=False,
)
