"""Which Pod is next, and when a rejected one is tried again."""

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import Container, Pod, PodSchedulingGate, PodSpec
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.scheduler.queue import PodQueue, Queued, backoff
from pybernetes.scheduler.snapshot import PodInfo, pod_info

ANY = frozenset({"Any"})


def pod(name: str, uid: str = "", priority: int = 0, image: str = "", gates: tuple[str, ...] = ()) -> PodInfo:
    spec = PodSpec(
        containers=(Container(name="c", image=image),),
        priority=priority,
        schedulingGates=tuple(PodSchedulingGate(name=g) for g in gates),
    )
    return pod_info(Pod(metadata=ObjectMeta(name=name, namespace="d", uid=uid or name), spec=spec))


def gated(info: PodInfo) -> str | None:
    return "gated" if info.pod.spec.schedulingGates else None


def names(queue: PodQueue, now: float) -> list[str]:
    found = []
    while (queued := queue.pop(now)) is not None:
        found.append(queued.info.key.name)
    return found


def rejected(queue: PodQueue, now: float) -> Queued:
    queued = queue.pop(now)
    assert queued is not None
    queue.rejected(queued, ANY, now)
    return queued


def test_the_most_important_and_then_the_oldest_comes_first() -> None:
    queue = PodQueue()
    for number, (name, priority) in enumerate([("a", 0), ("b", 5), ("c", 0), ("d", 5)]):
        queue.put(pod(name, priority=priority), float(number))
    assert names(queue, 9.0) == ["b", "d", "a", "c"]


def test_a_rejected_pod_waits_for_an_event_and_for_its_backoff() -> None:
    queue = PodQueue()
    queue.put(pod("a"), 0.0)
    rejected(queue, 0.0)
    assert queue.pop(100.0) is None
    assert not queue.happened(lambda info, by: False, 100.0)
    assert queue.happened(lambda info, by: by == ANY, 100.0)
    rejected(queue, 100.0)
    queue.happened(lambda info, by: True, 100.5)
    assert queue.pop(101.0) is None
    assert queue.next_wake() == 102.0
    assert names(queue, 102.0) == ["a"]


def test_backoff_doubles_up_to_ten_seconds() -> None:
    assert [backoff(n) for n in (1, 2, 3, 4, 5, 100)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_pod_that_no_event_helps_is_tried_after_five_minutes() -> None:
    queue = PodQueue()
    queue.put(pod("a"), 0.0)
    rejected(queue, 0.0)
    assert queue.next_wake() == 300.0
    assert queue.pop(299.0) is None
    assert names(queue, 300.0) == ["a"]


def test_a_change_of_what_it_wants_brings_a_pod_back_and_a_change_of_status_does_not() -> None:
    queue = PodQueue()
    queue.put(pod("a"), 0.0)
    rejected(queue, 0.0)
    queue.put(pod("a"), 50.0)
    assert queue.pop(50.0) is None
    queue.put(pod("a", image="other"), 51.0)
    assert names(queue, 51.0) == ["a"]


def test_a_deleted_pod_never_comes_back() -> None:
    queue = PodQueue()
    for name in ("active", "flying", "rejected", "backing-off"):
        queue.put(pod(name), 0.0)
    popped = {name: queue.pop(0.0) for name in ("active", "flying", "rejected", "backing-off")}
    for name, queued in popped.items():
        assert queued is not None
        assert queued.info.key.name == name
    queue.rejected(popped["rejected"], ANY, 0.0)  # type: ignore[arg-type]  # there
    queue.retry(popped["backing-off"], 0.0)  # type: ignore[arg-type]  # there
    for name in popped:
        queue.remove(Key("d", name))
    queue.rejected(popped["flying"], ANY, 0.0)  # type: ignore[arg-type]  # there
    queue.happened(lambda info, by: True, 1.0)
    assert names(queue, 1000.0) == []
    assert len(queue) == 0
    assert queue.next_wake() is None


def test_a_namesake_is_another_pod() -> None:
    queue = PodQueue()
    queue.put(pod("a", uid="1"), 0.0)
    first = queue.pop(0.0)
    assert first is not None
    queue.put(pod("a", uid="2"), 0.0)
    queue.done(first)
    second = queue.pop(0.0)
    assert second is not None
    assert (second.info.pod.metadata.uid, second.attempts) == ("2", 1)


def test_gates_keep_a_pod_out_until_they_are_gone() -> None:
    queue = PodQueue(gated)
    queue.put(pod("a", gates=("x",)), 0.0)
    queue.happened(lambda info, by: True, 1.0)
    assert queue.pop(1000.0) is None
    queue.put(pod("a"), 1001.0)
    assert names(queue, 1001.0) == ["a"]
