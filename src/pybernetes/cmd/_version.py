"""The flag --version of components: `true` prints one line, `raw` all that is known; both end the command."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from pybernetes import KUBERNETES_VERSION
from pybernetes.api import version

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


class _Version(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        text = str(values)
        if text == "raw":
            print(version.literal())
        elif text in _TRUE:
            print(f"Kubernetes {KUBERNETES_VERSION}")
        elif text in _FALSE or text == KUBERNETES_VERSION:
            return
        elif text.startswith("v"):
            # Upstream's builders name their patches so; this program is no build of theirs.
            parser.error(f'invalid argument "{text}" for "--version" flag: the version is {KUBERNETES_VERSION}')
        else:
            why = f'strconv.ParseBool: parsing "{text}": invalid syntax'
            parser.error(f'invalid argument "{text}" for "--version" flag: {why}')
        sys.exit(0)


def add_version(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Adds the flag."""
    parser.add_argument(
        "--version",
        action=_Version,
        nargs="?",
        const="true",
        default="false",
        metavar="raw",
        help="print the version and end; --version=raw prints all that is known of it",
    )
