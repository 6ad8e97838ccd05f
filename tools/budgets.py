"""Holds the budget of file lengths: 500 lines wanted, 900 hard. Functions are held by ruff. Run by `make check`."""

import sys
from pathlib import Path

WANTED, HARD = 500, 900
GENERATED = ("src/pybernetes/api/types/", "src/pybernetes/api/schema/_", "src/pybernetes/api/facts/_")
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def main() -> int:
    """Prints what is over budget; 1 if anything is."""
    faults = []
    long = []
    for folder in ("src", "tools", "tests", "bench"):
        for path in sorted(Path(folder).rglob("*.py")):
            if str(path).startswith(GENERATED):
                continue
            lines = len(path.read_text().splitlines())
            if lines > HARD:
                faults.append(f"{path}: {lines} lines, the hard limit is {HARD}")
            elif lines > WANTED and folder == "src":
                long.append(f"{path} ({lines})")
            if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES:
                faults.append(f"{path}: a drawer's name; name it after what it is about")
    for fault in faults:
        print(fault, file=sys.stderr)
    if long:
        print(f"over {WANTED} lines (wanted, not hard): {', '.join(long)}")
    print("budgets hold" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
