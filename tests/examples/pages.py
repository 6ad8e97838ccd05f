"""Pages that can be walked through: files they show are written, commands are run, what these print is compared.

A block whose first line is `# NAME` is a file of that name. In a block `console`, lines with `$ ` are commands; the lines after one are
what it prints, `...` is any number of lines. Numbers, and what the API server makes up in names, may differ.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_MADE_UP = re.compile(r"(-(?=\w*\d)[bcdfghjklmnpqrstvwxz2456789]{8,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_ANY = "..."


def blocks(page: Path, language: str) -> list[str]:
    """Those of a language."""
    return [text for found, text in _BLOCK.findall(page.read_text()) if found == language]


def walk(page: Path, folder: Path, programs: Path) -> int:
    """Does what a page says, in a folder, with programs of that place; how many commands that were."""
    run = 0
    for language, text in _BLOCK.findall(page.read_text()):
        head = text.partition("\n")[0].removeprefix("# ")
        if language in ("python", "yaml") and (folder / head).suffix in (".py", ".yaml"):
            (folder / head).write_text(text)
        if language == "console":
            for command, expected in _commands(text):
                printed = _output(command, folder, programs)
                assert fits(expected, printed.splitlines()), f"{page.name}: $ {command}\n{printed}"
                run += 1
    return run


def fits(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether lines are as a page shows them."""
    if not expected:
        return not any(line.strip() for line in printed)
    first, rest = expected[0], expected[1:]
    if first == _ANY:
        return not rest or any(fits(rest, printed[at:]) for at in range(len(printed)))
    return bool(printed) and _shape(first) == _shape(printed[0]) and fits(rest, printed[1:])


def _commands(block: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        yield command, expected


def _shape(line: str) -> str:
    line = re.sub(r"\d+", "0", _MADE_UP.sub("-x", line))
    return re.sub(r"[-=\s]*\s[-=\s]*", " ", line.strip(" -="))


def _output(command: str, folder: Path, programs: Path) -> str:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    ended = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    return ended.stdout if ended.returncode in (0, 1) else ended.stdout + ended.stderr
