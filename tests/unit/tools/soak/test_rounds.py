"""How soaks run their rounds: seeds, sums, exit codes, and what is said of the round that failed."""

from collections.abc import Mapping

import pytest
from tools.soak._rounds import arguments, run_rounds


def play(seed: int) -> Mapping[str, int]:
    if seed == 12:
        raise AssertionError("twelve is lost")
    if seed == 13:
        raise TimeoutError
    if seed == 14:
        raise KeyboardInterrupt
    if seed == 15:
        raise ZeroDivisionError("of the soak itself")
    return {"writes": seed, "odd": seed % 2}


def options(*words: str):
    return arguments("a soak").parse_args(words)


def test_every_round_has_the_next_seed_and_the_sum_is_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rounds("x", options("--rounds", "3", "--seed", "7"), play) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "x round 1/3 seed 7: 7 writes, 1 odd",
        "x round 2/3 seed 8: 8 writes, 0 odd",
        "x round 3/3 seed 9: 9 writes, 1 odd",
        "x: 3 of 3 rounds (seeds 7 to 9), no fault: 24 writes, 2 odd",
    ]
    assert said.err == ""


@pytest.mark.parametrize(("seed", "fault"), [(12, "twelve is lost"), (13, "TimeoutError()")])
def test_the_first_fault_ends_it_and_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], seed: int, fault: str
) -> None:
    assert run_rounds("x", options("--rounds", "9", "--seed", str(seed - 1)), play if seed == 12 else later, " -y") == 1
    said = capsys.readouterr()
    assert said.err == f"x seed {seed}: {fault}\nagain: python -m tools.soak.x --rounds 1 --seed {seed} -y\n"
    assert f"x: 1 of 9 rounds (seeds {seed - 1} to {seed - 1}), then a fault: " in said.out


def counted(seed: int) -> Mapping[str, int]:
    if seed == 9:
        raise AssertionError("nine is lost")
    return {"writes": seed}


def test_rounds_side_by_side_are_told_in_the_order_of_their_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rounds("x", options("--rounds", "5", "--seed", "2", "--jobs", "2"), counted) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(" seed ")[2] for line in told[:5]] == [f"{seed}: {seed} writes" for seed in range(2, 7)]
    assert told[5] == "x: 5 of 5 rounds (seeds 2 to 6), no fault: 20 writes"


def test_a_fault_beside_others_is_that_of_the_first_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rounds("x", options("--rounds", "9", "--seed", "6", "--jobs", "2"), counted) == 1
    said = capsys.readouterr()
    assert said.err == "x seed 9: nine is lost\nagain: python -m tools.soak.x --rounds 1 --seed 9\n"
    assert "x: 3 of 9 rounds (seeds 6 to 8), then a fault: " in said.out


def later(seed: int) -> Mapping[str, int]:
    return {"writes": 1} if seed == 12 else play(seed)


def test_a_fault_in_the_first_round_has_no_round_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rounds("x", options("--seed", "12"), play) == 1
    assert capsys.readouterr().out == "x: 0 of 20 rounds, then a fault\n"


def test_ctrl_c_ends_it_with_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    def until_14(seed: int) -> Mapping[str, int]:
        return play(seed) if seed == 14 else {"writes": 1}

    assert run_rounds("x", options("--seed", "12"), until_14) == 130
    assert capsys.readouterr().out.endswith(
        "x: 2 of 20 rounds (seeds 12 to 13), then interrupted, no fault: 2 writes\n"
    )


def test_an_error_of_the_soak_itself_keeps_its_traceback_and_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        run_rounds("x", options("--seed", "15"), play)
    assert "again: python -m tools.soak.x --rounds 1 --seed 15" in capsys.readouterr().err
