"""etcd's store under faults, with a real etcd: killed, paused, cut off, full, restored, with wrong certificates."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from tests.etcd_load import Load, check, read_to
from tests.etcd_servers import Servers, etcd, free_ports, needs_etcd

from pybernetes.store._etcd_client import Client, parsed
from pybernetes.store.etcd import SEEN_SECONDS, EtcdStore, Keys, _Shared, open_etcd
from pybernetes.store.protocol import (
    Compacted,
    Event,
    OutcomeUnknown,
    Revision,
    Stored,
    TooLarge,
    Unavailable,
)
from pybernetes.wire.pki.certificates import Leaf, new_authority

pytestmark = needs_etcd
_CLIENT = Leaf("kube-apiserver-etcd-client", usages=("client auth",))


@pytest.fixture
def servers() -> Iterator[Servers]:
    with etcd() as running:
        yield running


@pytest.fixture
def three() -> Iterator[Servers]:
    with etcd(3) as running:
        yield running


@asynccontextmanager
async def opened(location: str, seconds: float = 10.0) -> AsyncIterator[EtcdStore]:
    """A store whose calls give up after so long."""
    place = parsed(location)
    store = EtcdStore(Client(place, seconds), Keys(place.root, place.prefix), Revision(1))
    try:
        yield store
    finally:
        await store.close()


class Door:
    """A TCP port of its own before an etcd server, which can be shut."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.port = free_ports(1)[0]
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """Breaks what is connected, refuses what comes."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers += [writer, back]
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def door(servers: Servers) -> AsyncIterator[tuple[Door, str]]:
    made = Door(servers.members[0].port)
    await made.open()
    try:
        yield made, servers.location().replace(f":{servers.members[0].port}?", f":{made.port}?")
    finally:
        await made.shut()


async def test_kill_9_and_restart_under_load_loses_nothing_acknowledged(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        watch = await store.watch("", await store.revision())
        load = Load(store)
        for _ in range(2):
            await load.more()
            servers.members[0].kill()
            await asyncio.sleep(0.1)  # writes meet a server that is gone
            servers.members[0].start()
        await load.more()
        await load.end()
        await check(store, [load], await read_to(watch, await store.revision()))
        assert store.fault() == ""


async def test_the_loss_of_the_leader_is_survived(three: Servers) -> None:
    async with opened(three.location()) as store:
        watch = await store.watch("", await store.revision())
        load = Load(store)
        await load.more()
        leader = await asyncio.to_thread(three.leader)
        leader.kill()
        await load.more()
        leader.start()
        await load.more()
        await load.end()
        await check(store, [load], await read_to(watch, await store.revision()))


async def test_without_a_majority_the_answer_comes_in_bounded_time(three: Servers) -> None:
    async with opened(three.location(), seconds=3) as store:
        first = await store.create("/registry/a", b"1")
        for member in three.members[:2]:
            member.kill()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await store.revision()
        with pytest.raises(Unavailable):
            await store.update("/registry/a", b"2", first)
        assert time.monotonic() - began < 12
        assert store.fault()
        for member in three.members[:2]:
            member.start()
        await asyncio.to_thread(three.ready)
        found = await store.get("/registry/a")
        assert found is not None
        assert await store.update("/registry/a", b"3", found.revision) > first
        async with asyncio.timeout(5):
            while store.fault():
                await asyncio.sleep(0.01)


async def test_a_server_that_is_down_at_the_start_is_passed_over(three: Servers) -> None:
    down = three.members[0]
    down.kill()
    store = await open_etcd(three.location(members=[down, *three.members[1:]]))
    assert await store.create("/registry/a", b"") > 0
    await store.close()


async def test_a_server_that_says_nothing_is_passed_over(three: Servers) -> None:
    store = await open_etcd(three.location())
    first = await store.create("/registry/a", b"")
    three.members[0].pause(on=True)
    began = time.monotonic()
    assert await store.revision() >= first
    await store.create("/registry/b", b"")
    assert time.monotonic() - began < SEEN_SECONDS, "the watch stayed where nobody answers"
    three.members[0].pause(on=False)
    await store.close()


async def test_a_write_without_an_answer_is_called_unknown_and_is_not_repeated(servers: Servers) -> None:
    async with opened(servers.location(), seconds=1) as store:
        begin = await store.create("/registry/a", b"1")
        servers.members[0].pause(on=True)
        with pytest.raises(OutcomeUnknown, match="has not said whether it has written"):
            await store.update("/registry/a", b"2", begin)
        servers.members[0].pause(on=False)
        assert await store.revision() <= begin + 1


async def test_nobody_at_all_is_an_error_that_says_where(servers: Servers) -> None:
    servers.stop()
    with pytest.raises(Unavailable, match=r"Connection refused.*; look whether etcd runs there"):
        await _open_briefly(servers.location())


async def _open_briefly(location: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pybernetes.store._etcd_client.CALL_SECONDS", 1.0)
        await (await open_etcd(location)).close()


async def test_wrong_certificates_are_told_apart_with_what_to_do(servers: Servers) -> None:
    other = new_authority("other-ca", time.time())
    servers.certify("stranger", _CLIENT, other)
    (servers.folder / "other.crt").write_bytes(other.pem)
    port = servers.members[0].port
    place, files = f"https://127.0.0.1:{port}", servers.files()
    cases = {
        servers.location(client="stranger"): "refuses our certificate .*--etcd-certfile and --etcd-keyfile must be",
        f"{place}?cafile={files['cafile']}": "refuses our certificate",
        servers.location().replace("ca.crt", "other.crt"): "is not trusted .*--etcd-cafile must be the CA",
        servers.location().replace("127.0.0.1:", "127.0.0.2:"): "Connection refused|must name this host",
        f"http://127.0.0.1:{port}": "does not speak HTTP/2 without TLS; give --etcd-servers=https",
        servers.location().replace("client.crt", "missing.crt"): "cannot read .*missing.crt: No such file",
    }
    for location, wanted in cases.items():
        with pytest.raises(Unavailable, match=wanted):
            await _open_briefly(location)


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("", "no server is named; give --etcd-servers"),
        ("127.0.0.1:2379", "is no server; wanted is http://HOST:PORT or https://HOST:PORT"),
        ("https://a", "is no server"),
        ("https://a:x", "is no server"),
        ("https://a:1,http://b:1", "with http and with https"),
        ("https://a:1?certfile=x", "needs its key"),
        ("https://a:1?color=red", "unknown in the location of etcd: color"),
    ],
)
def test_a_location_that_is_none_is_refused(location: str, wanted: str) -> None:
    with pytest.raises(Unavailable, match=wanted):
        parsed(location)


async def test_renewed_certificates_are_read_when_it_connects_again(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        first = await store.create("/registry/a", b"")
        servers.members[0].kill()
        servers.authority = new_authority("new-ca", time.time())
        (servers.folder / "ca.crt").write_bytes(servers.authority.pem)
        servers.certify("server", Leaf("etcd", hosts=("127.0.0.1",), usages=("server auth", "client auth")))
        servers.certify("client", _CLIENT)
        servers.members[0].start()
        assert await store.create("/registry/b", b"") == first + 1


async def test_a_watch_that_was_away_misses_nothing(servers: Servers) -> None:
    async with door(servers) as (gate, location), opened(location) as away, opened(servers.location()) as near:
        watch = await away.watch("/registry/", await away.revision())
        first = await near.create("/registry/0", b"")
        await read_to(watch, first)
        await gate.shut()
        await asyncio.gather(*(near.create(f"/registry/{n}", b"") for n in range(1, 1500)))
        last = await near.delete("/registry/0", first)
        await gate.open()
        events = await read_to(watch, last)
        assert [e.revision for e in events] == list(range(first + 1, last + 1))
        assert events[-1] == Event("DELETE", "/registry/0", last, previous=Stored("/registry/0", b"", first, first))


async def test_a_compaction_while_the_watch_is_away_ends_it(servers: Servers) -> None:
    async with door(servers) as (gate, location), opened(location) as away, opened(servers.location()) as near:
        watch = await away.watch("/registry/", await away.revision())
        first = await near.create("/registry/a", b"1")
        await read_to(watch, first)
        await gate.shut()
        second = await near.update("/registry/a", b"2", first)
        third = await near.update("/registry/a", b"3", second)
        await near.compact(third)
        await gate.open()
        with pytest.raises(Compacted) as lost:
            await asyncio.wait_for(anext(watch), 10)
        assert lost.value.oldest == third
        again = await away.watch("/registry/", third)
        fourth = await near.update("/registry/a", b"4", third)
        assert [e.revision for e in await read_to(again, fourth)] == [fourth]


async def test_what_another_has_compacted_is_known_when_it_is_asked_for(servers: Servers) -> None:
    async with opened(servers.location()) as one, opened(servers.location()) as other:
        first = await one.create("/registry/a", b"1")
        second = await one.delete("/registry/a", first)
        third = await one.create("/registry/b", b"1")
        await other.revision()
        await one.compact(second)
        await other.compact(first)
        with pytest.raises(Compacted) as refused:
            await other.get("/registry/a", at=first)
        assert refused.value.oldest == second
        watch = await other.watch("/registry/", second)
        assert [e.revision for e in await read_to(watch, third)] == [third]
    late = await open_etcd(servers.location())
    # After first comes the deletion at second, which is forgotten; yet etcd would begin a watch there without a word.
    with pytest.raises(Compacted):
        await asyncio.wait_for(anext(await late.watch("/registry/", first)), 10)
    await late.close()


async def test_data_that_went_back_end_all_watches(servers: Servers) -> None:
    member, folder = servers.members[0], servers.folder
    async with opened(servers.location()) as store:
        first = await store.create("/registry/a", b"1")
        member.kill()
        shutil.copytree(folder / member.name, folder / "copy")
        member.start()
        watch = await store.watch("/registry/", first)
        for number in range(5):
            last = await store.create(f"/registry/{number}", b"")
        await read_to(watch, last)
        member.kill()
        reading = asyncio.ensure_future(anext(await store.watch("/registry/", first)))  # of history that will not be
        await asyncio.sleep(0)
        shutil.rmtree(folder / member.name)
        (folder / "copy").rename(folder / member.name)
        member.start()
        for waiting in (anext(watch), reading):
            with pytest.raises(Compacted):
                await asyncio.wait_for(waiting, 10)
        assert await store.revision() == first
        assert await store.create("/registry/b", b"") == first + 1


async def test_out_of_space_refuses_writes_and_says_what_to_do() -> None:
    with etcd(1, "--quota-backend-bytes=10000000") as servers:
        async with opened(servers.location()) as store:
            watch = await store.watch("", await store.revision())
            # So many, that several cross the limit together: etcd does those and refuses them all the same.
            load = Load(store, writers=32, size=200_000)
            async with asyncio.timeout(60):
                while not load.refused:
                    await asyncio.sleep(0.01)
            await load.end()
            with pytest.raises(
                Unavailable, match=r"out of space .*alarm NOSPACE.* --quota-backend-bytes.*alarm disarm"
            ):
                await store.create("/registry/x", b"x" * 1000)
            with pytest.raises(Unavailable, match="alarm NOSPACE"):
                await store.create("/registry/x", b"x" * 1000, ttl=60)
            there = (await store.range("/registry/", limit=1)).items[0]
            with pytest.raises(Unavailable, match="alarm NOSPACE"):
                await store.update(there.key, there.value, there.revision)  # what is there already is no sign of it
            await check(store, [load], await read_to(watch, await store.revision()))
            assert not load.maybe
            for stored in (await store.range("/registry/")).items:
                last = await store.delete(stored.key, stored.revision)
            await store.compact(last)
            await asyncio.to_thread(servers.ctl, "defrag")
            await asyncio.to_thread(servers.ctl, "alarm", "disarm")
            await store.create("/registry/x", b"x" * 1000)


async def test_a_value_that_etcd_does_not_take_is_too_large(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        with pytest.raises(TooLarge, match="--max-request-bytes"):
            await store.create("/registry/a", b"x" * (3 << 19))
        with pytest.raises(TooLarge):
            await store.create("/registry/a", b"x" * (3 << 20))


async def test_writes_to_other_keys_are_told_of_where_all_are_watched(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        begin = await store.revision()
        everything, own = await store.watch("", begin), await store.watch("/registry/", begin)
        await asyncio.to_thread(servers.ctl, "put", "/elsewhere", "1")
        await asyncio.to_thread(servers.ctl, "put", "/registryx", "1")
        revision = await store.revision()
        assert revision == begin + 2
        assert [(e.key, e.value) for e in await read_to(everything, revision)][-1] == ("", b"")
        last = await store.create("/registry/a", b"")
        assert [e.key for e in await read_to(own, last)] == ["/registry/a"]
        assert [s.key for s in (await store.range("")).items] == ["/registry/a"]


async def test_a_prefix_of_its_own_is_kept_from_others(servers: Servers) -> None:
    async with opened(servers.location(prefix="/other")) as other, opened(servers.location()) as store:
        await other.create("/registry/pods/a", b"1")
        await store.create("/registry/pods/a", b"2")
        assert [(s.key, s.value) for s in (await other.range("/registry/pods/")).items] == [("/registry/pods/a", b"1")]
    listed = await asyncio.to_thread(servers.ctl, "get", "--prefix", "--keys-only", "/")
    assert listed is not None
    assert listed.split() == ["/other/pods/a", "/registry/pods/a"]


async def test_a_key_with_a_time_to_live_goes_with_its_lease(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        watch = await store.watch("/registry/", await store.revision())
        first = await store.create("/registry/a", b"1", ttl=1)
        second = await store.create("/registry/b", b"1", ttl=1)
        kept = await store.create("/registry/c", b"1", ttl=1)
        kept = await store.update("/registry/c", b"2", kept)
        leases = await asyncio.to_thread(servers.ctl, "lease", "list", "-w", "json")
        assert leases is not None
        assert len(json.loads(leases)["leases"]) == 1
        events: list[Event] = []
        async with asyncio.timeout(20):
            while len(events) < 6:
                events.extend(await anext(watch))
        gone = {event.key: event for event in events[4:]}
        assert {event.type for event in gone.values()} == {"DELETE"}
        assert gone["/registry/a"].previous == Stored("/registry/a", b"1", first, first)
        assert gone["/registry/b"].previous == Stored("/registry/b", b"1", second, second)
        assert [s.key for s in (await store.range("/registry/")).items] == ["/registry/c"]


async def test_a_lease_that_etcd_has_lost_is_replaced(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        await store.create("/registry/a", b"1", ttl=600)
        listed = await asyncio.to_thread(servers.ctl, "lease", "list", "-w", "json")
        assert listed is not None
        [lost] = json.loads(listed)["leases"]
        await asyncio.to_thread(servers.ctl, "lease", "revoke", f"{lost['id']:x}")
        await store.create("/registry/b", b"1", ttl=600)
        listed = await asyncio.to_thread(servers.ctl, "lease", "list", "-w", "json")
        assert listed is not None
        assert len(json.loads(listed)["leases"]) == 1
        assert [s.key for s in (await store.range("/registry/")).items] == ["/registry/b"]


@pytest.mark.parametrize("verb", ["get", "range", "revision"])
async def test_what_another_wrote_is_told_of_no_earlier_than_by_watches(
    servers: Servers, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(servers.location()) as one, opened(servers.location()) as other:
        watch = await other.watch("/registry/", await other.revision())
        held: list[Sequence[Event]] = []
        publish = other._hub.publish
        monkeypatch.setattr(other._hub, "publish", held.append)
        last = await one.create("/registry/a", b"")
        words = {"get": ("/registry/a",), "range": ("/registry/",), "revision": ()}[verb]
        asking = asyncio.ensure_future(getattr(other, verb)(*words))
        await asyncio.wait([asking], timeout=0.5)
        assert not asking.done()
        seen = asyncio.ensure_future(anext(watch))
        monkeypatch.undo()
        for events in held:
            publish(events)
        answer = await asking
        assert (answer if verb == "revision" else answer.revision) == last  # type: ignore[union-attr]  # of both kinds
        assert [event.revision for event in await seen] == [last]


async def test_calls_are_ended_when_the_store_closes(servers: Servers) -> None:
    async with opened(servers.location()) as store:
        await store.revision()
        servers.members[0].pause(on=True)
        calls: list[Awaitable[object]] = [store.revision(), store.create("/registry/a", b""), store.get("/registry/a")]
        running = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.1)  # they are on their way
        await store.close()
        for outcome in await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 5):
            assert isinstance(outcome, Unavailable)
        servers.members[0].pause(on=False)


async def test_a_question_is_shared_only_by_those_who_ask_before_it_is_put() -> None:
    """Whoever asks while one is on its way could be told of a time before it asked."""
    put: list[asyncio.Future[Revision]] = []

    async def ask() -> Revision:
        assert all(question.done() for question in put), "two at once"
        put.append(asyncio.get_running_loop().create_future())
        return await put[-1]

    shared = _Shared(ask)
    first = asyncio.ensure_future(shared())
    while not put:
        await asyncio.sleep(0)
    later = [asyncio.ensure_future(shared()) for _ in range(3)]
    later[0].cancel()
    await asyncio.sleep(0)
    put[0].set_result(Revision(1))
    assert await first == 1
    while len(put) < 2:
        await asyncio.sleep(0)
    put[1].set_result(Revision(2))
    assert await asyncio.gather(*later[1:]) == [2, 2]
    assert len(put) == 2
