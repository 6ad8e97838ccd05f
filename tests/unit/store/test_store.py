"""Stores are found by name."""

import pytest

from pybernetes.store import factory, names
from pybernetes.store.protocol import Unavailable


def test_every_store_is_found_under_its_own_name() -> None:
    assert {"memory", "sqlite"} <= set(names())
    assert [factory(name).name for name in ("memory", "sqlite")] == ["memory", "sqlite"]


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Unavailable, match=r'there is no store "sqllite"; choose one of: .*memory, sqlite'):
        factory("sqllite")
