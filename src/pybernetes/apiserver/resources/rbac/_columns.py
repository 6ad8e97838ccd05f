"""Columns of bindings."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.resources._columns import AGE


def _role(obj: Object) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _named(kind: str) -> Column:
    def cell(obj: Object) -> str:
        found = [subject for subject in obj.get("subjects") or () if subject.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in found)
        return ", ".join(subject["name"] for subject in found)

    return Column(f"{kind}s", cell, description=f"{kind}s that the binding names.", priority=1)


BINDING_COLUMNS = (
    Column("Role", _role, description="What it grants."),
    AGE,
    _named("User"),
    _named("Group"),
    _named("ServiceAccount"),
)
