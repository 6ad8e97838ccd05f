"""Soak of the controllers: perturbed worlds on virtual time, in which rules hold at every write. tools/soak/worlds has them.

`python -m tools.soak.controllers --rounds N [--seed S] [--jobs 2] [--twice-every 10] [--casts deployments,autoscalers]`. Each
round is one world, made by its seed alone. A world of every so many seeds runs twice, and must make the same history.
"""

import logging
import sys
from functools import partial

from tools.soak._rounds import arguments, run_rounds, with_fixed_hashes
from tools.soak.worlds.casts import CASTS
from tools.soak.worlds.lives import check_seed


def main() -> int:
    """Rounds of worlds; 1 at the first fault, with its seed."""
    parser = arguments(__doc__)
    parser.add_argument("--twice-every", type=int, default=10, help="every so many seeds a world runs twice")
    parser.add_argument(
        "--casts", default="", help=f"what worlds play, in place of a choice by chance: {', '.join(CASTS)}"
    )
    options = parser.parse_args()
    casts = tuple(filter(None, options.casts.split(",")))
    if unknown := set(casts) - set(CASTS):
        parser.error(f"--casts: there is no {min(unknown)}")
    with_fixed_hashes()
    logging.disable(logging.WARNING)
    play = partial(check_seed, twice_every=options.twice_every, casts=casts)
    return run_rounds("controllers", options, play, f" --casts {options.casts}" if casts else "")


if __name__ == "__main__":
    sys.exit(main())
