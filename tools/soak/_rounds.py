"""How a soak runs: rounds, each made by a seed of its own, a line a round, a sum at the end; the first fault ends it.

A round is a function of its seed that returns what it counted, and raises AssertionError or TimeoutError for a fault.
"""

import argparse
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell has it."""


def arguments(description: str | None, rounds: int = 20) -> argparse.ArgumentParser:
    """--rounds, --seed and --jobs; a soak adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first round; each further one has the next: how to go on"
    )
    parser.add_argument("--jobs", type=int, default=1, help="rounds side by side, each in a process of its own")
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
        with closing(_played(options, play)) as rounds:
            for done in range(options.rounds):
                seed = options.seed + done
                counted = next(rounds)
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


def _played(
    options: argparse.Namespace, play: Callable[[int], Mapping[str, int]]
) -> Generator[Mapping[str, int], None, None]:
    """What each round counted, in the order of the seeds. Side by side: `play` can be pickled, and is a function alone."""
    seeds = iter(range(options.seed, options.seed + options.rounds))
    if options.jobs == 1:
        for seed in seeds:
            yield play(seed)
        return
    pool = ProcessPoolExecutor(options.jobs)
    waiting: deque[Future[Mapping[str, int]]] = deque()
    try:
        for seed in seeds:
            waiting.append(pool.submit(play, seed))
            if len(waiting) >= 2 * options.jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _said(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counted.items())


def with_fixed_hashes() -> None:
    """Starts this process again where the order of sets is chance: a seed must repeat it."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
