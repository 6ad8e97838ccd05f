"""The kubelet's entry point. Its parts need the extra `node`; where that is missing, it says so. Everything is in _kubelet.py."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    try:
        from pybernetes.cmd import _kubelet
    except ModuleNotFoundError as error:
        sys.exit(f"kubelet: the module {error.name} is missing: pip install 'pybernetes[node]'")
    _kubelet.main(arguments)


if __name__ == "__main__":
    main()
