"""kubectl: the composition root; everything is in pybernetes.kubectl.main."""

import sys

from pybernetes.kubectl.main import run


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
