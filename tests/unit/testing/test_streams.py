"""Watches that are cut: whole events, then nothing or the reason."""

from collections.abc import AsyncIterator

import orjson
import pytest
from tests.unit.testing.calls import call

from pybernetes.api.errors import Expired
from pybernetes.testing.streams import Stream, ended, error_frame, frames, is_bookmark
from pybernetes.wire.codecs.protobuf import watch_event
from pybernetes.wire.http import Dropped, read_body

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf;stream=watch"


def event(kind: str, number: int = 0) -> bytes:
    return orjson.dumps({"type": kind, "object": {"n": number}}) + b"\n"


def stream(*chunks: bytes, media: str = JSON) -> Stream:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return Stream(call("GET", "/api/v1/pods?watch=1"), body(), media, {})


async def read(of: Stream) -> list[bytes]:
    return [chunk async for chunk in of]


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_frames_are_told_apart(media):
    made = [watch_event(kind, b"k8s\0") if media == PROTOBUF else event(kind) for kind in ("ADDED", "BOOKMARK")]
    assert list(frames(b"".join(made), media)) == made
    assert [is_bookmark(one, media) for one in made] == [False, True]


@pytest.mark.parametrize("media", [JSON, PROTOBUF])
def test_an_error_event_is_in_the_form_of_the_stream(media):
    frame = error_frame(Expired("too old"), media)
    assert list(frames(frame, media)) == [frame]
    assert b"ERROR" in frame
    assert b"too old" in frame


async def test_a_stream_that_nobody_cuts_passes_as_it_is():
    one = stream(event("ADDED"), event("ADDED") * 2)
    assert await read(one) == [event("ADDED"), event("ADDED") * 2]


async def test_a_lost_connection_comes_after_so_many_events_bookmarks_aside():
    one = stream(event("ADDED", 1) + event("BOOKMARK"), event("ADDED", 2) + event("ADDED", 3))
    one.count(2, lambda: one.cut(Dropped("gone")) is None)
    assert await anext(one) == event("ADDED", 1) + event("BOOKMARK")
    assert await anext(one) == event("ADDED", 2)
    with pytest.raises(Dropped, match="gone"):
        await anext(one)
    assert await read(one) == []


async def test_an_error_event_is_the_last_one():
    one = stream(event("ADDED", 1) + event("ADDED", 2))
    one.count(1, lambda: one.cut(Expired("too old")) is None)
    first, last = await read(one)
    assert first == event("ADDED", 1)
    assert orjson.loads(last)["object"]["code"] == 410


async def test_a_count_that_does_not_cut_leaves_the_stream_alone():
    one = stream(event("ADDED"), event("ADDED"))
    one.count(1, lambda: False)
    assert len(await read(one)) == 2


async def test_a_stream_leaves_the_open_ones_when_it_ends_and_when_it_is_closed():
    open_ones: dict[Stream, None] = {}

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    first = Stream(call("GET", "/x"), body(), JSON, open_ones)
    second = Stream(call("GET", "/x"), body(), JSON, open_ones)
    assert len(open_ones) == 2
    await read(first)
    await second.aclose()
    await second.aclose()
    assert not open_ones


async def test_a_watch_that_begins_with_an_error():
    response = ended(JSON, Expired("too old"))
    assert response.status == 200
    assert orjson.loads(await read_body(response))["type"] == "ERROR"
