"""`python -m tools.reference` writes the pages, `--check` says which are stale."""

import argparse
import sys
from pathlib import Path

from tools.reference import pod_fields
from tools.reference.pages import pages

ROOT = Path(__file__).parents[2]
MOVING = frozenset({"controllers.md"})
"""Pages that every change of a controller changes: `--check` tells that they are stale, and fails only with `--strict`."""


def main() -> int:
    """0 when all is current or written, 1 when a page is stale or a field of a Pod has no reader."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    parser.add_argument(
        "--strict", action="store_true", help="with --check: fail also for pages that change all the time"
    )
    given = parser.parse_args()
    check = given.check
    record = pod_fields.load_record()
    rows = pod_fields.table(pod_fields.readers_of(ROOT, record), record)
    faults = pod_fields.faults(rows, record)
    for fault in faults:
        print(fault, file=sys.stderr)
    stale = [(path, text) for path, text in pages(ROOT, rows).items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"stale: {path.relative_to(ROOT)}; run: python -m tools.reference", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote: {path.relative_to(ROOT)}")
    wrong = [path for path, _ in stale if given.strict or path.name not in MOVING]
    return 1 if faults or (check and wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
