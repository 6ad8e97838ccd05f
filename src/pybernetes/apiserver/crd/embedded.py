"""Objects inside objects (x-kubernetes-embedded-resource): their type and metadata are checked as those of any object."""

from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, invalid_value, required
from pybernetes.apiserver.validation.meta import validate_object_meta


def embedded_faults(value: dict[str, Any], path: str) -> list[FieldError]:
    """All faults of one whole object; `path` is where it is."""
    dot = f"{path}." if path else ""
    faults: list[FieldError] = []
    for name in ("apiVersion", "kind"):
        text = value.get(name)
        if text is None or text == "":
            faults.append(required(dot + name))
        elif not isinstance(text, str):
            faults.append(invalid_value(dot + name, text, "must be a string"))
        elif name == "apiVersion" and text.count("/") > 1:
            faults.append(invalid_value(dot + name, text, f"unexpected GroupVersion string: {text}"))
        elif name == "kind" and (wrong := names.dns1035_label(text.lower())):
            why = "may have mixed case, but should otherwise match: " + ",".join(wrong)
            faults.append(invalid_value(dot + name, text, why))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        named = {"metadata": {"name": "fakename", **metadata}}
        found = validate_object_meta(named, None, bool(metadata.get("namespace")), names.path_segment, core=False)
        faults += [FieldError(fault.type, dot + fault.field, fault.message) for fault in found]
    return faults
