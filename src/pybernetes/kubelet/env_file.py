"""Env files, from which a variable may be taken (fileKeyRef, KEP-3721): NAME='value' lines, a small part of the shell's
syntax. environment.py reads them."""

import re

MOST_FILE = 1 << 20
"""Bytes that are read of one."""
_DECLARATION = re.compile(r"[ \t]*([^=#'\n]*?)[ \t]*=[ \t]*'([^']*)'[ \t]*(?:\n|\Z)")
_IGNORED = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


def parse_env_file(text: str) -> dict[str, str]:
    """Names and values. What stands between the single quotes is taken as it is, also over several lines.

    Raises ValueError for anything but blank lines, lines of comment and declarations: unquoted values, double quotes,
    values in several pieces.
    """
    text = text.replace("\r\n", "\n")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        ignored = _IGNORED.match(text, at)
        if ignored is not None:
            at = ignored.end()
            continue
        declared = _DECLARATION.match(text, at)
        if declared is None or not declared.group(1):
            line = text.count("\n", 0, at) + 1
            raise ValueError(f"line {line} is not a declaration of the form NAME='value'")
        found[declared.group(1)] = declared.group(2)
        at = declared.end()
    return found
