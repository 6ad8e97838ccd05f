"""What a StatefulSet does next, by its Pods: laws over any of them, and single cases."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers import _stateful as stateful
from pybernetes.controllers._failures import Failures
from pybernetes.controllers._stateful import PersistentVolumeClaim, Pod, StatefulSet

NOW = 1_767_225_600.0
STATES = ("absent", "pending", "unready", "ready", "failed", "terminating")


def the_set(replicas: int = 3, **spec: Any) -> StatefulSet:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    own = {
        "replicas": replicas,
        "serviceName": "svc",
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
    }
    meta = {"name": "web", "namespace": "ns", "uid": "set"}
    return msgspec.convert({"metadata": meta, "spec": own | spec}, StatefulSet)


def pod(ordinal: int, state: str = "ready", revision: str = "new") -> Pod:
    phase = {"pending": "Pending", "failed": "Failed"}.get(state, "Running")
    ready = "True" if state in ("ready", "terminating") else "False"
    meta = {"name": f"web-{ordinal}", "uid": f"uid-{ordinal}", "labels": {"controller-revision-hash": revision}}
    if state == "terminating":
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    return msgspec.convert({"metadata": meta, "status": status}, Pod)


def names(pods: list[Pod]) -> list[str]:
    return [p.metadata.name for p in pods]


def rolling(**how: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": how}


worlds = st.tuples(
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(("old", "new"))), max_size=8),
    st.integers(0, 3),
    st.integers(1, 3),
)


def made(world: tuple[int, list[tuple[str, str]], int, int], policy: str) -> tuple[StatefulSet, list[Pod]]:
    replicas, states, partition, most = world
    strategy = rolling(partition=partition, maxUnavailable=most)
    s = the_set(replicas, podManagementPolicy=policy, updateStrategy=strategy)
    return s, [pod(n, *what) for n, what in enumerate(states) if what[0] != "absent"]


def is_well(s: StatefulSet, p: Pod | None) -> bool:
    return p is not None and stateful.is_available(s, p, NOW)


@given(worlds)
def test_an_ordered_set_does_one_thing_at_a_time_and_only_when_all_before_it_is_well(world):
    s, pods = made(world, "OrderedReady")
    steps = stateful.next_steps(s, pods, "new", NOW)
    found = {stateful.ordinal_of(p): p for p in pods}
    wanted = stateful.ordinals(s)
    assert not (steps.create and steps.delete)
    assert len(steps.create) <= 1
    for ordinal in steps.create:
        assert ordinal not in found
        assert all(is_well(s, found.get(before)) for before in range(ordinal))
    scaled_down = [p for p in steps.delete if stateful.ordinal_of(p) not in wanted]
    for p in scaled_down:
        assert steps.delete == [p]
        assert all(is_well(s, found.get(o)) for o in wanted)
        assert stateful.ordinal_of(p) == max(found)
    old = [p for p in steps.delete if stateful.ordinal_of(p) in wanted and p.status.phase == "Running"]
    assert len(old) <= s.spec.updateStrategy.rollingUpdate.maxUnavailable
    assert not old or all(is_well(s, found.get(o)) for o in wanted)


@given(worlds, st.sampled_from(("OrderedReady", "Parallel")))
def test_whatever_the_state_no_pod_that_ends_or_is_of_the_update_is_deleted(world, policy):
    s, pods = made(world, policy)
    steps = stateful.next_steps(s, pods, "new", NOW)
    wanted = stateful.ordinals(s)
    assert len(set(names(steps.delete))) == len(steps.delete)
    for p in steps.delete:
        ordinal = stateful.ordinal_of(p)
        assert p.metadata.deletionTimestamp is None
        outdated = stateful.revision_of(p) == "old" and ordinal >= (world[2])
        assert ordinal not in wanted or p.status.phase == "Failed" or outdated


@given(worlds)
def test_a_parallel_update_never_takes_more_well_pods_than_max_unavailable_leaves(world):
    s, pods = made(world, "Parallel")
    steps = stateful.next_steps(s, pods, "new", NOW)
    found = {stateful.ordinal_of(p): p for p in pods}
    wanted = stateful.ordinals(s)
    assert set(steps.create) == {o for o in wanted if o not in found}
    missing = sum(not is_well(s, found.get(o)) for o in wanted)
    well = [p for p in steps.delete if stateful.ordinal_of(p) in wanted and is_well(s, p)]
    assert len(well) <= max(0, world[3] - missing)


ORDERED, PARALLEL = "OrderedReady", "Parallel"


@pytest.mark.parametrize(
    ("policy", "replicas", "partition", "most", "unready", "terminating", "gone"),
    [
        (PARALLEL, 1, 0, 1, [0], [], [0]),
        (PARALLEL, 3, 0, 1, [2], [], [2]),
        (PARALLEL, 5, 0, 2, [3, 4], [], [4, 3]),
        (ORDERED, 1, 0, 1, [0], [], []),
        (ORDERED, 3, 0, 1, [2], [], []),
        (ORDERED, 5, 0, 2, [4], [], [4]),
        (PARALLEL, 3, 0, 1, [], [2], []),
        (ORDERED, 3, 0, 1, [], [2], []),
        (PARALLEL, 5, 0, 3, [3], [4], [3, 2]),
        (PARALLEL, 5, 0, 3, [4], [3], [4, 2]),
        (ORDERED, 5, 0, 3, [3], [4], [3]),
        (ORDERED, 5, 0, 3, [4], [3], [4]),
        (PARALLEL, 5, 2, 1, [4], [], [4]),
        (PARALLEL, 5, 2, 1, [2], [], [2]),
        (PARALLEL, 5, 2, 1, [1], [], []),
        (ORDERED, 5, 2, 1, [4], [], []),
        (PARALLEL, 5, 3, 2, [3, 4], [], [4, 3]),
        (PARALLEL, 5, 3, 2, [1, 4], [], [4]),
        (PARALLEL, 4, 0, 2, [0, 1], [], [1, 0]),
        (PARALLEL, 5, 0, 3, [0, 1], [], [1, 0, 4]),
        (ORDERED, 6, 3, 2, [], [], [5, 4]),
        (ORDERED, 6, 3, 2, [], [3], [5]),
        (ORDERED, 6, 3, 2, [], [5, 4, 3], []),
        (ORDERED, 6, 3, 2, [], [2], [5]),
    ],
)
def test_which_pods_of_the_old_template_go_by_upstreams_table(
    policy, replicas, partition, most, unready, terminating, gone
):
    """Of a set whose Pods may be looked at one after the other: an ordered one does so only when all are well."""
    s = the_set(replicas, podManagementPolicy=policy, updateStrategy=rolling(partition=partition, maxUnavailable=most))
    states = {ordinal: "unready" for ordinal in unready} | {ordinal: "terminating" for ordinal in terminating}
    pods = [pod(ordinal, states.get(ordinal, "ready"), "old") for ordinal in range(replicas)]
    assert names(stateful._outdated(s, pods, "new", NOW)) == [f"web-{ordinal}" for ordinal in gone]


@pytest.mark.parametrize(
    ("states", "deleted"),
    [
        (("ready", "ready", "ready"), ["web-2"]),
        (("ready", "unready", "ready"), ["web-2"]),
        (("ready", "ready", "unready"), ["web-2"]),
        (("ready", "unready", "unready"), []),
        (("unready", "ready", "ready"), []),
        (("ready", "ready", "terminating"), []),
        (("ready", "terminating", "ready"), ["web-2"]),
    ],
)
def test_condemned_pods_go_from_the_highest_and_wait_for_the_lowest_that_is_not_well(states, deleted):
    pods = [pod(n, state) for n, state in enumerate(states)]
    assert names(stateful.next_steps(the_set(1), pods, "new", NOW).delete) == deleted


def test_ordinals_may_start_anywhere_and_the_partition_counts_from_there():
    s = the_set(3, ordinals={"start": 10}, updateStrategy=rolling(partition=1))
    assert list(stateful.ordinals(s)) == [10, 11, 12]
    assert [stateful.keeps_current(s, ordinal) for ordinal in (10, 11)] == [True, False]
    pods = [pod(n, "ready", "old") for n in (10, 11, 12)]
    assert names(stateful.next_steps(s, pods, "new", NOW).delete) == ["web-12"]


@pytest.mark.parametrize(
    ("name", "ordinal", "member"),
    [("web-0", 0, True), ("web-12", 12, True), ("web-01", -1, False), ("web", -1, False), ("a-web-1", 1, False)],
)
def test_names_that_a_set_gives(name, ordinal, member):
    found = Pod(metadata=meta_v1.ObjectMeta(name=name))
    assert stateful.ordinal_of(found) == ordinal
    assert stateful.is_member(the_set(), found) is member


def test_a_new_pod_mounts_its_claims_instead_of_volumes_of_the_same_name():
    templates = [{"metadata": {"name": "data"}, "spec": {}}]
    s = the_set(volumeClaimTemplates=templates)
    volumes = (core_v1.Volume(name="data"), core_v1.Volume(name="tmp"))
    template = msgspec.structs.replace(s.spec.template, spec=core_v1.PodSpec(volumes=volumes))
    made = stateful.new_pod(s, 1, "web-abc", template)
    assert [v.name for v in made.spec.volumes] == ["data", "tmp"]
    assert made.spec.volumes[0].persistentVolumeClaim.claimName == "data-web-1"
    assert stateful.mended(s, made) == made


def owned(*refs: tuple[str, str, str, bool]) -> PersistentVolumeClaim:
    listed = tuple(
        meta_v1.OwnerReference(
            apiVersion="apps/v1" if kind == "StatefulSet" else "v1",
            kind=kind,
            name=name,
            uid=uid,
            controller=controller,
        )
        for kind, name, uid, controller in refs
    )
    return PersistentVolumeClaim(metadata=meta_v1.ObjectMeta(name="data-web-1", ownerReferences=listed))


SET, POD = ("StatefulSet", "web", "set", True), ("Pod", "web-1", "uid-1", True)


@pytest.mark.parametrize(
    ("deleted", "scaled", "replicas", "before", "after"),
    [
        ("Retain", "Retain", 3, [SET], []),
        ("Retain", "Retain", 3, [("Pod", "other", "x", True)], ["x"]),
        ("Delete", "Retain", 3, [], ["set"]),
        ("Delete", "Retain", 1, [POD], ["set"]),
        ("Delete", "Retain", 3, [("StatefulSet", "web", "set", False)], ["set"]),
        ("Retain", "Delete", 3, [SET], []),
        ("Retain", "Delete", 1, [], ["uid-1"]),
        ("Delete", "Delete", 3, [POD], ["set"]),
        ("Delete", "Delete", 1, [SET], ["uid-1"]),
        ("Delete", "Delete", 3, [("StatefulSet", "web", "earlier", True)], ["earlier"]),
        ("Delete", "Delete", 3, [SET, ("ReplicaSet", "other", "x", True)], ["x"]),
        ("Delete", "Delete", 3, [("ConfigMap", "other", "x", False)], ["x", "set"]),
    ],
)
def test_who_owns_a_claim(deleted, scaled, replicas, before, after):
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    s = the_set(replicas, persistentVolumeClaimRetentionPolicy=policy)
    refs = stateful.owners_of_claim(owned(*before), s, pod(1))
    assert [ref.uid for ref in refs] == after
    mended = PersistentVolumeClaim(metadata=meta_v1.ObjectMeta(name="data-web-1", ownerReferences=refs))
    assert stateful.owners_of_claim(mended, s, pod(1)) == refs


def test_the_current_revision_becomes_the_update_when_all_pods_are_of_it():
    s = the_set(2)
    status = stateful.status_of(s, [pod(0), pod(1)], "old", "new", NOW)
    assert (status.currentRevision, status.currentReplicas, status.updatedReplicas) == ("new", 2, 2)
    status = stateful.status_of(s, [pod(0, revision="old"), pod(1, "unready")], "old", "new", NOW)
    assert (status.currentRevision, status.currentReplicas, status.updatedReplicas) == ("old", 1, 1)
    status = stateful.status_of(s, [pod(0), pod(1, "terminating")], "old", "new", NOW)
    assert (status.replicas, status.readyReplicas, status.updatedReplicas) == (2, 2, 1)


def test_pods_that_end_again_and_again_are_removed_slower_until_there_is_calm():
    failures, owner = Failures(), Key("ns", "web")
    waits = []
    now = NOW
    for _ in range(9):
        now += failures.left(owner, "web-0", now)
        failures.removed(owner, "web-0", now)
        waits.append(failures.left(owner, "web-0", now))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert failures.left(owner, "web-1", now) == 0
    failures.removed(owner, "web-0", now + 1000)
    assert failures.left(owner, "web-0", now + 1000) == 1
    failures.forget(owner)
    assert failures.left(owner, "web-0", now + 1000) == 0


def test_what_befell_pods_of_another_generation_is_no_reason_to_wait():
    failures, owner, other = Failures(), Key("ns", "web"), Key("ns", "other")
    for key in (owner, other):
        failures.look(key, 1)
        failures.removed(key, "web-0", 0)
    failures.look(owner, 1)
    assert failures.left(owner, "web-0", 0) == 1
    failures.look(owner, 2)
    assert (failures.left(owner, "web-0", 0), failures.left(other, "web-0", 0)) == (0, 1)
