"""The page of KubeletConfiguration: each field, its default, what it does in this kubelet."""

import orjson

from pybernetes.kubelet.configuration import API_VERSION, Configuration
from pybernetes.kubelet.configuration_effects import EFFECTS, Kind, values_of

_SAID = {
    Kind.HONOURED: "honoured",
    Kind.ACCEPTED: "accepted",
    Kind.WARNED: "other values: a warning",
    Kind.REFUSED: "other values: **refused**",
}


def page() -> list[str]:
    """Its lines."""
    lines = [
        f"# KubeletConfiguration ({API_VERSION})",
        "",
        "Fields that are unknown, given twice, of a wrong type or value are errors, all told at once with their paths. Flags",
        "outrank files; the `*.conf` files of `--config-dir` are merged over `--config` in order of their names (maps merged,",
        "lists replaced). `kubectl get --raw /api/v1/nodes/NAME/proxy/configz` shows the effective one.",
        "",
        "*honoured*: as upstream. *accepted*: any value, for there is nothing it could change. *a warning*: taken, without",
        "effect, with a line in the log. *refused*: the kubelet does not start, since Pods would not get what was asked for.",
        "",
        "| field | default | here | |",
        "|---|---|---|---|",
    ]
    for path, default in values_of(Configuration()).items():
        effect = EFFECTS[path]
        shown = f"`{orjson.dumps(default).decode()}`" if default is not None else ""
        lines.append(f"| `{path}` | {shown} | {_SAID[effect.kind]} | {effect.text} |")
    return lines
