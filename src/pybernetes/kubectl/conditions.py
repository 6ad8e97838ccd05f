"""What `kubectl wait --for` can wait for, as a question to an object. commands/wait.py and pybernetes.testing ask it."""

from collections.abc import Callable

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.printers import jsonpath


def condition(text: str) -> Callable[[Object | None], bool]:
    """Whether an object (None: it is gone) is as `--for` wants. Raises Refused."""
    kind, _, rest = text.partition("=")
    if kind == "delete":
        return lambda obj: obj is None
    if kind == "create":
        return lambda obj: obj is not None
    if kind == "condition":
        name, _, value = rest.partition("=")
        return lambda obj: obj is not None and _status(obj, name) == (value or "True").lower()
    if kind == "jsonpath":
        path, equals, value = rest.partition("}=")
        template = path + "}" if equals else rest
        return lambda obj: (
            obj is not None and _matches(jsonpath.render(template.strip("'"), obj), value if equals else None)
        )
    raise Refused(f'unrecognized condition: "{text}"')


def _matches(found: str, wanted: str | None) -> bool:
    return bool(found) if wanted is None else found == wanted.strip("'\"")


def _status(obj: Object, name: str) -> str:
    status = obj.get("status") or {}
    if status.get("observedGeneration", 1 << 60) < obj["metadata"].get("generation", 0):
        return ""
    found = (c for c in status.get("conditions") or () if c["type"].lower() == name.lower())
    return next((str(c["status"]).lower() for c in found), "")
