"""A strict reader of Prometheus' text format, for tests of what /metrics says. Raises AssertionError for what no scraper takes."""

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HEAD = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
_SERIES = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)( -?\d+)?")


@dataclass
class Family:
    """One metric: its type and its series by name and labels."""

    kind: str = ""
    help: str = ""
    series: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)


def read(text: str) -> dict[str, Family]:
    """The families of an exposition, by name."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    current = ""
    for line in text[:-1].split("\n"):
        if head := _HEAD.fullmatch(line):
            word, name, rest = head.groups()
            if name != current:
                assert name not in families, f"{name} comes twice"
                families[name], current = Family(), name
            if word == "HELP":
                assert not families[name].help
                families[name].help = rest
            else:
                assert rest in ("counter", "gauge", "histogram", "summary", "untyped")
                assert not families[name].kind
                families[name].kind = rest
            continue
        found = _SERIES.fullmatch(line)
        assert found, f"no series: {line!r}"
        name, labels, value, _ = found.groups()
        family = families[current]
        suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        assert name in {current + suffix for suffix in suffixes}, f"{name} among {current}"
        key = (name, _labels(labels or ""))
        assert key not in family.series, f"{line!r} comes twice"
        family.series[key] = float(value)
    for name, family in families.items():
        assert family.kind, f"{name} has no type"
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    found, at = [], 0
    while at < len(text):
        label = _LABEL.match(text, at)
        assert label, f"no labels: {text!r}"
        found.append((label[1], label[2]))
        at = label.end()
    assert len({name for name, _ in found}) == len(found)
    return tuple(found)


def _check_histogram(name: str, family: Family) -> None:
    """Buckets grow and end with all of them."""
    sets = {tuple(label for label in labels if label[0] != "le") for _, labels in family.series}
    for labels in sets:
        buckets = [
            (float(dict(key[1])["le"]), value)
            for key, value in family.series.items()
            if key[0] == f"{name}_bucket" and tuple(label for label in key[1] if label[0] != "le") == labels
        ]
        assert buckets == sorted(buckets), f"{name}: buckets shrink"
        assert [value for _, value in buckets] == sorted(value for _, value in buckets), f"{name}: counts shrink"
        assert buckets[-1] == (float("inf"), family.series[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in family.series
