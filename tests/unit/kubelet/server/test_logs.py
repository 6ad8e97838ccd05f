"""Container logs: the CRI format, tails, times, following, rotation."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import BadRequest, Invalid
from pybernetes.kubelet.server import log_format
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


async def test_a_line_that_is_not_ended_is_the_last_one(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text(f"{TIMES[0]} stdout F first\n{TIMES[0]} stdout P not \n{TIMES[0]} stdout P ended\n")
    assert await read(file, LogOptions(tail=1)) == "not ended"
    assert await read(file, LogOptions(tail=2)) == "first\nnot ended"


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


def offset_by_reading_all(lines: list[bytes], wanted: int) -> int:
    at, found = sum(map(len, lines)), 0
    for index, line in enumerate(reversed(lines if wanted else [])):
        record = parse(line)
        assert record is not None
        found += index == 0 or not record.partial
        if found > wanted:
            break
        at -= len(line)
    return at


RECORDS = st.builds(
    lambda tag, size: f"{TIMES[0]} stdout {tag} ".encode() + b"x" * size + b"\n",
    st.sampled_from("PFF"),
    st.sampled_from([0, 1, 5, 90]),
)


@given(st.lists(RECORDS, max_size=12), st.booleans(), st.integers(0, 13))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tail_is_the_same_however_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], unended: bool, wanted: int
) -> None:
    monkeypatch.setattr(log_format, "_CHUNK", 37)
    lines = [*lines, f"{TIMES[0]} stdout F not ended yet".encode()] if unended else lines
    file = tmp_path / "0.log"
    file.write_bytes(b"".join(lines))
    assert tail_offset(file, wanted) == offset_by_reading_all(lines, wanted)


def test_a_long_tail_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand lines took fifteen seconds: every piece was looked at again with each before it."""
    file, parsed = tmp_path / "0.log", 0
    file.write_text("".join(f"{TIMES[0]} stdout F {n:0100}\n" for n in range(3000)))

    def counted(line: bytes) -> object:
        nonlocal parsed
        parsed += 1
        return parse(line)

    monkeypatch.setattr(log_format, "parse", counted)
    assert tail_offset(file, 5000) == 0
    assert parsed == 3000


async def test_times_choose_and_are_shown(log: Path) -> None:
    since = parse_time("2026-01-01T00:00:03Z")
    assert await read(log, LogOptions(since=since, timestamps=True)) == f"{TIMES[3]} line 3\n{TIMES[4]} line 4\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000000Z"),
        ("2026-01-01T00:00:00.12345+09:00", "2026-01-01T00:00:00.123450000+09:00"),
    ],
)
async def test_times_are_shown_with_all_digits(tmp_path: Path, written: str, shown: str) -> None:
    file = tmp_path / "0.log"
    file.write_text(f"{written} stdout F x\n")
    assert await read(file, LogOptions(timestamps=True)) == f"{shown} x\n"


async def test_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_bytes(f"{TIMES[0]} stdout F 10%\r20%\r30%\n{TIMES[1]} stdout F end\r\n{TIMES[2]} stdout F \n".encode())
    assert await read(file, LogOptions()) == "10%\r20%\r30%\nend\r\n\n"
    assert await read(file, LogOptions(tail=3, timestamps=True)) == (
        f"{TIMES[0]} 10%\r20%\r30%\n{TIMES[1]} end\r\n{TIMES[2]} \n"
    )


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


async def test_what_the_writer_of_a_rotated_log_wrote_last_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text(LINES[0])
    old = file.open("a")
    looks = 0

    def running() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:  # all was read: now the writer adds a line, and only then goes over to the new file
            file.rename(tmp_path / "0.log.1")
            old.write(LINES[1])
            old.close()
            file.write_text(LINES[2])
        return looks < 6

    text = b"".join([c async for c in read_log(file, LogOptions(follow=True), Quick(), running)])
    assert text.decode() == "line 0\nline 1\nline 2\n"


async def test_a_follower_that_leaves_closes_the_file(log: Path) -> None:
    def opened() -> list[str]:
        return [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if Path(f"/proc/self/fd/{fd}").is_symlink()
        ]

    stream = read_log(log, LogOptions(follow=True), Quick(), lambda: True)
    assert await anext(stream)
    assert str(log) in opened()
    await stream.aclose()
    assert str(log) not in opened()


async def test_a_busy_log_is_read_in_few_steps(tmp_path: Path) -> None:
    """Ten thousand lines a second, written while they are read: each look takes all there is."""
    file = tmp_path / "0.log"
    file.write_text("")
    waits = written = 0

    class Writing:
        async def sleep(self, seconds: float) -> None:
            nonlocal waits, written
            waits += 1
            if waits > 20:
                return
            written += round(10_000 * seconds)
            with file.open("a") as opened:
                opened.write("".join(LINES[0] for _ in range(round(10_000 * seconds))))

    text = b"".join([c async for c in read_log(file, LogOptions(follow=True), Writing(), lambda: waits < 20)])
    assert text.count(b"\n") == written >= 10_000
    assert waits <= 22


def test_options_are_checked() -> None:
    assert options_of({"sinceSeconds": ["10"], "follow": [""]}, 100.0) == LogOptions(since=90.0, follow=True)
    assert options_of({"follow": ["False"], "previous": ["0"], "tail": ["all"]}, 0.0) == LogOptions()
    assert options_of({"tail": ["3"], "stream": ["All"]}, 0.0) == LogOptions(tail=3)
    assert options_of({"stream": ["Stderr"]}, 0.0) == LogOptions(stream=b"stderr")
    for query in ({"tailLines": "many"}, {"sinceTime": "yesterday"}, {"limitBytes": "1.5"}):
        with pytest.raises(BadRequest) as undecodable:
            options_of({name: [value] for name, value in query.items()}, 0.0)
        assert undecodable.value.message == '{"message": "Unable to decode query."}'
    for query in (
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceSeconds": "0"},
        {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
        {"stream": "stdout"},
        {"stream": "Stdout", "tailLines": "1"},
    ):
        with pytest.raises(Invalid):
            options_of({name: [value] for name, value in query.items()}, 0.0)
