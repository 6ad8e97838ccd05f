"""What users see, held by files: columns as cells, and what differs from run to run masked.

`PYBERNETES_GOLDEN=write` writes the files anew; read the difference before you commit it.
"""

import os
import re
from difflib import unified_diff
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"

_MASKS = (
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", "DATE"),
    (r"\b10\.244\.\d+\.\d+\b(?!/)", "POD-IP"),
    (r"\b10\.(?:9[6-9]|1[01]\d)\.\d+\.\d+\b(?!/)", "SERVICE-IP"),
    (r"simulated-[12](/198\.18\.0\.[12])?\b", "NODE"),
    (r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-RANDOM"),
    (r"(?<=-)[bcdf0-9][bcdfghjklmnpqrstvwxz0-9]{7,9}(-[bcdfghjklmnpqrstvwxz2456789]{5})?\b", "HASH"),
    (r"(?<=[: ])3[0-2]\d{3}(?=/TCP)", "NODE-PORT"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME"),
    (r"(?<=Resource Version: )( *)\d+", r"\1N"),
)
_AGE = re.compile(r"\b(\d+[smhd])+( \(x\d+ over (\d+[smhd])+\))?(?= |$)|<invalid>")


def masked(text: str) -> str:
    """Without what is random, and without padding, which depends on it."""
    for pattern, word in _MASKS:
        text = re.sub(pattern, word, text)
    lines = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        lines.append(line[:indent] + re.sub(r" {2,}", "  ", line[indent:]).rstrip())
    return "\n".join(lines) + "\n"


def cells(table: str) -> str:
    """Tables of `kubectl get` with the columns told apart by bars, cut where the header says."""
    lines: list[str] = []
    cuts: list[int] = []
    for line in table.splitlines():
        if line.startswith(("NAME ", "NAMESPACE ", "LAST SEEN ")):
            cuts = [0, *(m.end() for m in re.finditer(r" {2,}", line)), 10_000]
        if cuts and line:
            parts = [line[start:end].strip() for start, end in pairwise(cuts)]
            lines.append(" | ".join("AGE" if _AGE.fullmatch(part) else part for part in parts))
        else:
            lines.append(line)
    return masked("\n".join(lines))


def hold(name: str, text: str) -> None:
    """The text is what the file says. Fails with both otherwise."""
    path = FOLDER / name
    if os.environ.get("PYBERNETES_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"no golden file {path}"
    differs = "\n".join(
        unified_diff(path.read_text().splitlines(), text.splitlines(), path.name, "shown", n=1, lineterm="")
    )
    assert not differs, differs
