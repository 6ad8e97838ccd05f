"""Event: what happened to an object; kept for an hour. The core form of what events.k8s.io shows its own way."""

from collections.abc import Callable

from pybernetes.api import names
from pybernetes.api.errors import invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import NAME
from pybernetes.apiserver.validation.fields import FieldErrors, check


def _validate(obj: Object) -> FieldErrors:
    involved = obj.get("involvedObject") or {}
    namespace, about = obj["metadata"].get("namespace", ""), involved.get("namespace") or ""
    if about:
        if about != namespace:
            yield invalid_value("involvedObject.namespace", about, "does not match event.namespace")
    elif namespace not in ("default", "kube-system"):
        yield invalid_value("involvedObject.namespace", about, "does not match event.namespace")
    yield from check("metadata.namespace", namespace, names.dns1123_subdomain(namespace))


def _first(obj: Object) -> object:
    return obj.get("firstTimestamp") or obj.get("eventTime")


def _last(obj: Object) -> object:
    series = obj.get("series")
    if series:
        return series.get("lastObservedTime")
    return obj.get("lastTimestamp") or _first(obj)


def _count(obj: Object) -> object:
    series = obj.get("series")
    return (series or obj).get("count") or 1


def _object(obj: Object) -> object:
    involved = obj.get("involvedObject") or {}
    kind, name = (involved.get("kind") or "").lower(), involved.get("name")
    return f"{kind}/{name}" if name else kind


def _source(obj: Object) -> object:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _involved(field: str) -> Callable[[Object], str]:
    return lambda obj: (obj.get("involvedObject") or {}).get(field) or ""


def _component(obj: Object) -> str:
    return (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""


RESOURCE = Resource(
    group="",
    plural="events",
    validate=_validate,
    generation=False,
    update_creates=True,
    columns=(
        Column("Last Seen", _last, "date", description="When the event was seen last."),
        Column("Type", lambda obj: obj.get("type") or "", description="Type of the event (Normal, Warning)."),
        Column("Reason", lambda obj: obj.get("reason") or "", description="Why this event was generated."),
        Column("Object", _object, description="The object that this event is about."),
        Column(
            "Subobject",
            lambda obj: (obj.get("involvedObject") or {}).get("fieldPath") or "",
            description="Part of the object that the event is about.",
            priority=1,
        ),
        Column("Source", _source, description="The component reporting this event.", priority=1),
        Column("Message", lambda obj: (obj.get("message") or "").strip(), description="What happened."),
        Column("First Seen", _first, "date", description="When the event was seen first.", priority=1),
        Column("Count", _count, "integer", description="How often the event was seen.", priority=1),
        Column(NAME.name, NAME.cell, NAME.type, NAME.format, NAME.description, priority=1),
    ),
    selectable_fields={
        **{
            f"involvedObject.{field}": _involved(field)
            for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": lambda obj: obj.get("reason") or "",
        "reportingComponent": lambda obj: obj.get("reportingComponent") or "",
        "source": _component,
        "type": lambda obj: obj.get("type") or "",
    },
)
