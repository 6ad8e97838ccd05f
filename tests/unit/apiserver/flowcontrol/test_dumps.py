"""The tables under /debug: aligned as Go's tabwriter does it."""

from pybernetes.apiserver.flowcontrol.dumps import aligned


def test_columns_begin_at_the_same_places():
    rows = [("PriorityLevelName", "Index", "IsIdle"), ("system", 1, True), ("a", 12345678, False)]
    assert aligned(rows) == (
        "PriorityLevelName, Index,    IsIdle\n"
        "system,            1,        true\n"
        "a,                 12345678, false\n"
    )  # fmt: skip


def test_no_column_is_narrower_than_eight():
    assert aligned([("a", "b", "c")]) == "a,      b,      c\n"
