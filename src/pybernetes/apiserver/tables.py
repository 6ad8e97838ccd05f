"""Tables: what kubectl get prints (meta.k8s.io/v1 Table). The columns are the Resource's own; encodings.py sends them."""

from typing import Any, Literal

from pybernetes.aio.clock import parse_time
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.resource import Column

Include = Literal["None", "Metadata", "Object"]

_NAME = Column("Name", lambda obj: obj["metadata"]["name"], format="name", description="Name of the object.")
_AGE = Column("Age", lambda obj: obj["metadata"].get("creationTimestamp"), type="date", description="Time of creation.")
_CREATED = Column("Created At", _AGE.cell, description=_AGE.description)
_columns: dict[GroupResource, tuple[Column, ...]] = {}


def columns(served: Served) -> tuple[Column, ...]:
    """Name, the Resource's columns, and Age before the wide ones unless the Resource has placed it itself."""
    found = _columns.get(served.gr)
    if found is None:
        own = served.resource.columns
        names = {column.name for column in own}
        shown: list[Column] = [*own] if "Name" in names else [_NAME, *own]
        if not own:
            shown.append(_CREATED)
        elif not names & {"Age", "Last Seen", "Created At"}:
            wide = next((i for i, column in enumerate(shown) if column.priority), len(shown))
            shown.insert(wide, _AGE)
        found = _columns[served.gr] = tuple(shown)
    return found


def definitions(served: Served) -> list[Object]:
    """columnDefinitions."""
    return [
        {
            "name": column.name,
            # An age is text to the client: upstream's printers send columns of times as strings.
            "type": "string" if column.type == "date" else column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns(served)
    ]


def cells(served: Served, obj: Object, now: float) -> list[Any]:
    """One row's cells. Times become ages, as seen from `now` (seconds since 1970)."""
    row: list[Any] = []
    for column in columns(served):
        value = column.cell(obj) if column.cell_at is None else column.cell_at(obj, now)
        row.append(_age(value, now) if column.type == "date" else value)
    return row


def _age(value: object, now: float) -> str:
    if not isinstance(value, str) or not value:
        return "<unknown>"
    return duration(now - _seconds(value))


def _seconds(text: str) -> float:
    try:
        return parse_time(text)
    except ValueError:
        return 0.0


def duration(seconds: float) -> str:
    """As upstream's HumanDuration: `9s`, `5m30s`, `3h12m`, `2d4h`, `400d`, `3y12d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(0, whole)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    if days < 365 * 8:
        return f"{days // 365}y{days % 365}d" if days % 365 else f"{days // 365}y"
    return f"{days // 365}y"
