"""Operations: the paths of one served resource with their methods, parameters, bodies and answers. documents.py joins them.

Names of operations are upstream's (`listCoreV1NamespacedPod`): clients are generated from them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from pybernetes.api import schema
from pybernetes.api.objects import GroupVersionKind, Object
from pybernetes.apiserver.applying import MEDIA as APPLY
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.discovery import subresources
from pybernetes.apiserver.media import JSON, PROTOBUF, YAML
from pybernetes.apiserver.openapi.schemas import META, Schemas, gvk_of
from pybernetes.apiserver.patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from pybernetes.apiserver.requestinfo import CONNECTED

_STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY)
_ACTIONS = {
    "get": ("get", "get", "read"),
    "list": ("get", "list", "list"),
    "watch": ("get", "watch", "watch"),
    "create": ("post", "post", "create"),
    "update": ("put", "put", "replace"),
    "patch": ("patch", "patch", "patch"),
    "delete": ("delete", "delete", "delete"),
    "deletecollection": ("delete", "deletecollection", "delete"),
}
"""Verb to method, x-kubernetes-action, and how its operation is called."""
_DRY_RUN = ("dryRun", "string", "All: every step is gone through and nothing is stored.")
_WRITE = (
    _DRY_RUN,
    ("fieldManager", "string", "Who makes this change, as managedFields names them."),
    ("fieldValidation", "string", "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
)
_WATCHED = (
    ("allowWatchBookmarks", "boolean", "Ask for BOOKMARK events."),
    ("continue", "string", "The token of the page before."),
    ("fieldSelector", "string", "Which fields an object must have."),
    ("labelSelector", "string", "Which labels an object must have."),
    ("limit", "integer", "How many objects a page may hold."),
    ("resourceVersion", "string", "The state that is asked for."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Begin a watch with the state as it is."),
    ("timeoutSeconds", "integer", "How long the answer may take."),
)
_LIST = (*_WATCHED, ("watch", "boolean", "Follow the changes instead of listing."))
_DELETE = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds until the object goes."),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete what cannot be read."),
    ("orphanDependents", "boolean", "Whether dependents stay."),
    ("propagationPolicy", "string", "Orphan, Background or Foreground."),
)
_NOT_LISTED = {"allowWatchBookmarks", "watch"}
_PARAMETERS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, ("force", "boolean", "Take over the fields of others (server-side apply).")),
    "delete": _DELETE,
    "deletecollection": (*(p for p in _LIST if p[0] not in _NOT_LISTED), *_DELETE),
    "list": _LIST,
    "watch": _LIST,
}
_NAME = ("name", "string", "Name of the object.")
_NAMESPACE = ("namespace", "string", "Namespace of the object.")
_REST = ("path", "string", "What follows the proxied address.")
_PRETTY = ("pretty", "string", "Indent the answer.")
_SCALARS = {"bool": "boolean", "int32": "integer", "int64": "integer"}


class Kind(Struct, frozen=True):
    """A kind that operations read and write: what its definition is called, and who makes that of a custom one."""

    gvk: GroupVersionKind
    name: str | None
    make: Callable[[], Object] | None = None
    list_name: str | None = None
    list_make: Callable[[], Object] | None = None


class Operations:
    """The paths of one resource."""

    def __init__(self, served: Served, kind: Kind, writer: Schemas) -> None:
        self._served = served
        self._facts = served.facts
        self.kind = kind
        self._writer = writer
        known = served.facts
        self.root = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
        group = known.group.removesuffix(".k8s.io") or "core"
        self._group = "".join(part[:1].upper() + part[1:] for part in group.split("."))
        self._version = known.version[:1].upper() + known.version[1:]
        head, *rest = group.split(".")
        self._tag = head + "".join(part[:1].upper() + part[1:] for part in rest) + f"_{known.version}"

    def paths(self) -> Iterator[tuple[str, Object]]:
        """Path to item."""
        known, root = self._facts, self.root
        spaced = known.namespaced
        collection = f"{root}/namespaces/{{namespace}}/{known.plural}" if spaced else f"{root}/{known.plural}"
        names = (_NAMESPACE,) if spaced else ()
        space = "Namespaced" if spaced else ""
        if spaced and "list" in known.verbs:
            yield f"{root}/{known.plural}", self._item(["list"], (), f"{known.kind}ForAllNamespaces")
        of_many = [verb for verb in known.verbs if verb in ("list", "create", "deletecollection")]
        if of_many:
            yield collection, self._item(of_many, names, space + known.kind)
        of_one = [verb for verb in known.verbs if verb in ("get", "update", "patch", "delete")]
        if of_one:
            yield f"{collection}/{{name}}", self._item(of_one, (_NAME, *names), space + known.kind)
        for name in subresources(self._served):
            yield from self._subresource(f"{collection}/{{name}}/{name}", name, (_NAME, *names), space)
        if "watch" in known.verbs:
            yield from self._watches(names, space)

    def _watches(self, names: tuple[tuple[str, str, str], ...], space: str) -> Iterator[tuple[str, Object]]:
        """The old prefix /watch/, which clients are told not to use."""
        known, root = self._facts, f"{self.root}/watch"
        if space:
            yield f"{root}/{known.plural}", self._watch((), f"{known.kind}ListForAllNamespaces")
            root = f"{root}/namespaces/{{namespace}}"
        yield f"{root}/{known.plural}", self._watch(names, f"{space}{known.kind}List")
        yield f"{root}/{known.plural}/{{name}}", self._watch((_NAME, *names), f"{space}{known.kind}")

    def _watch(self, names: tuple[tuple[str, str, str], ...], name: str) -> Object:
        item = self._item(["watch"], (*_LIST, *names), name)
        item["get"]["parameters"] = []
        item["get"]["description"] += " (deprecated: use the parameter watch with a list)"
        if name.endswith("List") or name.endswith("ForAllNamespaces"):
            item["get"]["x-kubernetes-action"] = "watchlist"
        return item

    def _subresource(
        self, path: str, name: str, names: tuple[tuple[str, str, str], ...], space: str
    ) -> Iterator[tuple[str, Object]]:
        known = self._facts.subresources[name]
        below = f"{space}{self._facts.kind}{name[:1].upper()}{name[1:]}"
        kind = Kind(known.gvk, schema.type_name(known.gvk))
        if known.gvk == self._facts.gvk:
            kind = self.kind
        if name == "log":
            options = self._options(GroupVersionKind("", "v1", "PodLogOptions"))
            yield path, self._item(["get"], (*options, *names), below, kind=kind, text=True)
        elif name in CONNECTED:
            options = self._options(known.gvk)
            yield path, self._connected(list(known.verbs), (*options, *names), below, known.gvk)
            if name == "proxy":
                everything = (*options, *names, _REST)
                yield f"{path}/{{path}}", self._connected(list(known.verbs), everything, f"{below}WithPath", known.gvk)
        else:
            yield path, self._item(list(known.verbs), names, below, kind=kind)

    def _options(self, gvk: GroupVersionKind) -> tuple[tuple[str, str, str], ...]:
        """The query parameters that an options kind stands for."""
        name = schema.type_name(gvk)
        fields = schema.get(name).fields.values() if name else ()
        shown = [field for field in fields if field.name not in ("kind", "apiVersion")]
        return tuple((field.name, _SCALARS.get(field.kind, "string"), f"As in {gvk.kind}.") for field in shown)

    def _item(
        self,
        verbs: list[str],
        shared: tuple[tuple[str, str, str], ...],
        name: str,
        *,
        kind: Kind | None = None,
        text: bool = False,
    ) -> Object:
        item: Object = {}
        for verb in verbs:
            method, action, word = _ACTIONS[verb]
            collection = "Collection" if verb == "deletecollection" else ""
            operation = self._operation(verb, kind or self.kind, text=text)
            item[method] = {
                "description": _said(verb, self._facts.kind),
                "operationId": f"{word}{self._group}{self._version}{collection}{name}",
                **operation,
                "tags": [self._tag],
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": gvk_of((kind or self.kind).gvk),
            }
        item["parameters"] = [self._parameter(*one, shared=True) for one in (*shared, _PRETTY)]
        return item

    def _connected(
        self, verbs: list[str], shared: tuple[tuple[str, str, str], ...], name: str, gvk: GroupVersionKind
    ) -> Object:
        item: Object = {}
        for verb in verbs:
            method = _ACTIONS[verb][0]
            item[method] = {
                "description": f"connect {method.upper()} requests to {name.removeprefix('Namespaced')}",
                "operationId": f"connect{self._group}{self._version}{method.capitalize()}{name}",
                **self._answers({"200": {"type": "string"}}, ("*/*",)),
                "tags": [self._tag],
                "x-kubernetes-action": "connect",
                "x-kubernetes-group-version-kind": gvk_of(gvk),
            }
            if not self._writer.v3:
                item[method]["consumes"] = ["*/*"]
        item["parameters"] = [self._parameter(*one, shared=True) for one in shared]
        return item

    def _operation(self, verb: str, kind: Kind, *, text: bool) -> Object:
        writer = self._writer
        shown = writer.reference(kind.name, kind.make) if kind.name else {"type": "object"}
        if text:
            shown = {"type": "string"}
        elif verb == "list":
            listed, make = kind.list_name, kind.list_make
            if listed is None:
                gvk = kind.gvk
                listed = schema.type_name(GroupVersionKind(gvk.group, gvk.version, f"{gvk.kind}List"))
            shown = writer.reference(listed, make) if listed else shown
        elif verb == "watch":
            shown = writer.reference(META + "WatchEvent")
        elif verb in ("delete", "deletecollection"):
            shown = writer.reference(META + "Status")
        forms = (JSON, PROTOBUF, YAML) if kind.make is None else (JSON, YAML)
        if verb in ("list", "watch"):
            forms = (*forms, *(s for s in _STREAMS if kind.make is None or "protobuf" not in s))
        codes = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201")}
        codes["delete"] = ("200", "202")
        operation = self._answers({code: shown for code in codes.get(verb, ("200",))}, forms)
        parameters = [self._parameter(*one) for one in _PARAMETERS.get(verb, ())]
        body = self._body(verb, shown)
        patches = _PATCHES if kind.make is not None else (*_PATCHES, STRATEGIC_PATCH)
        accepted = patches if verb == "patch" else ("*/*",)
        if not writer.v3:
            operation["consumes"] = list(accepted)
            if body is not None:
                parameters.append(
                    {"name": "body", "in": "body", "schema": body, **({"required": True} if _needed(verb) else {})}
                )
        elif body is not None:
            operation["requestBody"] = {"content": {media: {"schema": body} for media in accepted}}
            if _needed(verb):
                operation["requestBody"]["required"] = True
        return {"parameters": parameters, **operation}

    def _body(self, verb: str, shown: Object) -> Object | None:
        if verb == "patch":
            return self._writer.reference(META + "Patch")
        if verb in ("delete", "deletecollection"):
            return self._writer.reference(META + "DeleteOptions")
        return shown if verb in ("create", "update") else None

    def _answers(self, shown: dict[str, Object], forms: tuple[str, ...]) -> Object:
        texts = {"200": "OK", "201": "Created", "202": "Accepted"}
        responses: dict[str, Any] = {}
        for code, what in shown.items():
            content = {"content": {media: {"schema": what} for media in forms}} if self._writer.v3 else {"schema": what}
            responses[code] = {"description": texts[code], **content}
        responses["401"] = {"description": "Unauthorized"}
        return {"responses": responses} if self._writer.v3 else {"responses": responses, "produces": list(forms)}

    def _parameter(self, name: str, kind: str, text: str, *, shared: bool = False) -> Object:
        place = "path" if shared and f"{{{name}}}" in _IN_PATHS else "query"
        found: Object = {"name": name, "in": place, "description": text}
        if place == "path":
            found["required"] = True
        shown: Object = {"type": kind, "uniqueItems": True}
        return {**found, "schema": shown} if self._writer.v3 else {**found, **shown}


_IN_PATHS = ("{name}", "{namespace}", "{path}")


def _needed(verb: str) -> bool:
    return verb in ("create", "update", "patch")


def _said(verb: str, kind: str) -> str:
    texts = {
        "get": f"read the specified {kind}",
        "list": f"list or watch objects of kind {kind}",
        "watch": f"watch changes to objects of kind {kind}",
        "create": f"create {'an' if kind[0] in 'AEIOU' else 'a'} {kind}",
        "update": f"replace the specified {kind}",
        "patch": f"partially update the specified {kind}",
        "delete": f"delete {'an' if kind[0] in 'AEIOU' else 'a'} {kind}",
        "deletecollection": f"delete collection of {kind}",
    }
    return texts[verb]
