"""Who owns what: cases of upstream's documentation and tests as short scenarios, and laws of apply."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.patch import fields, managers
from pybernetes.rules.patch.managers import APPLY, UPDATE, Conflicts, Entry, Manager, Step, applied, updated
from pybernetes.rules.patch.typed import of_type

NODE = of_type("io.k8s.api.core.v1.Pod")


def step(name, operation=APPLY, subresource="", time="2026-01-01T00:00:00Z"):
    version = "" if operation == APPLY else "v1"
    return Step(Manager(name, operation, version, subresource), "v1", time, NODE)


def labels(**values):
    return {"metadata": {"labels": values}}


class World:
    """An object and the account of it."""

    def __init__(self, live):
        self.live = live
        self.managed = {}

    def apply(self, name, config, *, force=False):
        self.live, self.managed = applied(self.managed, self.live, config, step(name), force=force)
        return self

    def update(self, name, new, time="2026-01-01T00:00:00Z"):
        self.managed = updated(self.managed, self.live, new, step(name, UPDATE, time=time))
        self.live = new
        return self

    def owned(self):
        return {
            who.name: sorted(fields.shown(path).rpartition(".")[2] for path in fields.paths(entry.fields))
            for who, entry in self.managed.items()
        }


def test_who_applies_owns_what_he_applied_and_loses_what_he_leaves_out():
    world = World({"metadata": {}}).apply("a", labels(x="1", y="2"))
    assert world.owned() == {"a": ["x", "y"]}
    world.apply("a", labels(x="1"))
    assert (world.live, world.owned()) == (labels(x="1"), {"a": ["x"]})


def test_what_somebody_else_owns_too_stays_when_it_is_left_out():
    world = World({"metadata": {}}).apply("a", labels(x="1", y="2")).apply("b", labels(y="2"))
    assert world.owned() == {"a": ["x", "y"], "b": ["y"]}
    world.apply("a", labels(x="1"))
    assert (world.live, world.owned()) == (labels(x="1", y="2"), {"a": ["x"], "b": ["y"]})


def test_another_value_is_a_conflict_the_same_is_shared_and_force_takes():
    world = World({"metadata": {}}).apply("a", labels(x="1"))
    with pytest.raises(Conflicts) as refused:
        world.apply("b", labels(x="2"))
    assert [(who.name, path) for who, path in refused.value.each()] == [("a", ".metadata.labels.x")]
    world.apply("b", labels(x="2"), force=True)
    assert world.owned() == {"b": ["x"]}


def test_an_update_takes_what_it_changes_from_whoever_had_it():
    world = World({"metadata": {}}).apply("a", labels(x="1", y="1")).update("c", labels(x="2", y="1"))
    assert world.owned() == {"a": ["y"], "c": ["x"]}
    assert str(next(who for who in world.managed if who.name == "c")) == '"c" using v1'


def test_an_update_that_removes_a_field_removes_it_from_every_owner():
    world = World({"metadata": {}}).apply("a", labels(x="1")).apply("b", labels(x="1", y="2"))
    world.update("c", labels(y="2"))
    assert world.owned() == {"b": ["y"]}


def test_items_of_a_list_go_with_their_owner_unless_others_own_in_them():
    def pod(*containers):
        return {"spec": {"containers": list(containers)}}

    world = World(pod()).apply("a", pod({"name": "one", "image": "i"}, {"name": "two", "image": "i"}))
    world.apply("b", pod({"name": "two", "stdin": True}))
    world.apply("a", pod({"name": "one", "image": "i"}))
    assert world.live == pod({"name": "one", "image": "i"}, {"name": "two", "stdin": True})
    world.apply("b", {})
    assert world.live == pod({"name": "one", "image": "i"})


def test_what_nobody_applied_stays_in_an_item_that_its_owner_keeps():
    def pod(**container):
        return {"spec": {"containers": [{"name": "c", **container}]}}

    world = World({}).apply("a", pod(image="i", tty=True))
    world.live = pod(image="i", tty=True, imagePullPolicy="Always")  # as if defaulted
    world.apply("a", pod(image="i"))
    assert world.live == pod(image="i", imagePullPolicy="Always")


def test_nobody_owns_what_the_server_owns():
    metadata = {"name": "n", "uid": "u", "resourceVersion": "1", "labels": {"x": "1"}}
    world = World({}).apply("a", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})
    assert world.owned() == {"a": ["x"]}


def test_an_apply_that_changes_nothing_keeps_its_time():
    world = World({"metadata": {}}).apply("a", labels(x="1"))
    live = world.live
    again, managed = applied(world.managed, live, labels(x="1"), step("a", time="2027-01-01T00:00:00Z"), force=False)
    assert again is live
    assert managed == world.managed


def test_operations_and_subresources_are_managers_of_their_own():
    world = World({"metadata": {}}).apply("a", labels(x="1")).update("a", labels(x="1", y="2"))
    assert sorted((who.operation, who.name) for who in world.managed) == [(APPLY, "a"), (UPDATE, "a")]
    status = {**world.live, "status": {"phase": "Running"}}
    world.managed = updated(world.managed, world.live, status, step("a", UPDATE, "status"))
    assert [str(who) for who in sorted(world.managed)] == [
        '"a"',
        '"a" using v1',
        '"a" with subresource "status" using v1',
    ]


def test_the_oldest_of_too_many_updaters_become_one():
    world = World({"metadata": {}})
    keys = [f"k{n:02}" for n in range(13)]
    for n in range(len(keys)):
        world.update(f"m{n:02}", labels(**dict.fromkeys(keys[: n + 1], "v")), time=f"2026-01-{n + 1:02}T00:00:00Z")
    owned = world.owned()
    assert len(owned) == managers.UPDATE_MANAGERS
    assert set(keys[:4]) <= set(owned["ancient-changes"])
    assert owned["m12"] == ["k12"]
    ancient = next(entry for who, entry in world.managed.items() if who.name == "ancient-changes")
    assert ancient.time == "2026-01-04T00:00:00Z"


def test_entries_are_written_appliers_first_then_by_time_and_name():
    world = World({"metadata": {}}).update("z", labels(u="1"), time="2026-01-02T00:00:00Z")
    world.update("y", labels(u="1", v="1"), time="2026-01-01T00:00:00Z").apply("a", labels(x="1"))
    entries = managers.encoded(world.managed)
    assert [(entry["operation"], entry["manager"]) for entry in entries] == [
        ("Apply", "a"),
        ("Update", "y"),
        ("Update", "z"),
    ]
    assert managers.decoded(entries) == world.managed
    assert managers.checked(managers.decoded(entries)) == world.managed


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"apiVersion": "v1", "fieldsType": "FieldsV1"}, "operation must be"),
        ({"operation": "Apply", "fieldsType": "FieldsV1"}, "apiVersion must not be empty"),
        ({"operation": "Apply", "apiVersion": "v1"}, "missing fieldsType in managed fields entry 0"),
        ({"operation": "Apply", "apiVersion": "v1", "fieldsType": "x"}, 'invalid fieldsType "x"'),
    ],
)
def test_entries_that_cannot_be_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        managers.decoded([entry])


_LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)
_CONFIGS = st.builds(
    lambda given, names, image: {
        **labels(**given),
        "spec": {"containers": [{"name": name, "image": image} for name in names]},
    },
    _LABELS,
    st.lists(st.sampled_from("xyz"), unique=True),
    st.sampled_from("ij"),
)


@given(st.lists(st.tuples(st.sampled_from("mn"), _CONFIGS), min_size=1, max_size=6))
@settings(max_examples=200)
def test_forced_applies_hold_and_are_idempotent(steps):
    world = World({})
    for name, config in steps:
        world.apply(name, config, force=True)
        then = world.live, world.managed
        world.apply(name, config)
        assert (world.live, world.managed) == then
        there = fields.of_object(world.live, NODE)
        for entry in world.managed.values():
            assert fields.difference(entry.fields, fields.with_named_parents(there, NODE)) == {}
        assert config["metadata"]["labels"].items() <= (world.live["metadata"]["labels"] or {}).items()


@given(_CONFIGS, _LABELS)
@settings(max_examples=100)
def test_managers_of_different_fields_do_not_heed_each_other(first, others):
    second = labels(**{name.upper(): value for name, value in others.items()})
    one = World({}).apply("a", first).apply("b", second)
    two = World({}).apply("b", second).apply("a", first)
    assert (one.live, one.owned()) == (two.live, two.owned())


@given(_CONFIGS, _CONFIGS)
@settings(max_examples=100)
def test_who_applies_nothing_leaves_nothing_of_his_own(mine, theirs):
    world = World({}).apply("a", mine).apply("b", theirs, force=True).apply("a", {})
    assert all(who.name == "b" for who in world.managed)
    alone = World({}).apply("b", theirs)
    assert world.owned() == alone.owned()
    assert fields.of_object(world.live, NODE) == fields.of_object(alone.live, NODE)


@given(_CONFIGS, _CONFIGS)
@settings(max_examples=100)
def test_every_field_has_an_owner_after_updates(one, other):
    world = World({}).update("a", one).update("b", other)
    owned = {}
    for entry in world.managed.values():
        assert isinstance(entry, Entry)
        owned = fields.union(owned, entry.fields)
    assert fields.difference(fields.of_object(world.live, NODE), owned) == {}
