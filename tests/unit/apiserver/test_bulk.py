"""Large answers in slices: the same bytes, however they are cut."""

import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.aio.turns import Turns
from pybernetes.apiserver import bulk
from pybernetes.apiserver.bulk import Bulk, Slices, gathered, joined, paced
from pybernetes.wire.gzip import Compressor

HEAD, END = b'{"metadata":{"resourceVersion":"7"},"items":[', b"]}"


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(bulk, "SLICE", 40)


def item(number):
    return orjson.dumps({"name": f"item-{number}", "data": {"a": [1, 2], "b": {}}})


async def whole(body):
    return b"".join([piece async for piece in body])


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.integers(1, 100))
def test_slices_are_what_a_join_is(parts, size):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bulk, "SLICE", size)
        found = joined(HEAD, b",", parts, END)
        slices = list(found)
    assert b"".join(slices) == HEAD + b",".join(parts) + END
    assert found.size == len(b"".join(slices))
    assert all(len(piece) < size + 60 + len(HEAD) + len(END) for piece in slices)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.integers(1, 5))
def test_wishes_for_a_turn_change_no_byte(parts, at_once):
    slices = list(joined(HEAD, b",", paced(parts, at_once), END))
    assert b"".join(slices) == HEAD + b",".join(parts) + END
    assert slices.count(b"") == len(parts) // at_once


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("count", [0, 1, 2, 5, 20])
@pytest.mark.parametrize("at_once", [1, 3, 100])
async def test_an_indented_list_is_indented_as_a_whole_one(count, at_once):
    parts = [item(number) for number in range(count)]
    body = Bulk(joined(HEAD, b",", paced(parts, at_once), END), Turns())
    body.indent()
    plain = orjson.loads(HEAD + b",".join(parts) + END)
    assert await whole(body) == orjson.dumps(plain, option=orjson.OPT_INDENT_2)


@pytest.mark.usefixtures("narrow")
async def test_what_fits_into_a_slice_is_answered_whole():
    assert await gathered(joined(b"", b",", [b"a", b"b"], b""), Turns()) == b"a,b"
    assert isinstance(await gathered(joined(b"", b",", [b"a" * 30] * 4, b""), Turns()), Bulk)
    assert await gathered(Slices(iter([b"", b"", b"x"])), Turns()) == b"x"


async def test_slices_go_out_in_one_turn_as_long_as_they_are_few_bytes(monkeypatch):
    monkeypatch.setattr(bulk, "SLICE", 40)
    monkeypatch.setattr(bulk, "TURN", 100)
    turns = Turns()
    body = Bulk(joined(HEAD, b",", [item(number) for number in range(50)], END), turns)
    for _ in range(50):
        before, sent = turns.taken, body.sent
        await anext(body)
        assert turns.taken - before == (sent == 0 or turns.taken != before)
    assert 1 < turns.taken < 25


@pytest.mark.usefixtures("narrow")
async def test_the_length_is_told_where_it_is_known():
    parts = [item(number) for number in range(50)]
    known = Bulk(joined(HEAD, b",", parts, END), Turns())
    assert known.length == len(await whole(known))
    assert Bulk(joined(HEAD, b",", iter(parts), END), Turns()).length is None
    packed, indented = (Bulk(joined(HEAD, b",", parts, END), Turns()) for _ in range(2))
    compressor = Compressor()
    packed.pack(compressor.stream())
    indented.indent()
    assert packed.length is indented.length is None
    compressor.close()


@pytest.mark.usefixtures("narrow")
async def test_a_packed_list_is_gzip_of_its_bytes_and_tells_their_number_once():
    parts, told, compressor = [item(number) for number in range(50)], [], Compressor()
    body = Bulk(joined(HEAD, b",", parts, END), Turns())
    body.pack(compressor.stream())
    body.at_end(told.append)
    plain = HEAD + b",".join(parts) + END
    assert gzip.decompress(await whole(body)) == plain
    await body.aclose()
    assert told == [len(plain)]
    compressor.close()


@pytest.mark.usefixtures("narrow")
async def test_a_client_that_leaves_in_the_middle_is_the_end():
    told = []
    body = Bulk(joined(HEAD, b",", [item(number) for number in range(50)], END), Turns())
    body.at_end(told.append)
    await anext(body)
    await body.aclose()
    assert told == [body.sent]
    assert [piece async for piece in body] == []
