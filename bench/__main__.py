"""`python -m bench [name ...]`: runs the benchmarks of this folder and prints a table of ratios. Time never fails it."""

import argparse
import sys
from collections.abc import Iterable

from bench import Benchmark, Row, SkipBenchmark
from pybernetes.aio.discover import discover


def table(rows: Iterable[Row]) -> str:
    """The rows of one benchmark, aligned."""
    lines = [("", "figure", "floor", "ratio")]
    lines += [
        (row.what, f"{row.figure:.1f} {row.unit}", f"{row.floor:.1f} {row.unit}", f"{row.ratio:.2f}") for row in rows
    ]
    first, *others = (max(len(line[column]) for line in lines) for column in range(4))
    return "\n".join(
        f"  {line[0]:<{first}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], others, strict=True))
        for line in lines
    )


def main() -> int:
    """1 when a name is unknown or a benchmark breaks; what is slow is only printed."""
    known = discover("bench", "BENCHMARK", Benchmark)
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of: {', '.join(sorted(known))}; all by default")
    names = parser.parse_args().names or sorted(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there is: {', '.join(sorted(known))}", file=sys.stderr)
        return 1
    for name in names:
        print(f"{name}: {known[name].help}", flush=True)
        try:
            print(table(known[name].run()), flush=True)
        except SkipBenchmark as reason:
            print(f"  skipped: {reason}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
