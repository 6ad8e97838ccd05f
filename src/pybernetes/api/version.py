"""version.Info of these programs: what /version answers and `--version=raw` prints. cmd/_version.py has the flag."""

import platform
from collections.abc import Mapping

from pybernetes import KUBERNETES_VERSION


def info() -> dict[str, str]:
    """Of this program, by the API's names. What only Go's build has is empty."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower() + platform.python_version(),
        "platform": f"linux/{machine}",
    }


_EMULATION = ("emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")


def emulated(base: Mapping[str, str]) -> dict[str, str]:
    """The same of a server, which says for which versions it stands in (KEP-4330)."""
    major, minor = base["major"], base["minor"]
    values = dict(zip(_EMULATION, (major, minor, major, str(int(minor) - 1)), strict=True))
    return {"major": major, "minor": minor, **values, **base}


def literal() -> str:
    """As Go writes the value: `version.Info{Major:"1", ...}`. A program itself names no emulation."""
    base = info()
    ordered = {"major": "", "minor": "", **dict.fromkeys(_EMULATION, ""), **base}
    fields = (f'{name[0].upper()}{name[1:]}:"{value}"' for name, value in ordered.items())
    return f"version.Info{{{', '.join(fields)}}}"
