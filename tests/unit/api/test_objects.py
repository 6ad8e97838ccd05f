"""The vocabulary of objects."""

from pybernetes.api.objects import overlaid


def test_what_is_laid_over_joins_maps_and_replaces_all_else() -> None:
    below = {"a": 1, "map": {"x": 1, "y": 2}, "list": [1, 2]}
    assert overlaid(below, {"map": {"y": 3}, "list": [4], "b": None}) == {
        "a": 1, "map": {"x": 1, "y": 3}, "list": [4], "b": None,
    }  # fmt: skip
    assert below["map"] == {"x": 1, "y": 2}
