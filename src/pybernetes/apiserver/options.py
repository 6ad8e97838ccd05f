"""Options: the query parameters of requests, checked (metav1 ListOptions, CreateOptions, ...). reads.py, writes.py use them."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from pybernetes.api import selectors
from pybernetes.api.errors import (
    BadRequest,
    FieldError,
    field_forbidden,
    invalid,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.requestinfo import is_true

Query = dict[str, list[str]]
Validation = Literal["Ignore", "Warn", "Strict"]

_META = "meta.k8s.io"
_MATCH = "resourceVersionMatch"
_NOT_CONTINUED = "resourceVersionMatch is forbidden when continue is provided"
TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class ListOptions(Struct, frozen=True):
    """metav1.ListOptions of a list, watch or deletecollection."""

    labels: selectors.Selector
    fields: selectors.FieldSelector
    resource_version: str
    match: str
    limit: int
    token: str
    timeout: int | None
    bookmarks: bool
    initial_events: bool | None
    watch: bool


class WriteOptions(Struct, frozen=True):
    """Create-, Update- and PatchOptions."""

    dry_run: bool
    validation: Validation
    field_manager: str
    force: bool


def list_options(query: Query, *, watch: bool) -> ListOptions:
    """Raises BadRequest for text that cannot be read, Invalid for what does not go together."""
    try:
        labels = selectors.parse(_one(query, "labelSelector"))
    except ValueError as error:
        raise BadRequest(f"unable to parse requirement: {error}" if ":" not in str(error) else str(error)) from None
    try:
        fields = selectors.parse_fields(_one(query, "fieldSelector"))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    initial = query.get("sendInitialEvents")
    options = ListOptions(
        labels,
        fields,
        _one(query, "resourceVersion"),
        _one(query, "resourceVersionMatch"),
        integer(query, "limit") or 0,
        _one(query, "continue"),
        integer(query, "timeoutSeconds"),
        is_true(query.get("allowWatchBookmarks")),
        None if initial is None else is_true(initial),
        watch,
    )
    faults = _watch_faults(options) if watch else _list_faults(options)
    if faults:
        raise invalid(_META, "ListOptions", "", faults)
    return options


def selected_name(fields: str) -> str:
    """The name that a list asks for: who may read one object by name may list and watch it, too."""
    if "metadata.name" not in fields:
        return ""
    try:
        name = selectors.parse_fields(fields).exact("metadata.name") or ""
    except ValueError:
        return ""
    return "" if name in (".", "..") or "/" in name or "%" in name else name


def revision(text: str) -> int:
    """A resourceVersion as a number; empty is 0. Raises BadRequest."""
    fault = _no_revision(text)
    if fault:
        raise BadRequest(str(fault))
    return int(text or 0)


def watched_revision(text: str, resource: GroupResource) -> int:
    """The same of a watch. Raises Invalid."""
    fault = _no_revision(text)
    if fault:
        raise invalid(resource.group, resource.resource, "", [fault])
    return int(text or 0)


def _no_revision(text: str) -> FieldError | None:
    if not text or (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    why = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    return invalid_value("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": {why}')


def write_options(query: Query, kind: str, *, patch: bool = False, apply: bool = False) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions. Raises Invalid."""
    dry_run = query.get("dryRun", [])
    manager = _one(query, "fieldManager")
    validation = _one(query, "fieldValidation")
    force = query.get("force")
    faults: list[FieldError] = []
    if force is not None and patch and not apply:
        faults.append(field_forbidden("force", "may not be specified for non-apply patch"))
    if apply and not manager:
        faults.append(required("fieldManager", "is required for apply patch"))
    if len(manager.encode()) > 128:
        faults.append(too_long("fieldManager", 128))
    faults += _unprintable(manager)
    faults += dry_run_faults(dry_run)
    if validation not in ("", "Ignore", "Warn", "Strict"):
        faults.append(not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if faults:
        raise invalid(_META, kind, "", faults)
    shown: Validation = "Strict" if validation == "Strict" else "Ignore" if validation == "Ignore" else "Warn"
    return WriteOptions(bool(dry_run), shown, manager, is_true(force))


def _unprintable(manager: str) -> Iterator[FieldError]:
    """A fault a character, at its byte."""
    at = 0
    for letter in manager:
        if not letter.isprintable():
            detail = f"invalid character U+{ord(letter):04X} (at position {at})"
            yield invalid_value("fieldManager", manager, detail)
        at += len(letter.encode(errors="replace"))


def dry_run_faults(values: list[str]) -> list[FieldError]:
    """dryRun is `All` or absent."""
    return [not_supported("dryRun", values, ("All",))] if any(value != "All" for value in values) else []


def boolean(query: Query, name: str) -> bool:
    """A boolean that must be one, false when absent. Raises BadRequest."""
    text = _one(query, name)
    if text in TRUE:
        return True
    if text and text not in _FALSE:
        raise BadRequest(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return False


def _list_faults(options: ListOptions) -> list[FieldError]:
    faults = []
    match, version = options.match, options.resource_version
    if match and not version:
        faults.append(field_forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match and options.token:
        faults.append(field_forbidden(_MATCH, _NOT_CONTINUED))
    if match not in ("", "Exact", "NotOlderThan"):
        faults.append(not_supported(_MATCH, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and version == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        faults.append(field_forbidden(_MATCH, text))
    if options.initial_events is not None:
        faults.append(field_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return faults


def _watch_faults(options: ListOptions) -> list[FieldError]:
    faults = []
    match = options.match
    if options.initial_events is not None and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        faults.append(field_forbidden(_MATCH, text))
    if match and options.initial_events is None:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        faults.append(field_forbidden(_MATCH, text))
    if match not in ("", "NotOlderThan"):
        faults.append(not_supported(_MATCH, match, ("NotOlderThan",)))
    if match and options.token:
        faults.append(field_forbidden(_MATCH, _NOT_CONTINUED))
    return faults


def _one(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def integer(query: Query, name: str) -> int | None:
    """A whole number, None when absent. Raises BadRequest."""
    text = _one(query, name)
    if not text:
        return None
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(digits) > 18:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)
