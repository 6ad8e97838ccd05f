"""How waits grow."""

from pybernetes.rules.backoff import exponential


def test_waits_double_up_to_the_longest() -> None:
    assert [exponential(failures, 1.0, 30.0) for failures in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_what_fails_for_ever_still_has_a_wait() -> None:
    assert exponential(5000, 0.005, 1000.0) == 1000.0
