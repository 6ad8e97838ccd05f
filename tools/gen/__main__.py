"""`python -m tools.gen` writes the generated files; with `--check` it lists the stale ones and exits 1."""

import argparse
import sys
from pathlib import Path

from tools.gen import output

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Compares every generated file with what the facts say; writes it unless only asked to check."""
    parser = argparse.ArgumentParser(prog="python -m tools.gen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; list stale files and exit 1")
    check = parser.parse_args().check
    stale = output.stale(ROOT)
    for path, text in stale.items():
        print(("stale: " if check else "wrote: ") + str(path.relative_to(ROOT)))
        if check:
            continue
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    if check and stale:
        print("run `python -m tools.gen` and commit the result")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
