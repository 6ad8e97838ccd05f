"""Lists that go out in slices: the same answers, of one state, and short requests in between."""

import asyncio
import gzip
from itertools import pairwise

import orjson
import pytest
from tests.component.api import TABLE

from pybernetes.apiserver import bulk, encodings, handlers
from pybernetes.apiserver.bulk import Bulk
from pybernetes.wire.codecs import protobuf, yaml
from pybernetes.wire.http import read_body

MAPS = "/api/v1/namespaces/default/configmaps"
SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
COUNT = 60
PROTOBUF = "application/vnd.kubernetes.protobuf"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
FORMS = [
    "application/json",
    PROTOBUF,
    TABLE,
    PARTIAL,
    f"{PARTIAL},application/json".replace("json;", "x;"),
    "application/yaml",
    PARTIAL.replace("json", "yaml"),
]


@pytest.fixture
async def crowd(api):
    """An API server with objects enough for many slices, once these are narrow."""
    for number in range(COUNT):
        await api.made(MAPS, {"metadata": {"name": f"m-{number:02}"}, "data": {"a": "x" * 200}})
    return api


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(bulk, "SLICE", 1000)
    monkeypatch.setattr(bulk, "TURN", 1000)


@pytest.mark.parametrize("accept", FORMS)
async def test_slices_are_the_whole_answer(crowd, accept, monkeypatch):
    plain = await read_body(await crowd.send("GET", MAPS, accept=accept))
    for module in (bulk, encodings):
        monkeypatch.setattr(module, "SLICE", 1000)
    response = await crowd.send("GET", MAPS, accept=accept)
    assert isinstance(response.body, Bulk)
    stored = plain.startswith((b'{"kind":"ConfigMapList"', b"k8s\0"))  # nothing has to be made
    assert response.body.length == (len(plain) if stored else None)
    assert await read_body(response) == plain


@pytest.mark.usefixtures("narrow")
async def test_a_list_is_of_one_state_whatever_is_written_while_it_goes_out(crowd):
    response = await crowd.send("GET", MAPS)
    first = await anext(response.body)
    await crowd.ok("DELETE", f"{MAPS}/m-59")
    await crowd.ok("PUT", f"{MAPS}/m-58", {"metadata": {"name": "m-58"}, "data": {"b": "later"}})
    await crowd.made(MAPS, {"metadata": {"name": "m-99"}})
    listed = orjson.loads(first + await read_body(response))
    assert [one["metadata"]["name"] for one in listed["items"] if "m-" in one["metadata"]["name"]] == [
        f"m-{number:02}" for number in range(COUNT)
    ]
    assert "b" not in listed["items"][-2]["data"]
    versions = [int(one["metadata"]["resourceVersion"]) for one in listed["items"]]
    assert max(versions) <= int(listed["metadata"]["resourceVersion"])


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("accept", ["application/yaml", PARTIAL.replace("json", "yaml")])
async def test_a_list_in_yaml_is_the_same_as_in_json(crowd, accept, empty):
    path = f"{MAPS}?labelSelector=no" if empty else MAPS
    found = yaml.load(await read_body(await crowd.send("GET", path, accept=accept)))
    assert found == await crowd.ok("GET", path, accept=accept.replace("yaml", "json"))
    assert bool(found["items"]) is not empty


async def turns_of(api, ask):
    """How often something else had its turn until an answer was there."""
    turns, done = 0, False

    async def other():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    answer = await read_body(await ask)
    done = True
    await task
    return turns, answer


@pytest.mark.parametrize(("accept", "least"), [(TABLE, 14), (PARTIAL, 14), ("application/yaml", 59)])
async def test_what_is_made_for_a_list_is_made_in_turns_even_where_it_is_small(crowd, accept, least, monkeypatch):
    monkeypatch.setattr(encodings, "_MADE_AT_ONCE", COUNT // 15)
    turns, _ = await turns_of(crowd, crowd.send("GET", MAPS, accept=accept))
    assert turns > least
    turns, _ = await turns_of(crowd, crowd.send("GET", f"{MAPS}?limit=2", accept=TABLE))
    assert turns <= 2


async def test_rows_that_come_in_another_order_are_sorted_in_turns(api, monkeypatch):
    rows = [row["Name"] for row in await api.table(SCHEMAS)]
    monkeypatch.setattr(encodings, "_MADE_AT_ONCE", 2)
    monkeypatch.setattr(encodings, "_SORTED_AT_ONCE", 3)
    turns, answer = await turns_of(api, api.send("GET", SCHEMAS, accept=TABLE))
    assert [row["cells"][0] for row in orjson.loads(answer)["rows"]] == rows
    assert turns >= len(rows) // 2  # the first need not wait


async def test_a_kind_that_is_not_stored_is_made_in_turns(api, monkeypatch):
    monkeypatch.setattr(handlers, "_MADE_AT_ONCE", 1)
    turns, answer = await turns_of(api, api.send("GET", "/api/v1/componentstatuses"))
    assert turns >= len(orjson.loads(answer)["items"]) > 0  # the first need not wait


@pytest.mark.usefixtures("narrow")
async def test_short_requests_are_answered_between_the_slices_of_many_lists(crowd):
    slices, answered = 0, []

    async def bulk_list():
        nonlocal slices
        response = await crowd.send("GET", MAPS)
        async for _ in response.body:
            slices += 1
            await asyncio.sleep(0)

    async def short():
        while not lists.done():
            await crowd.ok("GET", f"{MAPS}/m-01")
            await crowd.made("/api/v1/namespaces/default/secrets", {"metadata": {"generateName": "s-"}})
            answered.append(slices)

    lists = asyncio.gather(*(bulk_list() for _ in range(20)))
    await asyncio.gather(lists, short())
    assert slices > 20 * 15
    # A read and a write together take a few turns of the loop, and a slice goes out in each: however many lists wait.
    waits = [after - before for before, after in pairwise([0, *answered])]
    assert len(answered) > 15
    assert max(waits) < 40


@pytest.mark.usefixtures("narrow")
async def test_watches_and_streaming_lists_go_on_between_the_slices(crowd):
    events = await crowd.watch(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dm-01&resourceVersion=0")
    assert await events.names(1) == ["ADDED m-01"]
    lists = [await crowd.send("GET", MAPS) for _ in range(5)]
    left = asyncio.gather(*(read_body(response) for response in lists))
    await crowd.ok("PATCH", f"{MAPS}/m-01", {"data": {"a": "new"}})
    assert await events.names(1) == ["MODIFIED m-01"]
    assert not left.done()
    assert all(orjson.loads(body)["items"] for body in await left)


@pytest.mark.usefixtures("narrow")
async def test_a_large_list_is_packed_for_who_takes_it(crowd):
    plain = await read_body(await crowd.send("GET", MAPS))
    response = await crowd.send("GET", MAPS, accept_encoding="gzip")
    assert response.headers.get("content-encoding") == "gzip"
    assert gzip.decompress(await read_body(response)) == plain
    response = await crowd.send("GET", MAPS, accept_encoding="gzip", accept=PROTOBUF)
    assert len(protobuf.unwrap(gzip.decompress(await read_body(response))).raw) > COUNT * 200


@pytest.mark.usefixtures("narrow")
async def test_a_large_list_is_indented_for_people(crowd):
    plain = await crowd.ok("GET", MAPS)
    response = await crowd.send("GET", f"{MAPS}?pretty=true")
    assert await read_body(response) == orjson.dumps(plain, option=orjson.OPT_INDENT_2)


@pytest.mark.usefixtures("narrow")
async def test_a_list_is_under_way_until_its_last_slice(crowd):
    async def metric(name):
        lines = (await read_body(await crowd.send("GET", "/metrics"))).decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}

    reading = 'apiserver_flowcontrol_current_executing_requests{priority_level="exempt",flow_schema="exempt"}'
    idle = (await metric(reading))[reading]
    before = sum((await metric("apiserver_response_sizes_count")).values())
    response = await crowd.send("GET", MAPS)
    assert (await metric(reading))[reading] == idle + 1
    await read_body(response)
    assert (await metric(reading))[reading] == idle
    assert sum((await metric("apiserver_response_sizes_count")).values()) > before


@pytest.mark.usefixtures("narrow")
async def test_later_pages_need_no_store(crowd, monkeypatch):
    first = await crowd.ok("GET", f"{MAPS}?limit=10")
    await crowd.ok("DELETE", f"{MAPS}/m-30")
    await crowd.made(MAPS, {"metadata": {"name": "m-200"}})

    async def no_store(*_, **__):
        raise AssertionError("the store was asked")

    monkeypatch.setattr(crowd.server.storage.store, "range", no_store)
    names = [one["metadata"]["name"] for one in first["items"]]
    page = first
    while token := page["metadata"].get("continue"):
        page = await crowd.ok("GET", f"{MAPS}?limit=10&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [one["metadata"]["name"] for one in page["items"]]
    assert [name for name in names if name.startswith("m-")] == [f"m-{number:02}" for number in range(COUNT)]
