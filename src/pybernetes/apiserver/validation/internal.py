"""Objects inside error messages: upstream shows structures of its own there, whose fields have no JSON names."""

from typing import Any

from pybernetes.api import schema
from pybernetes.api.schema import Field

_META = "io.k8s.apimachinery."
"""Types that upstream has only once: they are shown with their JSON names."""
_NAMES = {"cidrs": "CIDRs", "seLinuxOptions": "SELinuxOptions"}
_ZEROS = {"string": "", "int32": 0, "int64": 0, "double": 0, "bool": False, "intorstring": 0, "quantity": "0"}


def internal(value: Any, type_name: str) -> Any:
    """A canonical object of a type as upstream's messages show it: every field, Go's names, null for what is not set."""
    if value is None or type_name.startswith(_META):
        return value
    return {_name(name): _shown(value.get(name), field) for name, field in schema.get(type_name).fields.items()}


def _name(name: str) -> str:
    if name.startswith("api"):
        return "API" + name[3:]
    return _NAMES.get(name) or name[0].upper() + name[1:]


def _shown(value: Any, field: Field) -> Any:
    if field.kind == "object":
        return internal({} if value is None and not field.pointer else value, field.ref)
    if value is None:
        return None if field.pointer else _ZEROS.get(field.kind)
    if field.kind == "list" and field.item is not None:
        return [_shown(one, field.item) for one in value] or None
    if field.kind == "map" and field.item is not None:
        return {key: _shown(value[key], field.item) for key in sorted(value)} or None
    return value
