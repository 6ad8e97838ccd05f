"""Tables: what kubectl get prints (meta.k8s.io/v1 Table). The columns are the Resource's own; encodings.py sends them."""

from collections.abc import Sequence
from typing import Any, Literal

from pybernetes.aio.clock import seconds_of
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.resources._columns import AGE, NAME
from pybernetes.rules.ages import age

Include = Literal["None", "Metadata", "Object"]

_CREATED = Column("Created At", AGE.cell, shown_type="date", description=AGE.description)
_SCALE = (
    NAME,
    Column("Desired", lambda obj: obj["spec"].get("replicas", 0), type="integer", description="Replicas asked for."),
    Column(
        "Available", lambda obj: obj["status"].get("replicas", 0), type="integer", description="Replicas there are."
    ),
    AGE,
)
"""Of autoscaling/v1 Scale, which every kind with replicas shows as its subresource."""


def columns(served: Served, kind: str = "") -> Sequence[Column]:
    """Name, the Resource's columns, and Age before the wide ones unless the Resource has placed it itself.

    A Resource that begins with the Name has said all: some kinds show no Age.

    `kind` is Scale for the subresource of that kind.
    """
    if kind == "Scale":
        return _SCALE
    if not served.table:
        served.table.extend(_shown(served.resource.columns))
    return served.table


def _shown(own: Sequence[Column]) -> Sequence[Column]:
    names = {column.name for column in own}
    shown: list[Column] = [*own] if "Name" in names else [NAME, *own]
    if not own:
        shown.append(_CREATED)
    elif not names & {"Name", "Age", "Last Seen", "Created At"}:
        wide = next((i for i, column in enumerate(shown) if column.priority), len(shown))
        shown.insert(wide, AGE)
    return shown


def definitions(served: Served, kind: str = "") -> list[Object]:
    """columnDefinitions."""
    return [
        {
            "name": column.name,
            # An age is text to the client: upstream's printers send columns of times as strings.
            "type": column.shown_type or ("string" if column.type == "date" else column.type),
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns(served, kind)
    ]


def cells(served: Served, obj: Object, now: float) -> list[Any]:
    """One row's cells. Times become ages, as seen from `now` (seconds since 1970)."""
    row: list[Any] = []
    for column in columns(served, obj.get("kind", "")):
        value = column.cell(obj) if column.cell_at is None else column.cell_at(obj, now)
        row.append(_age(value, now) if column.type == "date" else value)
    return row


def _age(value: object, now: float) -> str:
    if not isinstance(value, str) or not value:
        return "<unknown>"
    return age(now - seconds_of(value))
