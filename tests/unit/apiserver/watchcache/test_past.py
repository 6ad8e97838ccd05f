"""The law of the past: what a resource's cache says of an earlier revision is what was there then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.errors import Expired
from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.catalog import discovered
from pybernetes.apiserver.watchcache import resource_cache as caches
from pybernetes.apiserver.watchcache.entry import FORMS, Entry, Forms, entry_of
from pybernetes.apiserver.watchcache.resource_cache import NOW, ResourceCache
from pybernetes.apiserver.watchcache.watcher import INDEXED_FIELD, Change

SERVED = discovered().find("", "v1", "pods")
assert SERVED is not None

WRITES = st.lists(
    st.tuples(st.sampled_from(["a/x", "a/y", "a/z", "b/x", "b/y"]), st.sampled_from(["n1", "n2", "", None])),
    max_size=25,
)


def pod(key, node, revision):
    namespace, _, name = key.partition("/")
    obj = {"metadata": {"namespace": namespace, "name": name, "uid": key}, "spec": {"nodeName": node}}
    return entry_of(SERVED, SERVED.head + b'"metadata":{"uid":"%b"}}' % key.encode(), revision, obj)[0]


def shown(entries):
    return [(entry.key, entry.revision) for entry in entries]


@given(WRITES, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "a/x", "a/y", "b/x"]), st.integers(1, 3))
def test_lists_of_the_past_are_what_was_there(writes, namespace, after, limit):
    cache = ResourceCache(SERVED)
    states: list[dict[str, Entry]] = [{}]
    for revision, (key, node) in enumerate(writes, 1):
        entry = None if node is None else pod(key, node, revision)
        cache.apply(key, entry, revision)
        state = {known: one for known, one in states[-1].items() if known != key}
        states.append(state if entry is None else {**state, key: entry})
    for revision, state in enumerate(states):
        past = NOW if revision == len(writes) else cache.past(revision)
        assert past is not None
        there = [state[key] for key in sorted(state) if key > after and key.startswith(namespace)]
        assert shown(cache.select(namespace, after, past=past)) == shown(there)
        for node in ("n1", "n2"):
            on_node = [entry for entry in there if entry.fields[INDEXED_FIELD] == node]
            assert shown(cache.select(namespace, after, node=node, past=past)) == shown(on_node)
        page, left = cache.page(namespace, after, limit, past)
        assert (shown(page), left) == (shown(there[:limit]), max(len(there) - limit, 0))


def test_a_past_that_is_forgotten_is_not_made_up(monkeypatch):
    monkeypatch.setattr(caches, "HISTORY", 2)
    cache = ResourceCache(SERVED)
    for revision in range(1, 5):
        cache.apply("a/x", pod("a/x", "n1", revision), revision)
    assert cache.past(1) is None
    assert shown(cache.select(past=cache.past(2))) == [("a/x", 2)]


def test_what_is_kept_is_counted_and_large_states_are_remembered_less_long(monkeypatch):
    cache = ResourceCache(SERVED)
    size = len(pod("a/x", "n1", 1).body)
    monkeypatch.setattr(caches, "HISTORY_BYTES", 3 * size)
    cache.replace([pod("a/y", "n1", 1)], 1)
    for revision in range(2, 9):
        cache.apply("a/x", pod("a/x", "n1", revision), revision)
    assert (cache.size, cache.history_size, cache.received) == (2 * size, 3 * size, 7)
    assert (len(cache.changes), cache.since) == (3, 5)
    cache.apply("a/x", None, 9)
    assert (cache.size, cache.history_size, cache.since) == (size, 3 * size, 6)
    cache.replace([], 10)
    assert (cache.size, cache.history_size) == (0, 0)


def test_changes_are_told_from_where_they_are_remembered_and_no_earlier(monkeypatch):
    monkeypatch.setattr(caches, "HISTORY", 3)
    cache = ResourceCache(SERVED)
    for revision in range(1, 9):
        cache.apply("a/x", pod("a/x", "n1", revision), revision)
    for after in (6, 7, 8):
        assert [change.revision for change in cache.changes_after(after - 1)] == list(range(after, 9))
    assert cache.changes_after(8) == []
    for after in (0, 3, 4):
        with pytest.raises(Expired):
            cache.changes_after(after)


def test_nothing_of_before_is_told_once_the_store_was_read_anew():
    cache = ResourceCache(SERVED)
    for revision in range(1, 5):
        cache.apply("a/x", pod("a/x", "n1", revision), revision)
    cache.replace([pod("a/y", "n1", 9)], 9)
    for after in (0, 3, 8):
        assert cache.past(after) is None
        with pytest.raises(Expired):
            cache.changes_after(after)
    assert cache.changes_after(9) == []
    for revision in (10, 11):
        cache.apply("a/z", pod("a/z", "n1", revision), revision)
    assert [change.revision for change in cache.changes_after(9)] == [10, 11]
    assert cache.history_size == sum(change.size for change in cache.changes)
    assert shown(cache.select(past=cache.past(9))) == [("a/y", 9)]


def test_a_node_of_which_nothing_is_left_is_forgotten():
    cache = ResourceCache(SERVED)
    cache.replace([pod("a/x", "n1", 1)], 1)
    assert shown(cache.select(node="n1")) == [("a/x", 1)]
    cache.apply("a/x", pod("a/x", "n2", 2), 2)
    assert cache.select(node="n1") == []
    cache.apply("a/x", None, 3)
    assert cache.select(node="n2") == []


def test_forms_are_bounded_and_the_oldest_go_first():
    forms = Forms(100)
    entries = [pod(f"a/{name}", "n", 1) for name in "xyz"]
    for entry in entries:
        forms.keep(entry, "protobuf", b"", 40)
    assert [entry.encoded is None for entry in entries] == [True, False, False]
    assert forms.size == 80
    forms.drop(entries[2])
    forms.drop(entries[2])
    assert forms.size == 40


def test_forms_are_counted_by_resource_and_none_twice():
    forms, entry, resource = Forms(100), pod("a/x", "n", 1), SERVED.gr
    forms.keep(entry, "row", b"", 40)
    forms.keep(entry, "protobuf", b"", 10)
    assert (forms.of(resource), forms.of(GroupResource("", "others"))) == (50, 0)
    for _ in range(10):
        forms.keep(entry, "row", b"", 30)
    assert (forms.size, forms.of(resource)) == (30, 30)
    other = pod("a/x", "n", 1)
    forms.keep(entry, "v2", other, 20)
    forms.keep(other, "row", b"", 30)
    assert forms.of(resource) == 80
    forms.drop(entry)
    assert (forms.size, forms.of(resource), other.encoded) == (0, 0, None), (
        "what it is in another version has rows, too"
    )


def test_a_large_form_takes_the_place_of_as_many_as_it_needs():
    forms = Forms(100)
    entries = [pod(f"a/{name}", "n", 1) for name in "vwxyz"]
    for entry in entries[:4]:
        forms.keep(entry, "protobuf", b"", 25)
    forms.keep(entries[4], "protobuf", b"", 60)
    assert [entry.encoded is None for entry in entries] == [True, True, True, False, False]
    assert forms.size == 85


def test_what_a_deletion_carries_has_no_forms_of_the_revision_before():
    entry = pod("a/x", "n1", 1)
    FORMS.keep(entry, "protobuf", b"at revision 1", 5)
    try:
        last = Change(None, entry, 7).last
        assert (last.revision, last.encoded) == (7, None)
    finally:
        FORMS.drop(entry)


@pytest.mark.parametrize("end", ["changed", "deleted", "read anew"])
def test_the_forms_of_an_old_state_go_with_it(end):
    cache, entry = ResourceCache(SERVED), pod("a/x", "n1", 1)
    cache.replace([entry], 1)
    before = FORMS.size
    FORMS.keep(entry, "protobuf", b"12345", 5)
    if end == "read anew":
        cache.replace([], 2)
    else:
        cache.apply("a/x", pod("a/x", "n1", 2) if end == "changed" else None, 2)
    assert entry.encoded is None
    assert FORMS.size == before


def test_nothing_of_any_state_is_kept_for_a_cache_that_nobody_asks_any_more():
    cache, first = ResourceCache(SERVED), pod("a/x", "n1", 1)
    cache.replace([first], 1)
    before = FORMS.size
    cache.apply("a/x", pod("a/x", "n1", 2), 2)
    cache.apply("a/x", None, 3)
    for change in cache.changes:
        assert change.last  # a state of its own, which DELETED carries
        for state in change.states:
            FORMS.keep(state, "protobuf", b"12345", 5)
    assert FORMS.size > before
    cache.forget()
    assert FORMS.size == before
