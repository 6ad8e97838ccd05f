"""Addresses of Pods: given once, remembered, given back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.network.ipam import AddressBook, Exhausted

CIDR = "10.244.1.0/28"
SIZE = 13


def test_the_same_interface_keeps_its_address_across_restarts(tmp_path: Path) -> None:
    first = AddressBook(tmp_path).allocate(CIDR, "s1", "eth0", "/run/netns/1")
    assert first.address == "10.244.1.2"
    again = AddressBook(tmp_path)
    assert again.allocate(CIDR, "s1", "eth0", "/run/netns/1") == first
    assert again.allocate(CIDR, "s2", "eth0", "/run/netns/2").address == "10.244.1.3"


def test_a_freed_address_rests_before_it_is_given_again(tmp_path: Path) -> None:
    given_out = []
    for number in range(SIZE):
        book = AddressBook(tmp_path)  # also when the agent restarts in between
        given_out.append(book.allocate(CIDR, f"s{number}", "eth0", "").address)
        book.release(f"s{number}", "eth0")
    assert len(set(given_out)) == SIZE


def test_a_full_range_says_so_and_one_release_helps(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    for number in range(SIZE):
        book.allocate(CIDR, f"s{number}", "eth0", "")
    with pytest.raises(Exhausted, match=r"all 13 addresses of 10\.244\.1\.0/28 are taken"):
        book.allocate(CIDR, "late", "eth0", "")
    freed = book.release("s4", "eth0")
    assert freed is not None
    assert book.allocate(CIDR, "late", "eth0", "").address == freed.address


def test_releasing_what_is_unknown_is_no_error(tmp_path: Path) -> None:
    assert AddressBook(tmp_path).release("nobody", "eth0") is None


def test_records_of_dead_sandboxes_are_given_back(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    book.allocate(CIDR, "dead", "eth0", "/gone")
    book.allocate(CIDR, "alive", "eth0", "/there")
    assert [r.sandbox for r in book.keep(lambda r: r.netns == "/there")] == ["dead"]
    assert [r.sandbox for r in AddressBook(tmp_path)] == ["alive"]


def test_half_a_record_is_dropped(tmp_path: Path) -> None:
    AddressBook(tmp_path).allocate(CIDR, "s", "eth0", "")
    (tmp_path / "10.244.1.7").write_bytes(b'{"address": "10.2')
    (tmp_path / "10.244.1.8").write_bytes(b"")
    assert [r.address for r in AddressBook(tmp_path)] == ["10.244.1.2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["10.244.1.2", "last"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15)), max_size=60))
def test_no_address_is_ever_given_to_two(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    folder = tmp_path_factory.mktemp("ipam")
    book = AddressBook(folder)
    model: dict[str, str] = {}
    for take, number in steps:
        name = f"s{number}"
        if take:
            try:
                model[name] = book.allocate(CIDR, name, "eth0", "").address
            except Exhausted:
                assert len(model) == SIZE
        else:
            released = book.release(name, "eth0")
            assert (released.address if released else None) == model.pop(name, None)
        assert len(set(model.values())) == len(model)
    assert {r.sandbox: r.address for r in AddressBook(folder)} == model
