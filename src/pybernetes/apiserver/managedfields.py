"""metadata.managedFields: keeps account of who set which field, on every write that comes by the API. writes.py calls it.

The account itself is pure (rules/patch/managers.py); here is who writes, in which version, and what the client sent of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.resource import Call
from pybernetes.rules.patch.managers import APPLY, UPDATE, Managed, Manager, Step, checked, decoded, encoded, updated
from pybernetes.wire.http import Request

Account: TypeAlias = Callable[[Object | None, Object], None]
"""Called with (old or None, new): sets metadata.managedFields of the new object."""

_LONGEST_NAME = 128


class ManagedFields:
    """The account of one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zeros: dict[tuple[str, str], tuple[Form, Object]] = {}

    def tracked(self, call: Call, served: Served) -> Account:
        """The account of a create, update or patch: what it changes is its manager's."""

        def account(old: Object | None, new: Object) -> None:
            before = self.zero(served) if old is None else old
            managed = _managed(call, before, new)
            there, wanted = bare(before), bare(new)
            if managed or old is None:
                managed = updated(managed, there, wanted, self.step(call, served, UPDATE))
            write(new, managed)

        return account

    def step(self, call: Call, served: Served, operation: str) -> Step:
        """This request, as the account sees it."""
        form = worked_form(served)
        version = form.gvk.api_version
        named = "" if operation == APPLY else version
        manager = Manager(manager_name(call), operation, named, call.subresource)
        return Step(manager, version, rfc3339(self._clock.now()), form.node)

    def zero(self, served: Served) -> Object:
        """An object of a kind with nothing in it: what creation starts from. Not to be changed."""
        form = worked_form(served)
        key = form.gvk.api_version, form.gvk.kind
        form_then, found = self._zeros.get(key, (None, {}))
        if form_then is not form:
            found = form.walk({}).object
            self._zeros[key] = form, found
        return found


def kept(old: Object | None, new: Object) -> None:
    """The account of an object that already says who owns what."""


def worked_form(served: Served) -> Form:
    """The form that strategies and admission work on."""
    return (served if served.own_form else served.stored).form


def _managed(call: Call, old: Object, new: Object) -> Managed:
    """Who owned what: the client may say it, reset it (`[]` or `[{}]`), or leave it to what is stored."""
    stored: Sequence[Mapping[str, Any]] = old.get("metadata", {}).get("managedFields") or ()
    sent = new["metadata"].get("managedFields")
    if sent is not None and sent != stored and not call.subresource:
        if is_reset(sent):
            return {}
        try:
            return checked(decoded(sent))
        except ValueError:
            pass  # clients that do not understand it must not delete it
    try:
        return decoded(stored)
    except ValueError:
        return {}


def is_reset(entries: Any) -> bool:
    """Whether entries that were sent mean that nobody owns anything."""
    return bool(entries in ([], [{}]) or (len(entries) == 1 and not any(entries[0].values())))


def bare(obj: Object) -> Object:
    """The object without the account; shares the rest."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def write(obj: Object, managed: Managed) -> None:
    """Sets metadata.managedFields."""
    if managed:
        obj["metadata"]["managedFields"] = encoded(managed)
    else:
        obj["metadata"].pop("managedFields", None)


def only_later(new: Object, old: Object) -> bool:
    """Whether two objects differ in nothing but the times of the account: no reason to write."""
    entries, before = new["metadata"].get("managedFields") or (), old["metadata"].get("managedFields") or ()
    if len(entries) != len(before) or [_timeless(e) for e in entries] != [_timeless(e) for e in before]:
        return False
    return bare(new) == bare(old)


def _timeless(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in entry.items() if name != "time"}


def manager_name(call: Call) -> str:
    """Who writes: the request's fieldManager, else the program that its User-Agent names."""
    return call.field_manager or program_of(call.request) or "unknown"


def program_of(request: Request) -> str:
    """The program that a User-Agent names, as a field manager; empty where it names none."""
    name = request.headers.get("user-agent").partition("/")[0]
    if not name.isprintable():
        name = "".join(letter for letter in name if letter.isprintable())
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")
