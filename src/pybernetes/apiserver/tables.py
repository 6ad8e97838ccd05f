"""Tables: what kubectl get prints (meta.k8s.io/v1 Table). The columns are the Resource's own; encodings.py sends them.

A row is made once for each state of an object: its cells as bytes, with gaps where it says how long ago something was.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import orjson
from msgspec import Struct

from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.resource import Column, Since
from pybernetes.apiserver.resources._columns import AGE, NAME
from pybernetes.rules.ages import age

Include = Literal["None", "Metadata", "Object"]
METADATA = b'"metadata":'
"""What the body of an entry begins with."""

_CREATED = Column(
    "Created At", lambda obj: obj["metadata"].get("creationTimestamp"), "date", description=AGE.description
)
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
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns(served, kind)
    ]


class Row(Struct, frozen=True):
    """The cells of one object, for as long as it stays as it is."""

    columns: Sequence[Column]
    texts: tuple[bytes, ...]
    """A row in JSON up to the end of its cells, to be joined with an age between each two."""
    times: tuple[float, ...]
    """What the ages are of; seconds since 1970."""
    order: Any = None
    """By what the Resource sorts its rows; None: it does not."""
    metadata: int = 0
    """Where the metadata ends in the body of its entry; 0: that does not say it as we would."""

    @property
    def size(self) -> int:
        """Bytes it takes in memory, roughly."""
        return sum(map(len, self.texts)) + 64 * len(self.texts) + 500


def row_of(served: Served, obj: Object, body: bytes = b"") -> Row:
    """The row of an object of this version, or of its Scale; `body` is that of its entry, where it has one."""
    shown = columns(served, obj.get("kind", ""))
    texts, times, text, run = list[bytes](), list[float](), b'{"cells":[', list[object]()
    parts: dict[object, Any] = {None: obj}
    for column in shown:
        if column.of not in parts and column.of is not None:
            parts[column.of] = column.of(obj)
        value = column.cell(parts[column.of])
        if not isinstance(value, Since):
            run.append(value)
            continue
        texts.append(text + (orjson.dumps(run)[1:-1] + b"," if run else b"") + b'"' + _inside(value.before))
        times.append(value.time)
        text, run = _inside(value.after) + (b'",' if column is not shown[-1] else b'"'), []
    texts.append(text + (orjson.dumps(run)[1:] if run else b"]"))
    order, begin = served.resource.row_order, METADATA + orjson.dumps(obj["metadata"])
    return Row(
        shown,
        tuple(texts),
        tuple(times),
        order(obj) if order is not None else None,
        len(begin) if body.startswith(begin) else 0,
    )


def cells(row: Row, now: float) -> tuple[bytes, ...]:
    """The row up to the end of its cells, in pieces. Times become ages, as seen from `now` (seconds since 1970)."""
    texts, times = row.texts, row.times
    if len(times) == 1:
        return texts[0], _age(int(now - times[0])), texts[1]
    pieces = [texts[0]]
    for time, text in zip(times, texts[1:], strict=True):
        pieces += (_age(int(now - time)), text)
    return tuple(pieces)


@lru_cache(maxsize=4096)
def _age(seconds: int) -> bytes:
    return age(seconds).encode()


def _inside(text: str) -> bytes:
    """What stands between the quotes of a text in JSON."""
    return orjson.dumps(text)[1:-1] if text else b""
