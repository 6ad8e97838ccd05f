"""Event: what happened to an object; kept for an hour. One stored object, shown as core/v1 and as events.k8s.io/v1 (KEP-383).

Core accepts what clients have always sent; whoever comes by the newer group is held to its stricter form.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Alias, Column, Resource, since
from pybernetes.apiserver.resources._columns import NAME, wide
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable

_RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Fields of events.k8s.io by another name than core's."""
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_LIMITS = (("reportingInstance", 128), ("action", 128), ("reason", 128))
_NOTE_LIMIT = 1024
_ELSEWHERE = "does not match event.namespace"


def _renamed(obj: Object, to: Mapping[str, str]) -> Object:
    return {to.get(field, field): value for field, value in obj.items()}


def _show(obj: Object) -> Object:
    return _renamed(obj, {core: new for new, core in _RENAMED.items()})


def _store(obj: Object) -> Object:
    return _renamed(obj, _RENAMED)


def _involved(obj: Object) -> Mapping[str, Any]:
    return obj.get("involvedObject") or {}


def _validate(obj: Object) -> FieldErrors:
    namespace, about = (obj.get("metadata") or {}).get("namespace") or "", _involved(obj).get("namespace") or ""
    if not obj.get("eventTime"):
        if about not in (namespace, "") or (not about and namespace not in ("", "default")):
            yield invalid_value("involvedObject.namespace", about, _ELSEWHERE)
    else:
        if not about and namespace not in ("default", "kube-system"):
            yield invalid_value("involvedObject.namespace", about, _ELSEWHERE)
        yield from _reported(obj)
    yield from check("namespace", namespace, names.dns1123_subdomain(namespace))


def _reported(obj: Object) -> FieldErrors:
    """What an Event with eventTime must say: only newer clients set it."""
    controller = obj.get("reportingComponent") or ""
    if not controller:
        yield required("reportingController")
    yield from check("reportingController", controller, names.qualified_name(controller))
    for field, limit in _LIMITS:
        value = obj.get(field) or ""
        if not value:
            yield required(field)
        if len(value.encode()) > limit:
            yield invalid_value(field, "", f"can have at most {limit} characters")
    if len((obj.get("message") or "").encode()) > _NOTE_LIMIT:
        yield invalid_value("message", "", f"can have at most {_NOTE_LIMIT} characters")


def _validate_new(obj: Object) -> FieldErrors:
    """What events.k8s.io asks of a new Event."""
    name = obj["metadata"].get("name") or ""
    if name:
        yield from check("metadata.name", name, names.dns1123_subdomain(name))
    yield from _series(obj)
    if not obj.get("eventTime"):
        yield required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        yield invalid_value("type", "", f"has invalid value: {obj.get('type') or ''}")
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if obj.get(field):
            yield invalid_value(field, "", "needs to be unset")


def _series(obj: Object) -> FieldErrors:
    series = obj.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


_FROZEN = (
    ("involvedObject", "involvedObject"),
    ("reason", "reason"),
    ("message", "message"),
    ("source", "source"),
    ("firstTimestamp", "firstTimestamp"),
    ("lastTimestamp", "lastTimestamp"),
    ("count", "count"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)
"""What an update by events.k8s.io may not change, and what faults call it: the series alone moves on."""


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if obj.get("series") != old.get("series"):
        yield from _series(obj)
    for field, called in _FROZEN:
        yield from immutable(called, obj.get(field), old.get(field))


def _first(obj: Object) -> object:
    return obj.get("firstTimestamp") or obj.get("eventTime")


def _last(obj: Object) -> object:
    series = obj.get("series")
    if series:
        return series.get("lastObservedTime")
    return obj.get("lastTimestamp") or _first(obj)


def _count(obj: Object) -> object:
    series = obj.get("series")
    return series.get("count") or 0 if series else obj.get("count") or 1


def _object(obj: Object) -> object:
    kind, name = (_involved(obj).get("kind") or "").lower(), _involved(obj).get("name")
    return f"{kind}/{name}" if name else kind


def _source(obj: Object) -> object:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _of(field: str) -> Callable[[Object], str]:
    return lambda obj: obj.get(field) or ""


def _of_involved(field: str) -> Callable[[Object], str]:
    return lambda obj: _involved(obj).get(field) or ""


def _component(obj: Object) -> str:
    return (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""


_COLUMNS = (
    Column("Last Seen", lambda obj: since(_last(obj)), description="When the event was seen last."),
    Column("Type", _of("type"), description="Type of the event (Normal, Warning)."),
    Column("Reason", _of("reason"), description="Why this event was generated."),
    Column("Object", _object, description="The object that this event is about."),
    Column("Subobject", _of_involved("fieldPath"), description="Part of the object that it is about.", priority=1),
    Column("Source", _source, description="The component reporting this event.", priority=1),
    Column("Message", lambda obj: (obj.get("message") or "").strip(), description="What happened."),
    Column("First Seen", lambda obj: since(_first(obj)), description="When the event was seen first.", priority=1),
    Column("Count", _count, description="How often the event was seen.", priority=1),
    wide(NAME),
)


def _as_core(column: Column) -> Column:
    """A column that is asked about the newer form."""
    return Column(
        column.name,
        lambda obj: column.cell(_store(obj)),
        column.type,
        column.format,
        column.description,
        column.priority,
    )


RESOURCE = Resource(
    group="",
    plural="events",
    validate=_validate,
    validate_name=names.path_segment,
    generation=False,
    update_creates=True,
    columns=_COLUMNS,
    selectable_fields={
        **{f"involvedObject.{field}": _of_involved(field) for field in _REFERENCE},
        "reason": _of("reason"),
        "reportingComponent": _of("reportingComponent"),
        "source": _component,
        "type": _of("type"),
    },
    also=(
        Alias(
            group="events.k8s.io",
            version="v1",
            read=_show,
            write=_store,
            validate=_validate_new,
            validate_update=_validate_update,
            columns=tuple(map(_as_core, _COLUMNS)),
            selectable_fields={
                **{f"regarding.{field}": _of_involved(field) for field in _REFERENCE},
                "reason": _of("reason"),
                "reportingController": _of("reportingComponent"),
                "type": _of("type"),
            },
        ),
    ),
)
