import pytest
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


def scaled(
    before: Deployment, after: Deployment, new: int | None, old: tuple[int, ...], desired: dict[str, int] | None = None
) -> list[int | None]:
    """Sizes of the new set and of the old ones, newest first, after the Deployment has become another."""
    names = [f"rs{9 - at}" for at in range(len(old) + 1)]
    marks = {name: (desired or {}).get(name, rollout.replicas_of(before)) for name in names}
    sets = [
        None if size is None else rs(name, size, **{DESIRED: str(mark), MAX: str(mark + rollout.surge(before))})
        for (name, mark), size in zip(marks.items(), (new, *old), strict=True)
    ]
    others = [s for s in sets[1:] if s is not None]
    found = rollout.proportional_sizes(after, sets[0], others)
    return [None if s is None else found.get(s.metadata.name, rollout.replicas_of(s)) for s in sets]


@pytest.mark.parametrize(
    ("wanted", "before", "new", "old", "expected"),
    [
        (12, 10, 10, (), [12]),
        (5, 10, 10, (), [5]),
        (10, 5, 2, (3,), [4, 6]),
        (3, 5, 2, (3,), [1, 2]),
        (4, 9, 8, (1,), [4, 0]),
        (10, 7, 2, (3, 2), [3, 4, 3]),
        (8, 13, 2, (8, 3), [1, 5, 2]),
        (4, 3, 1, (1, 1), [2, 1, 1]),
        (2, 3, 1, (1, 1), [1, 1, 0]),
        (5, 4, None, (2, 2), [None, 3, 2]),
        (0, 6, 3, (2, 1), [0, 0, 0]),
        (6, 6, 0, (0, 0), [6, 0, 0]),
        (14, 10, None, (7, 3), [None, 10, 4]),
    ],
)
def test_shares_of_a_changed_size_are_those_of_upstreams_table(wanted, before, new, old, expected):
    assert scaled(deployment(before, 0, 0), deployment(wanted, 0, 0), new, old) == expected


def test_shares_count_the_surge_of_before_and_of_now():
    assert scaled(deployment(10, 2, 0), deployment(20, 2, 0), 6, (6,)) == [11, 11]
    assert scaled(deployment(10, 3, 0), deployment(50, 6, 0), 5, (8,)) == [22, 34]


def test_a_set_whose_share_was_not_written_gets_it_at_the_next_look():
    five = deployment(5, 0, 0)
    assert scaled(five, five, 2, (1, 1), {"rs8": 3}) == [2, 2, 1]


def test_a_full_new_set_that_is_broken_takes_nothing_of_the_old():
    d = deployment(2, 1, 1)
    marks = {DESIRED: "2", MAX: "3"}
    assert rollout.proportional_sizes(d, rs("new2", 2, 0, **marks), [rs("old1", 1, **marks)]) == {"new2": 2, "old1": 1}
    assert rollout.proportional_sizes(d, rs("new2", 2, 2, **marks), [rs("old1", 1, **marks)]) == {"old1": 0}


def test_a_set_of_unknown_bounds_of_a_deployment_without_pods_keeps_its_size():
    sizes = rollout.proportional_sizes(deployment(10, 0, 0), rs("new2", 2), [rs("old1", 3)])
    assert sizes == {"old1": 8, "new2": 2}  # what is left over goes to the largest


def test_a_bad_mark_is_no_scaling_and_the_surge_counts_without_replicas_too():
    five = deployment(5, 2, 0)
    assert rollout.is_scaling(five, [rs("a1", 1, **{DESIRED: "3"})])
    for mark in ("5", "many", "-1", "", str(2**31)):
        assert not rollout.is_scaling(five, [rs("a1", 1, **{DESIRED: mark})])
    assert not rollout.is_scaling(five, [rs("a1", 0, **{DESIRED: "3"})])
    assert rollout.sized(deployment(0, 2, 0), rs("a1", 0), 0).metadata.annotations[MAX] == "2"


@pytest.mark.parametrize(
    ("unavailable", "old", "available", "new", "expected"),
    [
        (0, 10, 10, 0, 10),
        (2, 10, 10, 0, 8),
        (2, 10, 8, 0, 8),
        (2, 10, 9, 0, 8),
        (2, 8, 8, 2, 8),
        (2, 10, 1, 0, 8),
    ],
)
def test_old_sets_shrink_as_upstreams_table_says(unavailable, old, available, new, expected):
    d = deployment(10, 1 if unavailable == 0 else 0, unavailable)
    sizes = rollout.old_sizes(d, rs("new2", new, 0), [rs("old1", old, available)])
    assert sizes.get("old1", old) == expected


def test_the_name_of_a_set_keeps_its_hash_however_long_the_deployments_is():
    tag = "abcde12345"
    assert rollout.set_name("my-deployment", tag) == f"my-deployment-{tag}"
    assert rollout.set_name("a" * 242, tag) == "a" * 242 + f"-{tag}"
    assert rollout.set_name("b" * 250, tag) == "b" * 242 + f"-{tag}"
    assert rollout.set_name("d" * 252, "h" * 252) == "d" * 252 + "-" + "h" * 252


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


def test_the_history_of_revisions_has_an_end_and_what_is_no_revision_is_not_in_it(monkeypatch):
    monkeypatch.setattr(rollout, "HISTORY_MOST", 5)
    found: dict[str, str] = {}
    for number in range(10, 21):
        found = rollout.new_annotations(Deployment(), found, number, exists=True)
    assert found == {rollout.REVISION: "20", rollout.REVISION_HISTORY: "18,19"}
    repaired = rollout.new_annotations(Deployment(), {rollout.REVISION: "none"}, 3, exists=True)
    assert repaired == {rollout.REVISION: "3"}
    assert rollout.revision(rs("a1", 0, **{rollout.REVISION: "9" * 30})) == 0


def test_going_back_brings_template_and_notes_of_then():
    notes = {rollout.ROLLBACK: "1", rollout.REVISION: "2", rollout.LAST_APPLIED: "{}", "why": "edit", "more": "x"}
    d = deployment(1)
    d = replace(d, metadata=replace(d.metadata, annotations=notes))
    template = core_v1.PodTemplateSpec(metadata=meta_v1.ObjectMeta(labels={"app": "web", rollout.HASH_LABEL: "abc"}))
    old = rs("a1", 0, **{rollout.REVISION: "1", DESIRED: "1", "why": "create"})
    old = replace(old, spec=replace(old.spec, template=template))
    back = rollout.rolled_back(d, old)
    assert back.metadata.annotations == {rollout.REVISION: "2", rollout.LAST_APPLIED: "{}", "why": "create"}
    assert back.spec.template.metadata.labels == {"app": "web"}
    assert rollout.rolled_back(d, None).metadata.annotations == {
        n: v for n, v in notes.items() if n != rollout.ROLLBACK
    }
    sets = [rs(f"a{n}", 0, **{rollout.REVISION: text}) for n, text in enumerate(("1", "7", "3", "bad"))]
    assert (rollout.last_revision(sets), rollout.last_revision(sets[:1]), rollout.last_revision(())) == (3, 0, 0)
