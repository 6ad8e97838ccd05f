"""Flags are read as kubectl reads them."""

import pytest

from pybernetes.kubectl.flags import Flags, UsageError


@pytest.fixture
def flags() -> Flags:
    made = Flags("get")
    made.add_argument("what", nargs="*")
    made.add_argument("-o", "--output", default="")
    made.flag("-w", "--watch", help="")
    made.flag("--wait", default=True, help="")
    return made


def test_flags_may_follow_arguments_and_be_glued(flags: Flags):
    read = flags.read(["pods", "-oyaml", "web", "-w"])
    assert (read.what, read.output, read.watch, read.rest) == (["pods", "web"], "yaml", True, None)


@pytest.mark.parametrize(("word", "wait"), [("--wait=false", False), ("--wait=true", True), ("--wait", True)])
def test_boolean_flags_take_values(flags: Flags, word: str, wait: bool):
    assert flags.read(["pods", word]).wait is wait


def test_what_follows_two_dashes_is_kept(flags: Flags):
    assert flags.read(["web", "--", "sh", "-c", "exit 3"]).rest == ["sh", "-c", "exit 3"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["--bogus=1"], "unknown flag: --bogus"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--watch=maybe"], 'invalid argument "maybe" for "--watch" flag'),
    ],
)
def test_a_bad_flag_is_named(flags: Flags, words: list[str], text: str):
    with pytest.raises(UsageError, match=text.replace("(", r"\(")):
        flags.read(words)
