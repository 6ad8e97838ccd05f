"""`python -m tools.reference` writes the pages, `--check` says which are stale."""

import argparse
import sys
from pathlib import Path

from tools.reference.pages import pages

ROOT = Path(__file__).parents[2]


def main() -> int:
    """0 when all is current or written, 1 when a page is stale."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in pages(ROOT).items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"stale: {path.relative_to(ROOT)}; run: python -m tools.reference", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote: {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
