"""Tables are laid out as kubectl does."""

from pybernetes.kubectl.printers.table import TablePrinter, TableStyle, layout

COLUMNS = [{"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "Node", "priority": 1}]


def table(*names: str) -> dict[str, object]:
    rows = [
        {"cells": [n, "1/1", None], "object": {"metadata": {"name": n, "namespace": "default", "labels": {"app": n}}}}
        for n in names
    ]
    return {"columnDefinitions": COLUMNS, "rows": rows}


def test_columns_are_three_blanks_apart_without_trailing_ones():
    assert list(layout([["NAME", "READY"], ["web", "1/1"]])) == ["NAME   READY", "web    1/1"]


def test_low_priority_columns_need_wide():
    assert list(TablePrinter(TableStyle()).lines(table("web"))) == ["NAME   READY", "web    1/1"]
    assert list(TablePrinter(TableStyle(wide=True)).lines(table("web"))) == [
        "NAME   READY   NODE",
        "web    1/1     <none>",
    ]


def test_namespace_labels_and_kind_are_added():
    style = TableStyle(namespaces=True, labels=True, label_columns=("app",), kind="pod")
    assert list(TablePrinter(style).lines(table("web"))) == [
        "NAMESPACE   NAME      READY   APP   LABELS",
        "default     pod/web   1/1     web   app=web",
    ]


def test_rows_of_a_watch_line_up_with_the_first():
    printer = TablePrinter(TableStyle())
    list(printer.lines(table("a-long-name")))
    later = {"rows": table("b")["rows"]}
    assert list(printer.lines(later)) == ["b             1/1"]


def test_events_of_a_watch_stand_before_everything():
    printer = TablePrinter(TableStyle(events=True, namespaces=True))
    first = list(printer.lines(table("web")))
    assert first == ["EVENT      NAMESPACE   NAME   READY", "ADDED      default     web    1/1"]
    gone = {"rows": table("web")["rows"]}
    assert list(printer.lines(gone, "DELETED")) == ["DELETED    default     web    1/1"]
