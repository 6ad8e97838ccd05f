"""Which columns a table has, and where."""

from pybernetes.apiserver.catalog import Catalog, built
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.tables import cells, columns, definitions

OBJECT = {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"k": "v"}}
NOW = 1767225600.0 + 90


def served(plural, *own):
    made = Catalog([built(Resource(group="", plural=plural, columns=own))]).find("", "v1", plural)
    assert made is not None
    return made


def test_name_comes_first_and_age_before_the_wide_ones():
    wide = Column("Wide", lambda obj: "w", priority=1)
    one = served("configmaps", Column("Data", lambda obj: len(obj["data"]), type="integer"), wide)
    assert [column.name for column in columns(one)] == ["Name", "Data", "Age", "Wide"]
    assert cells(one, OBJECT, NOW) == ["a", 1, "90s", "w"]
    assert [column["priority"] for column in definitions(one)] == [0, 0, 0, 1]
    assert definitions(one)[0]["format"] == "name"


def test_a_kind_that_places_name_and_age_itself_is_left_alone():
    seen = Column("Last Seen", lambda obj: "now")
    one = served("events", seen, Column("Name", lambda obj: obj["metadata"]["name"], priority=1))
    assert [column.name for column in columns(one)] == ["Last Seen", "Name"]


def test_a_kind_without_columns_shows_when_it_was_made():
    one = served("secrets")
    shown = [(column["name"], column["type"]) for column in definitions(one)]
    assert shown == [("Name", "string"), ("Created At", "date")], "the time itself, not an age"
    assert cells(one, OBJECT, NOW) == ["a", "2026-01-01T00:00:00Z"]


def test_a_cell_may_ask_for_the_time():
    one = served("pods", Column("Ago", lambda obj: "", cell_at=lambda obj, now: int(now - 1767225600)))
    assert cells(one, OBJECT, NOW)[1] == 90
