from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.controllers import _rollout as rollout
from pybernetes.controllers._rollout import DESIRED, MAX, Deployment, ReplicaSet


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> Deployment:
    rolling = apps_v1.RollingUpdateDeployment(maxSurge=surge, maxUnavailable=unavailable)
    strategy = apps_v1.DeploymentStrategy(type="RollingUpdate", rollingUpdate=rolling)
    return Deployment(
        metadata=meta_v1.ObjectMeta(name="d"), spec=apps_v1.DeploymentSpec(replicas=replicas, strategy=strategy)
    )


def rs(name: str, replicas: int, available: int | None = None, **annotations: str) -> ReplicaSet:
    return ReplicaSet(
        metadata=meta_v1.ObjectMeta(
            name=name, uid=name, creationTimestamp=f"2026-01-01T00:00:0{name[-1]}Z", annotations=annotations
        ),
        spec=apps_v1.ReplicaSetSpec(replicas=replicas),
        status=apps_v1.ReplicaSetStatus(
            replicas=replicas, availableReplicas=replicas if available is None else available
        ),
    )


def test_percentages_round_up_for_surge_and_down_for_unavailable():
    d = deployment(10)
    assert (rollout.surge(d), rollout.unavailable(d)) == (3, 2)
    assert rollout.unavailable(deployment(1, surge=0, unavailable=0)) == 1


def test_the_new_set_grows_as_far_as_the_surge_allows():
    d = deployment(10, 3, 2)
    assert rollout.new_size(d, [rs("old1", 10)], 0) == 3
    assert rollout.new_size(d, [rs("old1", 8), rs("new2", 3)], 3) == 5


def test_unhealthy_old_pods_go_first():
    d = deployment(10, 3, 2)
    sizes = rollout.old_sizes(d, rs("new3", 3, 0), [rs("old1", 8, 8), rs("old2", 4, 0)])
    assert sizes == {"old2": 0}


def test_pods_that_a_smaller_set_still_counts_are_not_there_to_be_spared():
    d = deployment(5, "50%", 0)
    assert rollout.old_sizes(d, rs("new2", 3, 2), [rs("old1", 3, available=5)]) == {}
    assert rollout.old_sizes(d, rs("new2", 3, 3), [rs("old1", 3, available=5)]) == {"old1": 2}


@settings(max_examples=100)
@given(st.integers(1, 12), st.integers(0, 4), st.integers(0, 4), st.lists(st.booleans(), min_size=200, max_size=200))
def test_a_rollout_keeps_its_limits_and_ends_whatever_order_pods_become_ready(
    wanted: int, surge: int, unavailable: int, coins: list[bool]
):
    d = deployment(wanted, surge, unavailable)
    if surge == unavailable == 0:
        surge, unavailable = rollout.surge(d), rollout.unavailable(d)
    old, new = rs("old1", wanted), rs("new2", 0)
    for step in range(200):
        size = rollout.new_size(d, [old, new], rollout.replicas_of(new))
        if size == rollout.replicas_of(new):
            shrunk = rollout.old_sizes(d, new, [old]).get("old1", rollout.replicas_of(old))
            old = rs("old1", shrunk, min(shrunk, old.status.availableReplicas))
        new = rs("new2", size, new.status.availableReplicas)
        assert rollout.replicas_of(old) + rollout.replicas_of(new) <= wanted + surge
        available = old.status.availableReplicas + new.status.availableReplicas
        assert available >= wanted - max(unavailable, rollout.unavailable(d))
        if coins[step] or step > 100:
            new = rs("new2", size, min(size, new.status.availableReplicas + 1))
        if rollout.replicas_of(old) == 0 and new.status.availableReplicas == wanted:
            return
    raise AssertionError("it never ended")


@settings(max_examples=100)
@given(st.integers(0, 20), st.lists(st.integers(1, 10), min_size=2, max_size=4))
def test_proportional_sizes_add_up(wanted: int, sizes: list[int]):
    """A rollout that was within its surge of 2 is scaled to `wanted`."""
    d = deployment(wanted, 2, 2)
    most = sum(sizes)
    marks = {DESIRED: str(most - 2), MAX: str(most)}
    sets = [rs(f"rs{n}", size, 0, **marks) for n, size in enumerate(sizes)]
    found = rollout.proportional_sizes(d, sets[-1], sets[:-1])
    assert all(size >= 0 for size in found.values())
    total = sum(found.get(s.metadata.name, rollout.replicas_of(s)) for s in sets)
    assert total == (wanted + 2 if wanted else 0)


def test_a_lone_set_takes_it_all():
    assert rollout.proportional_sizes(deployment(7), None, [rs("old1", 3)]) == {"old1": 7}
    assert rollout.proportional_sizes(deployment(3), None, [rs("old1", 3)]) == {}


def test_the_hash_is_made_of_safe_letters_and_differs_by_collision():
    template = core_v1.PodTemplateSpec(metadata=meta_v1.ObjectMeta(labels={"a": "b"}))
    first, second = rollout.template_hash(template, None), rollout.template_hash(template, 1)
    assert first != second
    assert set(first) <= set(rollout.ALPHABET)
    labelled = replace(template, metadata=replace(template.metadata, labels={"a": "b", "pod-template-hash": "x"}))
    assert rollout.template_hash(labelled, None) == first


def test_revisions_rise_and_history_is_kept_even_beyond_32_bits():
    d = Deployment(metadata=meta_v1.ObjectMeta(annotations={"note": "1", rollout.LAST_APPLIED: "{}"}))
    start = {rollout.REVISION: "3546343826724305832", rollout.REVISION_HISTORY: "1"}
    found = rollout.new_annotations(d, start, 3546343826724305833, exists=True)
    assert found == {
        "note": "1", rollout.REVISION: "3546343826724305833", rollout.REVISION_HISTORY: "1,3546343826724305832",
    }  # fmt: skip
    assert rollout.new_annotations(d, start, 5, exists=True)[rollout.REVISION] == "3546343826724305832"
