"""Container logs: the CRI format, tails, times, following, rotation."""

import asyncio
from pathlib import Path

import pytest

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import BadRequest
from pybernetes.kubelet.server.log_format import parse, tail, tail_offset
from pybernetes.kubelet.server.logs import LogOptions, options_of, read_log

TIMES = [f"2026-01-01T00:00:0{n}.123456789Z" for n in range(5)]
LINES = [f"{time} stdout F line {n}\n" for n, time in enumerate(TIMES)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "0.log"
    file.write_text("".join(LINES))
    return file


class Quick:
    """A clock whose waits only let others run."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def read(file: Path, options: LogOptions, alive: bool = False) -> str:
    return b"".join([c async for c in read_log(file, options, Quick(), lambda: alive)]).decode()


def test_records_are_read_with_their_parts() -> None:
    record = parse(b"2026-01-01T00:00:00Z stderr P half\n")
    assert record is not None
    assert (record.stream, record.partial, record.text) == (b"stderr", True, b"half")
    assert parse(b"torn") is None
    empty = parse(b"2026-01-01T00:00:00Z stdout F \n")
    assert empty is not None
    assert empty.text == b"\n"


async def test_the_text_comes_without_the_format(log: Path) -> None:
    assert await read(log, LogOptions()) == "line 0\nline 1\nline 2\nline 3\nline 4\n"


async def test_the_tail_counts_lines(log: Path) -> None:
    assert await read(log, LogOptions(tail=2)) == "line 3\nline 4\n"
    assert await read(log, LogOptions(tail=0)) == ""
    assert (await read(log, LogOptions(tail=99))).count("\n") == 5


async def test_partial_records_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    time = TIMES[0]
    file.write_text(f"{time} stdout F first\n{time} stdout P aa\n{time} stdout P bb\n{time} stdout F cc\n")
    assert await read(file, LogOptions()) == "first\naabbcc\n"
    assert await read(file, LogOptions(tail=1)) == "aabbcc\n"
    assert await read(file, LogOptions(timestamps=True, tail=1)) == f"{time} aabbcc\n"


def test_a_long_tail_spans_chunks(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text("".join(f"{TIMES[0]} stdout F {n:0100}\n" for n in range(3000)))
    assert tail(file, 2000).count(b"\n") == 2000
    assert tail_offset(file, 5000) == 0


async def test_times_choose_and_are_shown(log: Path) -> None:
    since = parse_time("2026-01-01T00:00:03Z")
    assert await read(log, LogOptions(since=since, timestamps=True)) == f"{TIMES[3]} line 3\n{TIMES[4]} line 4\n"


async def test_a_limit_cuts_bytes_and_a_stream_can_be_chosen(tmp_path: Path, log: Path) -> None:
    assert await read(log, LogOptions(limit=9)) == "line 0\nli"
    file = tmp_path / "1.log"
    file.write_text(f"{TIMES[0]} stdout F out\n{TIMES[0]} stderr F err\n")
    assert await read(file, LogOptions(stream=b"stderr")) == "err\n"


async def test_a_missing_file_is_an_empty_log(tmp_path: Path) -> None:
    assert await read(tmp_path / "none", LogOptions()) == ""
    assert await read(tmp_path / "none", LogOptions(follow=True)) == ""


async def test_a_followed_log_ends_with_its_container_and_follows_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text(LINES[0])
    steps = iter([True, True, True, False, False])

    text = b""
    async for chunk in read_log(file, LogOptions(follow=True), Quick(), lambda: next(steps, False)):
        text += chunk
        if text.count(b"\n") == 1:
            file.rename(tmp_path / "0.log.1")
            file.write_text(LINES[1])
    assert text.decode() == "line 0\nline 1\n"


def test_options_are_checked() -> None:
    assert options_of({"sinceSeconds": ["10"], "follow": ["true"]}, 100.0) == LogOptions(since=90.0, follow=True)
    with pytest.raises(BadRequest):
        options_of({"tailLines": ["many"]}, 0.0)
    with pytest.raises(BadRequest):
        options_of({"sinceTime": ["yesterday"]}, 0.0)
