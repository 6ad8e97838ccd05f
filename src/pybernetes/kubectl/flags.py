"""Flags as kubectl reads them: `--flag=value`, `-oyaml`, `--watch=false`, flags after arguments, everything after `--` kept."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

_TRUE = {"true", "1", "t", "yes"}
_FALSE = {"false", "0", "f", "no"}


class UsageError(Exception):
    """Bad flags or arguments; the text is shown as kubectl shows it, exit code 1."""


class Flags(argparse.ArgumentParser):
    """A command's flags. Boolean flags are added by `flag()`; errors are UsageError, never an exit."""

    def __init__(self, command: str, description: str = "", usage: str | None = None) -> None:
        super().__init__(
            prog=f"kubectl {command}".strip(),
            description=description,
            usage=usage,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._booleans: dict[str, str] = {}

    def flag(self, *names: str, default: bool = False, help: str) -> None:
        """A boolean flag: `--x`, `--x=true`, `--x=false`."""
        action = self.add_argument(*names, action=argparse.BooleanOptionalAction, default=default, help=help)
        for name in names:
            self._booleans[name] = next(o for o in action.option_strings if o.startswith("--no-"))

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses; what follows `--` is in `.rest` (None without `--`). Raises UsageError."""
        words, rest = list(argv), None
        if "--" in words:
            at = words.index("--")
            words, rest = words[:at], words[at + 1 :]
        words = [self._plain(word) for word in words]
        parsed, unknown = self.parse_known_intermixed_args(words)
        for word in unknown:
            if word.startswith("-"):
                kind = "flag" if word.startswith("--") else "shorthand flag"
                shown = word.partition("=")[0] if word.startswith("--") else f"{word[1]!r} in {word}"
                raise UsageError(f"unknown {kind}: {shown}\nSee '{self.prog} --help' for usage.")
        if unknown:
            raise UsageError(f"unexpected arguments: {' '.join(unknown)}\nSee '{self.prog} --help' for usage.")
        parsed.rest = rest
        return parsed

    def _plain(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if not equals or name not in self._booleans:
            return word
        if value.lower() in _TRUE:
            return name
        if value.lower() in _FALSE:
            return self._booleans[name]
        raise UsageError(
            f'invalid argument "{value}" for "{name}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nSee '{self.prog} --help' for usage.")


def add_global_flags(flags: Flags) -> None:
    """The flags that every command takes."""
    group: Any = flags.add_argument_group("global flags")
    group.add_argument("-n", "--namespace", default="", help="namespace of this request")
    group.add_argument("--kubeconfig", default="", help="path of the kubeconfig file")
    group.add_argument("--context", default="", help="name of the kubeconfig context")
    group.add_argument("--cluster", default="", help="name of the kubeconfig cluster")
    group.add_argument("--user", default="", help="name of the kubeconfig user")
    group.add_argument("-s", "--server", default="", help="address of the API server")
    group.add_argument("--token", default="", help="bearer token")
    group.add_argument("--request-timeout", default="0", help="time to wait for one request, as 10s; 0 is for ever")
    group.add_argument("-v", "--v", default="0", help="verbosity")
    group.add_argument("-h", "--help", action="store_true", help="this text")
