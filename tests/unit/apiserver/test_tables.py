"""Which columns a table has, and where."""

import json

import pytest

from pybernetes.apiserver.catalog import Catalog, built
from pybernetes.apiserver.resource import Column, Resource, Since, since
from pybernetes.apiserver.tables import cells, columns, definitions, row_of

OBJECT = {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"k": "v"}}
NOW = 1767225600.0 + 90


def served(plural, *own):
    made = Catalog([built(Resource(group="", plural=plural, columns=own))]).find("", "v1", plural)
    assert made is not None
    return made


def shown(one, obj=OBJECT, now=NOW):
    return said(row_of(one, obj), now)


def said(row, now):
    return json.loads(b"".join((*cells(row, now), b"}")))["cells"]


def test_name_comes_first_and_age_before_the_wide_ones():
    wide = Column("Wide", lambda obj: "w", priority=1)
    one = served("configmaps", Column("Data", lambda obj: len(obj["data"]), type="integer"), wide)
    assert [column.name for column in columns(one)] == ["Name", "Data", "Age", "Wide"]
    assert shown(one) == ["a", 1, "90s", "w"]
    assert [column["priority"] for column in definitions(one)] == [0, 0, 0, 1]
    assert definitions(one)[0]["format"] == "name"


def test_a_kind_that_places_name_and_age_itself_is_left_alone():
    seen = Column("Last Seen", lambda obj: "now")
    one = served("events", seen, Column("Name", lambda obj: obj["metadata"]["name"], priority=1))
    assert [column.name for column in columns(one)] == ["Last Seen", "Name"]


def test_a_kind_without_columns_shows_when_it_was_made():
    one = served("secrets")
    said = [(column["name"], column["type"]) for column in definitions(one)]
    assert said == [("Name", "string"), ("Created At", "date")], "the time itself, not an age"
    assert shown(one) == ["a", "2026-01-01T00:00:00Z"]


def test_a_row_is_made_once_and_grows_older():
    ago = Column("Ago", lambda obj: Since(1767225600.0, '3 "x" (', " ago)\n"))
    row = row_of(served("pods", ago, Column("Of", lambda obj: None)), OBJECT)
    assert said(row, NOW) == ["a", '3 "x" (90s ago)\n', None, "90s"]
    assert said(row, NOW + 600) == ["a", '3 "x" (11m ago)\n', None, "11m"]
    assert said(row, NOW - 600) == ["a", '3 "x" (<invalid> ago)\n', None, "<invalid>"], "clocks are set back, too"


@pytest.mark.parametrize(
    ("time", "text"), [(None, "<unknown>"), ("", "<unknown>"), (7, "<unknown>"), ("2026-01-01T00:10:00Z", "<invalid>")]
)
def test_a_time_that_is_none_or_to_come_is_said_so(time, text):
    one = served("pods", Column("Ago", lambda obj: since(time)))
    assert shown(one)[1] == text


def test_rows_say_by_what_they_are_sorted():
    made = Catalog([built(Resource(group="", plural="pods", row_order=lambda obj: (2, obj["metadata"]["name"])))])
    assert row_of(made.find("", "v1", "pods"), OBJECT).order == (2, "a")


def test_metadata_is_found_in_a_body_that_says_it_as_we_would_and_nowhere_else():
    one = served("pods")
    text = json.dumps(OBJECT["metadata"], separators=(",", ":"))
    body = f'"metadata":{text},"data":{{"k":"v"}}}}'.encode()
    row = row_of(one, OBJECT, body)
    assert body[: row.metadata] == f'"metadata":{text}'.encode()
    assert row_of(one, OBJECT, body.replace(b'"a"', b'"\\u0061"')).metadata == 0
    assert row_of(one, OBJECT).metadata == 0
