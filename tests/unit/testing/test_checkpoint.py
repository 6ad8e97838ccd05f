"""The way from one state to another, without a cluster."""

import orjson

from pybernetes.store.protocol import Revision, Stored
from pybernetes.testing.checkpoint import Checkpoint, plan


def obj(key: str, created: int, uid: str = "u", *, revision: int = 0, **more: str) -> Stored:
    body = orjson.dumps({"metadata": {"uid": uid, "creationTimestamp": f"2026-01-01T00:00:{created:02}Z", **more}})
    return Stored(f"/registry/{key}", body, Revision(created), Revision(revision or created))


def shown(now: list[Stored], then: list[Stored]) -> list[str]:
    return [f"{'+' if c.wanted else '-'}{c.key.removeprefix('/registry/')}" for c in plan(now, then)]


def test_nothing_is_written_where_nothing_differs_but_revisions():
    assert shown([obj("a", 1, revision=9)], [obj("a", 1, revision=2)]) == []


def test_what_is_gone_goes_newest_first_and_what_is_to_be_comes_oldest_first():
    now = [obj("namespaces/x", 1), obj("sets/x/s", 2), obj("pods/x/p", 3)]
    then = [obj("namespaces/y", 4), obj("sets/y/s", 5), obj("pods/y/p", 6)]
    assert shown(now, then) == ["-pods/x/p", "-sets/x/s", "-namespaces/x", "+namespaces/y", "+sets/y/s", "+pods/y/p"]
    assert shown(then, now) == ["-pods/y/p", "-sets/y/s", "-namespaces/y", "+namespaces/x", "+sets/x/s", "+pods/x/p"]


def test_what_was_changed_is_changed_back_and_a_namesake_makes_room():
    assert shown([obj("a", 1, x="2")], [obj("a", 1, x="1")]) == ["+a"]
    assert shown([obj("a", 5, "other")], [obj("a", 1, "mine")]) == ["-a", "+a"]


def test_what_is_no_object_is_changed_as_it_is():
    one = Stored("/registry/ranges/30000", b'{"name":"a"}', Revision(1), Revision(1))
    other = Stored("/registry/ranges/30000", b'{"name":"b"}', Revision(2), Revision(2))
    assert shown([one], [other]) == ["+ranges/30000"]


def test_a_file_from_before_files_had_times_is_as_old_as_its_newest_object(tmp_path):
    path = tmp_path / "a.dump"
    Checkpoint([obj("a", 1), obj("b", 30), obj("c", 2)], Revision(40)).save(path)
    assert b'"time"' not in path.read_bytes()
    assert Checkpoint.load(path).time == 1_767_225_630.0
    Checkpoint([], Revision(1)).save(path)
    assert Checkpoint.load(path).time is None


def test_events_have_the_time_that_is_known_else_all_of_it():
    event = Stored("/registry/events/d/e", b"{}", Revision(1), Revision(1))
    other = Stored("/registry/events/d/f", b"{}", Revision(1), Revision(1))
    state = Checkpoint([event, other, obj("a", 1)], Revision(2), lifetimes={"/registry/events/d/e": 5.0})
    assert state.lifetimes(3600) == {"/registry/events/d/e": 5.0, "/registry/events/d/f": 3600}
