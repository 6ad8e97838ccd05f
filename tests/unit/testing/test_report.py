"""Lines that fit a terminal."""

from pybernetes.testing.report import fitted

TABLE = [
    "--- Events",
    "TYPE      MESSAGE",
    "Warning   0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    "Normal    short",
]


def test_what_is_too_long_goes_on_below_its_column():
    found = fitted(TABLE, 60)
    assert all(len(line) <= 60 for line in found)
    assert len(found) == len(TABLE) + 1
    assert found[3].startswith(" " * 10)
    assert f"{found[2]} {found[3].strip()}" == TABLE[2]


def test_where_there_is_no_room_below_a_column_it_ends():
    found = fitted(TABLE, 35)
    assert found[2] == "Warning   0/2 nodes are available:…"
    assert len(found) == len(TABLE)


def test_what_fits_stays_as_it_is():
    assert fitted(TABLE, 200) == TABLE
    assert fitted(["--- Pods", "none"], 20) == ["--- Pods", "none"]
