"""Which thresholds are met, since when, and what the node says of itself."""

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.eviction.signals import Observation, Pressure, complete, condition, look, met, resource
from pybernetes.kubelet.thresholds import Amount, Threshold, thresholds

MEMORY = Threshold("memory.available", Amount(100))
SOFT = Threshold("memory.available", Amount(200), grace=30.0)
DISK = Threshold("nodefs.available", Amount(part=0.1), minimum_reclaim=Amount(50))
ALL = (MEMORY, SOFT, DISK)


def seen(now: float, memory: int = 1000, disk: int = 1000) -> dict[str, Observation]:
    return {
        "memory.available": Observation(memory, 1000, now),
        "nodefs.available": Observation(disk, 1000, now),
    }


def test_a_hard_threshold_is_acted_on_at_once_and_a_soft_one_after_its_grace() -> None:
    state = look(Pressure(), ALL, seen(0, memory=150), 0)
    assert (state.act, state.conditions(0, 300)) == ((), {"MemoryPressure"})
    state = look(state, ALL, seen(29, memory=150), 29)
    assert state.act == ()
    state = look(state, ALL, seen(30, memory=150), 30)
    assert state.act == (SOFT,)
    assert look(Pressure(), ALL, seen(0, memory=99), 0).act == (MEMORY,)


def test_a_soft_threshold_that_is_left_begins_anew() -> None:
    state = look(Pressure(), ALL, seen(0, memory=150), 0)
    state = look(state, ALL, seen(20, memory=300), 20)
    state = look(state, ALL, seen(40, memory=150), 40)
    assert state.act == ()


def test_a_condition_stays_for_the_transition_period() -> None:
    state = look(Pressure(), ALL, seen(0, disk=50), 0)
    state = look(state, ALL, seen(10), 10)
    assert state.conditions(10, 300) == {"DiskPressure"}
    assert state.conditions(299, 300) == {"DiskPressure"}
    assert state.conditions(300, 300) == set()


def test_a_threshold_stays_met_until_the_minimum_is_reclaimed() -> None:
    state = look(Pressure(), ALL, seen(0, disk=99), 0)
    state = look(state, ALL, seen(10, disk=149), 10)
    assert state.act == (DISK,)
    assert look(state, ALL, seen(20, disk=150), 20).act == ()


def test_the_same_sample_is_not_acted_on_twice() -> None:
    state = look(Pressure(), ALL, seen(0, memory=50), 0)
    state = look(state, ALL, seen(0, memory=50), 10)
    assert (state.act, state.conditions(10, 300)) == ((), {"MemoryPressure"})
    assert look(state, ALL, seen(20, memory=50), 20).act == (MEMORY,)


def test_memory_goes_first() -> None:
    assert look(Pressure(), (DISK, MEMORY), seen(0, memory=50, disk=50), 0).act == (MEMORY, DISK)


def test_what_follows_from_other_thresholds() -> None:
    said = thresholds(Configuration())
    one = {t.signal: t.amount for t in complete(said, ("pods",), dedicated=False)}
    assert one["allocatableMemory.available"] == one["memory.available"]
    assert one["containerfs.available"] == one["nodefs.available"]
    two = {t.signal: t.amount for t in complete(said, (), dedicated=True)}
    assert "allocatableMemory.available" not in two
    assert two["containerfs.inodesFree"] == two["imagefs.inodesFree"]
    assert two["containerfs.available"] == Amount(part=0.15)


def test_each_signal_stands_for_a_condition_and_a_resource() -> None:
    assert [(condition(s), resource(s)) for s in ("pid.available", "imagefs.inodesFree", "nodefs.available")] == [
        ("PIDPressure", "pids"),
        ("DiskPressure", "inodes"),
        ("DiskPressure", "ephemeral-storage"),
    ]


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_more_that_is_free_never_meets_more(least: int, one: int, other: int) -> None:
    threshold = Threshold("memory.available", Amount(least))
    less, more = sorted((one, other))
    assert len(met((threshold,), seen(0, memory=more))) <= len(met((threshold,), seen(0, memory=less)))
