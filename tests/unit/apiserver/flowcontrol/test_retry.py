"""Retry-After: more while many are refused, less when few are."""

from pybernetes.apiserver.flowcontrol.retry import MOST, RetryAfter


def test_a_few_may_come_again_in_a_second():
    retry = RetryAfter()
    for second in range(100, 200):
        retry.refused(second)
    assert retry.seconds == 1


def test_many_wait_twice_as_long_each_time_and_not_longer_than_half_a_minute():
    retry, seen = RetryAfter(), []
    for second in range(1000, 1200):
        for _ in range(50):
            retry.refused(second + 0.5)
        seen.append(retry.seconds)
    assert sorted(set(seen)) == [1, 2, 4, 8, 16, 32]
    assert seen == sorted(seen)
    assert seen[-1] == MOST
    raised = [seen.index(seconds) for seconds in (2, 4, 8, 16, 32)]
    assert raised == [1, 3, 7, 15, 31], "after each rise, as long as it says"


def test_it_goes_down_by_one_a_second_when_few_are_refused():
    retry = RetryAfter()
    for second in range(1000, 1010):
        for _ in range(50):
            retry.refused(second)
    assert retry.seconds == 8
    seen = []
    for second in range(1100, 1140, 4):
        retry.refused(second)
        seen.append(retry.seconds)
    assert seen[:8] == [7, 6, 5, 4, 3, 2, 1, 1]
