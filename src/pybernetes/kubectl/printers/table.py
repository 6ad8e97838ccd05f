"""Tables: the server's meta.k8s.io/v1 Table laid out as kubectl does (three blanks between columns)."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from pybernetes.api.objects import Object

GAP = 3
_LONGEST_EVENT = len("MODIFIED")


class TableStyle(Struct, frozen=True):
    """What the flags ask of a table."""

    wide: bool = False
    headers: bool = True
    namespaces: bool = False
    """A first column with the namespace (-A)."""
    labels: bool = False
    """A last column with all labels (--show-labels)."""
    label_columns: tuple[str, ...] = ()
    kind: str = ""
    """Put before each name, where several kinds are printed: `pod/`."""
    events: bool = False
    """Before everything a column with the type of a watch's event (--output-watch-events)."""


def layout(rows: Sequence[Sequence[str]], widths: list[int] | None = None) -> Iterator[str]:
    """Lines with aligned columns, no trailing blanks. `widths` is raised in place, so that later calls line up."""
    widths = widths if widths is not None else []
    for row in rows:
        for index, cell in enumerate(row):
            if index == len(widths):
                widths.append(0)
            widths[index] = max(widths[index], len(cell))
    for row in rows:
        yield "".join(cell.ljust(widths[index] + GAP) for index, cell in enumerate(row)).rstrip()


class TablePrinter:
    """Rows of one kind; used once for a list, many times for a watch."""

    def __init__(self, style: TableStyle) -> None:
        self._style = style
        self._columns: list[Object] = []
        self._widths: list[int] = []
        self._headed = not style.headers

    def lines(self, table: Object, event: str = "ADDED") -> Iterator[str]:
        """The lines of a Table; a watch's later tables carry no columns and line up with the first."""
        self._columns = table.get("columnDefinitions") or self._columns
        first = [event.ljust(_LONGEST_EVENT)] * self._style.events
        rows = [first + self._cells(row) for row in table.get("rows") or ()]
        if not self._headed and rows:
            rows.insert(0, self._header())
            self._headed = True
        yield from layout(rows, self._widths)

    def _shown(self, cells: Sequence[object]) -> list[object]:
        pairs = zip(self._columns, cells, strict=False)
        return [cell for column, cell in pairs if self._style.wide or not column.get("priority")]

    def _header(self) -> list[str]:
        style = self._style
        names = [str(name).upper() for name in self._shown([column["name"] for column in self._columns])]
        names += [label.rpartition("/")[2].upper() for label in style.label_columns]
        return ["EVENT"] * style.events + ["NAMESPACE"] * style.namespaces + names + ["LABELS"] * style.labels

    def _cells(self, row: Object) -> list[str]:
        style = self._style
        metadata = (row.get("object") or {}).get("metadata") or {}
        cells = [_text(cell) for cell in self._shown(row["cells"])]
        if style.kind and cells:
            cells[0] = f"{style.kind}/{cells[0]}"
        labels = metadata.get("labels") or {}
        cells += [labels.get(label, "<none>") or "" for label in style.label_columns]
        if style.labels:
            cells.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        return [metadata.get("namespace", "")] * style.namespaces + cells


def _text(cell: object) -> str:
    if cell is None:
        return "<none>"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell).replace("\n", "\\n")
