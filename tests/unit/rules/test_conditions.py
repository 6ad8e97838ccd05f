from pybernetes.api.types.core_v1 import PodCondition
from pybernetes.rules.conditions import find, put, put_at

READY = PodCondition(type="Ready", status="True", lastTransitionTime="2026-01-01T00:00:00Z")
HELD = PodCondition(type="Held", status="False")
NOW = "2026-01-02T00:00:00Z"


def test_a_condition_takes_the_place_of_that_of_its_type():
    made = PodCondition(type="Ready", status="False")
    assert put((READY, HELD), made) == (made, HELD)
    assert put((HELD,), made) == (HELD, made)
    assert find((READY, HELD), "Held") is HELD
    assert find((READY,), "Held") is None


def test_the_time_is_that_of_the_last_change_of_status():
    same = PodCondition(type="Ready", status="True", reason="Other")
    assert [c.lastTransitionTime for c in put_at((READY, HELD), same, NOW)] == [READY.lastTransitionTime, None]
    (changed,) = put_at((READY,), PodCondition(type="Ready", status="False"), NOW)
    assert (changed.status, changed.lastTransitionTime) == ("False", NOW)
    (new,) = put_at((), HELD, NOW)
    assert new.lastTransitionTime == NOW
