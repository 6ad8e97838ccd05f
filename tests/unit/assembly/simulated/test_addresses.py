"""Addresses of Pods: each once, the ones that were given back last."""

import pytest

from pybernetes.assembly.simulated.addresses import NoAddress, PodAddresses, SharedRange


def node(*ranges: str, shared: SharedRange | None = None) -> PodAddresses:
    made = PodAddresses(shared or SharedRange("100.64.0.0/29"))
    made.ranges = ranges
    return made


def test_a_range_is_used_up_and_what_is_given_back_can_be_had_again() -> None:
    made = node("10.0.0.0/29")
    assert [made.take() for _ in range(5)] == [(f"10.0.0.{n}",) for n in range(2, 7)]
    with pytest.raises(NoAddress, match=r"no IP addresses available in range 10\.0\.0\.0/29"):
        made.take()
    made.give_back(("10.0.0.5",))
    made.give_back(("10.0.0.3",))
    assert [made.take(), made.take()] == [("10.0.0.3",), ("10.0.0.5",)]


def test_an_address_that_was_given_back_rests() -> None:
    made = node("10.0.0.0/24")
    first = made.take()
    made.give_back(first)
    assert made.take() != first


def test_a_range_too_small_for_anybody_has_none() -> None:
    with pytest.raises(NoAddress):
        node("10.0.0.0/31").take()


def test_what_is_held_is_not_given_again() -> None:
    shared = SharedRange("100.64.0.0/29")
    made = node(shared=shared)
    made.hold(["100.64.0.3", "fd00::1", "10.0.0.9"])
    assert made.has("100.64.0.3")
    assert [made.take(), node(shared=shared).take(), made.take()] == [
        ("100.64.0.4",),
        ("100.64.0.5",),
        ("100.64.0.6",),
    ]
