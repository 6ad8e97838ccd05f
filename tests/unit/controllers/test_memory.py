"""Graph, expectations and address ranges: what controllers remember."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.client.fake import Script

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client, Target
from pybernetes.controllers._expectations import PATIENCE, Expectations
from pybernetes.controllers._graph import Graph, Node
from pybernetes.controllers.node_ipam import Figures, _Ranges
from pybernetes.controllers.runtime import Config, Context

PODS = Target("", "v1", "pods", "Pod", True)
OWNER = Key("default", "rs")


def ref(uid: str, *, block: bool = True) -> meta_v1.OwnerReference:
    return meta_v1.OwnerReference(apiVersion="v1", kind="Pod", name=uid, uid=uid, blockOwnerDeletion=block)


def node(uid: str, *owners: str, waiting: bool = False) -> Node:
    return Node(uid, PODS, Key("default", uid), tuple(map(ref, owners)), waiting, waiting, False)


def test_a_lost_owner_brings_its_dependents_and_a_lost_dependent_its_waiting_owner():
    graph = Graph()
    graph.put(node("owner"))
    assert graph.put(node("early", "unseen")) == ["early"]
    assert graph.put(node("child", "owner")) == []
    assert graph.put(node("owner", waiting=True)) == ["child", "owner"]
    assert [n.uid for n in graph.blocking("owner")] == ["child"]
    assert graph.remove("child") == ["owner"]
    assert graph.blocking("owner") == []
    graph.put(node("other", "owner"))
    assert graph.remove("owner") == ["other"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sets(st.sampled_from("abcd"), max_size=3), st.booleans())))
def test_the_graph_is_what_its_objects_say(changes: list[tuple[str, set[str], bool]]):
    graph = Graph()
    world: dict[str, set[str]] = {}
    for uid, owners, gone in changes:
        if gone:
            graph.remove(uid)
            world.pop(uid, None)
        else:
            graph.put(node(uid, *sorted(owners)))
            world[uid] = owners
    assert len(graph) == len(world)
    for owner in "abcd":
        assert [n.uid for n in graph.dependents(owner)] == sorted(
            uid for uid, owners in world.items() if owner in owners
        )


def pod(name: str, revision: int, **meta: Any) -> core_v1.Pod:
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", uid=name, resourceVersion=str(revision), **meta)
    )


def test_expectations_are_met_when_the_cache_shows_it_is_past_it_or_patience_ends():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        seen: Informer[Any] = Informer(Client(Script(), clock=clock).of(core_v1.Pod), clock)
        expected = Expectations()
        expected.created(OWNER, pod("a", 7), 0)
        expected.deleted(OWNER, pod("b", 3), 0)
        seen.cache.put(Key("default", "b"), pod("b", 3))
        assert not expected.met(OWNER, seen, 1)
        seen.cache.put(Key("default", "a"), pod("a", 7))
        assert not expected.met(OWNER, seen, 1)
        seen.cache.put(Key("default", "b"), pod("b", 8, deletionTimestamp="2026-01-01T00:00:00Z"))
        assert expected.met(OWNER, seen, 1)
        # Created and gone again before anybody looked: the revision says that it was seen.
        expected.created(OWNER, pod("c", 9), 0)
        seen.revision = "8"
        assert not expected.met(OWNER, seen, 1)
        seen.revision = "9"
        assert expected.met(OWNER, seen, 1)
        expected.created(OWNER, pod("d", 20), 0)
        assert not expected.met(OWNER, seen, PATIENCE - 1)
        assert expected.met(OWNER, seen, PATIENCE)
        assert expected.met(Key("default", "other"), seen, 0)

    run_simulated(main())


def test_a_namesake_made_later_does_not_meet_a_deletion_by_name_alone():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        seen: Informer[Any] = Informer(Client(Script(), clock=clock).of(core_v1.Pod), clock)
        expected = Expectations()
        expected.deleted(OWNER, pod("a", 3), 0)
        other = pod("a", 9)
        seen.cache.put(Key("default", "a"), replace(other, metadata=replace(other.metadata, uid="new")))
        assert expected.met(OWNER, seen, 1)

    run_simulated(main())


def ranges_of(cluster: str) -> Context:
    figures = Figures()
    return cast(Context, SimpleNamespace(config=Config(cluster_cidrs=(cluster,)), metrics=lambda kind: figures))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
def test_no_two_nodes_ever_have_one_range(changes: list[tuple[int, bool]]):
    ranges, ctx = _Ranges(), ranges_of("10.0.0.0/21")
    ranges.set("odd", ("10.0.2.0/25",), ctx)
    for number, joins in changes:
        name = f"n{number}"
        if not joins:
            ranges.set(name, (), ctx)
        elif name not in ranges.of:
            free = ranges.free("10.0.0.0/21", 24, ctx)
            if free is None:
                assert len(ranges.of) == 8
                continue
            ranges.set(name, (free,), ctx)
    given = [text for found in ranges.of.values() for text in found]
    assert len(given) == len(set(given))
    assert "10.0.2.0/24" not in given


def test_five_thousand_nodes_get_theirs_quickly():
    ranges, ctx = _Ranges(), ranges_of("10.0.0.0/8")
    for number in range(5000):
        free = ranges.free("10.0.0.0/8", 24, ctx)
        assert free is not None
        ranges.set(f"n{number}", (free,), ctx)
    assert ranges.free("10.0.0.0/8", 24, ctx) == "10.19.136.0/24"
