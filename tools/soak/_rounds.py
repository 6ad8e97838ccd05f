"""How a soak runs: rounds, each made by a seed of its own, a line a round, a sum at the end; the first fault ends it.

A round is a function of its seed that returns what it counted, and raises AssertionError or TimeoutError for a fault.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell has it."""


def arguments(description: str | None, rounds: int = 20) -> argparse.ArgumentParser:
    """--rounds and --seed; a soak adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each further one has the next")
    return parser


def run_rounds(
    name: str, options: argparse.Namespace, play: Callable[[int], Mapping[str, int]], flags: str = ""
) -> int:
    """The exit code: 0; 1 after a fault, with the command that repeats its round; 130 after Ctrl-C.

    `flags` are what that command needs besides.
    """
    total: Counter[str] = Counter()
    done, seed, code = 0, options.seed, 1
    try:
        for done in range(options.rounds):
            seed = options.seed + done
            counted = play(seed)
            total.update(counted)
            print(f"{name} round {done + 1}/{options.rounds} seed {seed}: {_said(counted)}", flush=True)
        done, code = options.rounds, 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (AssertionError, TimeoutError) as fault:
        print(f"{name} seed {seed}: {str(fault) or repr(fault)}", file=sys.stderr)
    finally:
        if code == 1:  # whatever else was raised goes on with its traceback
            print(f"again: python -m tools.soak.{name} --rounds 1 --seed {seed}{flags}", file=sys.stderr)
        seeds = f" (seeds {options.seed} to {options.seed + done - 1})" if done else ""
        end = {0: "no fault", 1: "then a fault", INTERRUPTED: "then interrupted, no fault"}[code]
        print(f"{name}: {done} of {options.rounds} rounds{seeds}, {end}{': ' * bool(total)}{_said(total)}", flush=True)
    return code


def _said(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counted.items())


def with_fixed_hashes() -> None:
    """Starts this process again where the order of sets is chance: a seed must repeat it."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
