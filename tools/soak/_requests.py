"""Requests by chance for the API server's soak: good ones, and every way of being wrong that one can think of."""

import random
import string
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from tests.examples_of_kinds import example

from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import ApiError
from pybernetes.api.schema import Field
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.wire.codecs import protobuf
from pybernetes.wire.http import Headers, Request
from tools.soak._damage import ODD, as_json, as_yaml, directed, spoiled, spoiled_bytes

NAMES = ("a", "b", "c-1", "d.e")
ODD_NAMES = ("", "A", "-", "a" * 300, "ä", "a/b", "..", "%", "a b", "\x00", "kubernetes")
NAMESPACES = ("default", "kube-system", "none")
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
TYPES = (
    JSON, YAML, PROTOBUF, "text/plain", "", ";", "application/json;q=x", "application/json; charset=utf-16", "APPLICATION/JSON",
    "application/x-www-form-urlencoded", "multipart/form-data", "application/json, application/yaml", "application/cbor",
)  # fmt: skip
_AS = "g=meta.k8s.io;v=v1"
ACCEPTS = (
    JSON, "*/*", "", YAML, PROTOBUF, "text/html", ";;;", f"{JSON};as=Table;{_AS}", f"{JSON};as=PartialObjectMetadataList;{_AS}",
    f"{JSON};as=PartialObjectMetadata;{_AS}", f"{JSON};as=Table;g=x;v=y", f"{JSON};q=0.1,{PROTOBUF};q=0.9", f"{JSON};q=x",
    f"{PROTOBUF};as=PartialObjectMetadata;{_AS}", f"{YAML};as=PartialObjectMetadata;{_AS}", f"{PROTOBUF};as=Table;{_AS}",
    f"{JSON};as=Table;g=meta.k8s.io;v=v1beta1", "application/*", ",,,", "a" * 500, f"{JSON};q=0", f"{JSON};q=nan", f"{JSON};as=",
)  # fmt: skip
PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml", JSON,
)  # fmt: skip
_OFTEN = (*PATCHES[:4], *PATCHES[:4], *PATCHES[:4], JSON)
_NUMBERS = (
    "0",
    "1",
    "2",
    "-1",
    "x",
    "99999999999999999999",
    "1.5",
    "+1",
    " 1",
    "",
    "0x1",
    "\u0661",
    "9223372036854775807",
)
_BOOLEANS = ("true", "false", "1", "x", "")
QUERIES: dict[str, Sequence[str]] = {
    "limit": _NUMBERS,
    "continue": ("", "x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "%%%", "=" * 200, "bnVsbA", "W10", "MQ"),
    "resourceVersion": ("", "0", "1", "99999999", "-1", "x", "18446744073709551615", "99999999999999999999", "1.0", "\u0661"),
    "resourceVersionMatch": ("", "Exact", "NotOlderThan", "x"),
    "labelSelector": (
        "a=b", "a in (b,c)", "!a", "a in (", "=", "a=b,,c", "ä=1", "a>1", "a>x", "a=" + "b" * 100, "a in ()",
        "(" * 500, ",", "!!a", "a notin",
        ",".join(["a=b"] * 100), "a\x00=b", "a=b=c", "in in (in)", "notin",
    ),
    "fieldSelector": (
        "metadata.name=a", "spec.nodeName=x", "x=y", "metadata.name", "=", "status.phase!=Running",
        "metadata.name=a\\", "metadata.name=\\,",
        "metadata.namespace=default", "metadata.name==a", ",".join(["metadata.name=a"] * 50), "metadata.name!=a,metadata.name=a",
    ),
    "dryRun": ("All", "All", "x", ""),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "fieldManager": ("me", "a" * 200, "\x01", "", "ä" * 64, "\ud7ff"),
    "force": _BOOLEANS,
    "propagationPolicy": ("Background", "Foreground", "Orphan", "x"),
    "gracePeriodSeconds": _NUMBERS,
    "orphanDependents": _BOOLEANS,
    "timeoutSeconds": _NUMBERS,
    "timeout": ("1s", "x", "-1s", "0", "1h1h", "99999999999h", "1e9s", ".s", "\u0661s", "1.5.5s"),
    "pretty": _BOOLEANS,
    "sendInitialEvents": _BOOLEANS,
    "allowWatchBookmarks": _BOOLEANS,
    "watch": _BOOLEANS,
    "includeObject": ("None", "Object", "x"),
    "ignoreStoreReadErrorWithClusterBreakingPotential": _BOOLEANS,
    "command": ("ls", "\x00"), "container": ("x", "web"), "stdin": _BOOLEANS, "ports": _NUMBERS, "path": ("..", "/x", "%2e"),
    "follow": _BOOLEANS, "tailLines": _NUMBERS, "sinceSeconds": _NUMBERS, "sinceTime": ("x", "2026-01-01T00:00:00Z"),
    "limitBytes": _NUMBERS,
    "unknown": ("",),
}  # fmt: skip
_HEADERS: Sequence[tuple[str, str]] = (
    ("impersonate-user", "ann"), ("impersonate-user", ""), ("impersonate-group", "g"), ("impersonate-extra-%zz", "x"),
    ("impersonate-uid", "1"), ("authorization", "Bearer x"), ("authorization", "Bearer " + "a.b.c"), ("authorization", "Basic ?"),
    ("user-agent", "curl/8"), ("if-none-match", '"x"'), ("accept-encoding", "gzip;q=x"), ("content-encoding",
    "gzip"), ("range", "bytes=0-"),
    ("upgrade", "websocket"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9"), ("sec-websocket-key", "x"),
    ("x-forwarded-for", "\x01"), ("origin", "null"), ("kubectl-command", "x"), ("connection", "upgrade"), ("cookie", "a" * 9000),
)  # fmt: skip


class Requests:
    """A source of requests to one server. Everything comes from `rng`."""

    def __init__(self, rng: random.Random, catalog: Catalog) -> None:
        self._rng = rng
        self._catalog = catalog
        self.tokens = ["x"]
        """Continue tokens that lists have answered."""
        self.bodies: list[dict[str, Any]] = []
        """Objects that the server has answered."""

    def next(self) -> Request:
        """The next request."""
        rng = self._rng
        if rng.random() < 0.05:
            return Request(rng.choice(("GET", "POST", "HEAD", "BREW")), self._strange_path(), Headers(), b"{")
        served = rng.choice(list(self._catalog))
        method = rng.choice(("POST", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH", "PATCH", "GET", "GET", "DELETE"))
        namespace = rng.choice(NAMESPACES) if rng.random() < 0.1 else "default"
        name = rng.choice(ODD_NAMES) if rng.random() < 0.05 else self._name(served)
        target = self._path(served, method, namespace, name)
        body, content_type = self._body(served, method, namespace, name)
        items = [("content-type", content_type), ("accept", self._usually(JSON, ACCEPTS))]
        while rng.random() < 0.02:
            items.append(rng.choice(_HEADERS))
        return Request(method, target, Headers(items), body)

    def _name(self, served: Served) -> str:
        """One that the kind can have; some kinds prescribe them."""
        fixed = _example(served).get("metadata", {}).get("name", "example")
        return fixed if fixed != "example" and self._rng.random() < 0.8 else self._rng.choice(NAMES)

    def _usually(self, value: str, others: Sequence[str]) -> str:
        return value if self._rng.random() < 0.9 else self._rng.choice(others)

    def _strange_path(self) -> str:
        word = "".join(self._rng.choice(string.printable) for _ in range(self._rng.randrange(30)))
        head = self._rng.choice(
            ("/", "/api/v1/", "/apis/", "/apis/apps/v1/", "/openapi/", "/metrics", "/healthz/", "//", "/api/v1/watch/",
             "/openapi/v3/", "/api/v1/namespaces/default/", "/.well-known/", "/openid/", "/version/", "/readyz/", "/logs/")
        )  # fmt: skip
        return head + quote(word, safe=self._rng.choice(("/", "/?&=", "")))

    def _path(self, served: Served, method: str, namespace: str, name: str) -> str:
        known, rng = served.facts, self._rng
        path = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
        if rng.random() < 0.02:
            path += "/watch"
        if known.namespaced and rng.random() < 0.97:
            path += f"/namespaces/{quote(namespace, safe='')}"
        path += f"/{known.plural}"
        if method != "POST" and rng.random() < 0.85:
            path += f"/{quote(name, safe='')}"
            if rng.random() < 0.25:
                path += f"/{rng.choice([*known.subresources, 'status', 'none'])}"
        elif method == "POST" and known.subresources and rng.random() < 0.1:
            path += f"/{quote(name, safe='')}/{rng.choice(list(known.subresources))}"
        query = {}
        while rng.random() < 0.2:
            key = rng.choice(list(QUERIES))
            query[key] = rng.choice(QUERIES[key])
        if rng.random() < 0.1:
            query["dryRun"] = "All"
        if method == "GET" and rng.random() < 0.1:
            query |= {"continue": self._token(), "limit": "1"}
        if method == "PATCH" and "fieldManager" not in query and rng.random() < 0.8:
            query["fieldManager"] = rng.choice(("me", "you"))
        return f"{path}?{urlencode(query, errors='replace')}" if query else path

    def _token(self) -> str:
        token = self._rng.choice(self.tokens)
        if self._rng.random() < 0.5:
            return token
        return spoiled_bytes(self._rng, token.encode()).decode(errors="replace")[:3000]

    def _body(self, served: Served, method: str, namespace: str, name: str) -> tuple[bytes, str]:
        rng = self._rng
        if method in ("GET", "DELETE") and rng.random() < 0.8:
            return b"", ""
        kind = self._usually(JSON, (JSON, YAML, PROTOBUF))
        body: Any
        if method == "PATCH":
            kind = rng.choice(_OFTEN)
            sparse = rng.random() < 0.6
            body = self._json_patch() if kind == PATCHES[0] else self._object(served, namespace, name, sparse=sparse)
            while kind == PATCHES[2] and rng.random() < 0.3:
                body = directed(rng, body)
        elif method == "DELETE":
            body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": rng.choice(("Orphan", "x", 1))}
            while rng.random() < 0.5:
                body[rng.choice(("preconditions", "dryRun", "gracePeriodSeconds", "orphanDependents", "x"))] = (
                    rng.choice(ODD)
                )
        else:
            body = self._object(served, namespace, name)
        while rng.random() < 0.3:
            body = spoiled(rng, body)
        data = self._encoded(kind, body, served)
        if rng.random() < (0.5 if kind == PROTOBUF else 0.04):
            data = spoiled_bytes(rng, data)
        return data, kind if rng.random() < 0.95 else rng.choice((*TYPES, *PATCHES))

    def _encoded(self, kind: str, body: Any, served: Served) -> bytes:
        if kind in (YAML, PATCHES[3]) and self._rng.random() < 0.5:
            return as_yaml(body)
        if kind == PROTOBUF and served.form.type_name and protobuf.supported(served.form.type_name):
            try:
                return protobuf.encode_object(canonicalize(body, served.form.type_name).object, served.form.type_name)
            except ApiError:
                return as_json(body)
        return as_json(body)

    def _json_patch(self) -> Any:
        paths = (
            "/metadata/labels", "/metadata/labels/a", "/spec", "/spec/replicas", "/data/x", "/-", "", "x", "/metadata/name",
            "/metadata", "/metadata/managedFields", "/metadata/managedFields/0", "/metadata/finalizers/-", "/metadata/labels/a~1b",
            "/spec/template/spec/containers/0", "/spec/template/spec/containers/-1", "/spec/containers/0/image", "/status", "/~2", "/kind",
            "/metadata/ownerReferences", "/metadata/annotations", "/spec/ports/99999999999999999999", "/rules/0",
            "/metadata/creationTimestamp",
        )  # fmt: skip
        operations = ("add", "remove", "replace", "move", "copy", "test", "x")
        rng = self._rng
        made: Any = [
            {
                "op": rng.choice(operations),
                "path": rng.choice(paths),
                "from": rng.choice(paths),
                "value": rng.choice(ODD),
            }
            for _ in range(rng.randrange(4))
        ]
        if rng.random() < 0.02:
            made = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}] * rng.choice((5000, 10001))
        elif rng.random() < 0.03:  # doubling
            made = [
                {"op": "copy", "from": rng.choice(("", "/metadata")), "path": "/metadata/annotations"}
            ] * rng.choice((3, 40))
        return made

    def _object(self, served: Served, namespace: str, name: str, *, sparse: bool = False) -> dict[str, Any]:
        known = served.facts
        rng = self._rng
        made: dict[str, Any] = {} if sparse and rng.random() < 0.8 else _example(served)
        known_ones = [body for body in self.bodies if body.get("kind") == known.kind] if rng.random() < 0.3 else []
        if known_ones:
            made = rng.choice(known_ones)
        if rng.random() < 0.25:
            type_name = schema.type_name(known.gvk)
            if type_name is not None:
                made = {**made, **self._typed(type_name, 4)}
        metadata = {**made.get("metadata", {}), "name": name, "labels": {"a": rng.choice(("b", "c"))}}
        if known.namespaced:
            metadata["namespace"] = namespace
        if rng.random() < 0.7:
            metadata.pop("resourceVersion", None)
            metadata.pop("uid", None)
        for chance, key, values in _METADATA:
            if rng.random() < chance:
                metadata[key] = rng.choice(values)
        if sparse and rng.random() < 0.5:
            metadata.pop("managedFields", None)
        api_version = f"{known.group}/{known.version}" if known.group else known.version
        return {"apiVersion": api_version, "kind": known.kind, **made, "metadata": metadata}

    def _typed(self, type_name: str, depth: int) -> dict[str, Any]:
        fields = list(schema.get(type_name).fields.values())
        chosen = self._rng.sample(fields, min(len(fields), self._rng.randrange(1, 5)))
        skipped = ("metadata", "kind", "apiVersion")
        return {field.name: self._value(field, depth) for field in chosen if depth < 4 or field.name not in skipped}

    def _value(self, field: Field, depth: int) -> Any:
        rng = self._rng
        scalars: dict[str, Callable[[], Any]] = {
            "string": lambda: rng.choice(
                ("", "a", "x" * 70, "TCP", "Always", "true", "a.b/c", "10.0.0.1", "IPv4", "Delete", "*")
            ),
            "int32": lambda: rng.choice((0, 1, -1, 80, 65536, 2**31 - 1, -(2**31))),
            "int64": lambda: rng.choice((0, 1, -1, 2**63 - 1, -(2**63))),
            "double": lambda: rng.choice((0, 0.5, 1e308, -1)),
            "bool": lambda: rng.random() < 0.5,
            "bytes": lambda: rng.choice(("", "YQ==", "?")),
            "quantity": lambda: rng.choice(("1", "100m", "1Gi", "-1", "x", 3, "1e500", "9" * 40, "0.000000000001")),
            "intorstring": lambda: rng.choice((1, "http", "50%", -1, "", "150%")),
            "time": lambda: rng.choice((None, "2026-01-01T00:00:00Z", "x")),
            "microtime": lambda: rng.choice((None, "2026-01-01T00:00:00.000000Z", "x")),
            "raw": lambda: rng.choice(ODD),
        }
        if field.kind in scalars:
            return scalars[field.kind]()
        if depth == 0:
            return rng.choice(({}, None, []))
        if field.kind == "object":
            return self._typed(field.ref, depth - 1)
        assert field.item is not None
        items = [self._value(field.item, depth - 1) for _ in range(rng.randrange(3))]
        return items if field.kind == "list" else {rng.choice(("a", "", "b/c", "cpu")): item for item in items}


_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u", "controller": True}
_METADATA: Sequence[tuple[float, str, Sequence[Any]]] = (
    (0.05, "resourceVersion", ("1", "x", "999999", "-1", "", 0)),
    (0.05, "finalizers", (["example.com/x"], ["x"], ["orphan"], ["foregroundDeletion"], [""], ["kubernetes"])),
    (0.05, "ownerReferences", ([_OWNER], [_OWNER, _OWNER], [{**_OWNER, "apiVersion": "v1/v1/v1"}], [{}], [{**_OWNER, "kind": "Event"}])),
    (0.05, "annotations", ({"a": "b"}, {"": ""}, {"A/b": "c"}, {"a": "x" * 262145}, {"a/" + "b" * 64: ""},
    {"kubectl.kubernetes.io/last-applied-configuration": "{"})),
    (0.03, "generateName", ("a-", "A", "", "x" * 300)),
    (0.02, "name", ("", None)),
    (0.03, "uid", ("u", "", 1)),
    (0.03, "managedFields", ([], [{}], [{"manager": "x", "operation": "Apply", "fieldsType": "FieldsV1",
    "fieldsV1": {"f:a": []}}], [{"operation": "x"}], [{"manager": "x", "operation": "Update", "apiVersion": "v1",
    "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "k:{": {}, "v:": {}, "i:x": {}, "q": {}}}}}])),
    (0.03, "deletionTimestamp", ("2026-01-01T00:00:00Z", None)),
    (0.03, "deletionGracePeriodSeconds", (0, -1, 30)),
    (0.03, "creationTimestamp", ("2026-01-01T00:00:00Z", None, "x")),
    (0.03, "generation", (0, -1, 2**63 - 1)),
)  # fmt: skip


def _example(served: Served) -> dict[str, Any]:
    """A good object of the kind; of kinds that are not stored, what can be asked."""
    known = served.facts
    try:
        return example(known.group, known.version, known.plural)
    except (KeyError, AssertionError):
        pass
    rules = {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    asked = {
        "subjectaccessreviews": rules,
        "localsubjectaccessreviews": rules | {"resourceAttributes": {"namespace": "default"}},
    }
    if known.plural == "tokenreviews":
        return {"spec": {"token": "t"}}
    if known.plural == "selfsubjectaccessreviews":
        return {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    if known.plural == "selfsubjectrulesreviews":
        return {"spec": {"namespace": "default"}}
    if not known.group.endswith("k8s.io") and "." in known.group:  # a custom resource
        return {"spec": {"a": "b", "n": 1, "list": [{"name": "x"}], "size": "1"}}
    return {"spec": asked[known.plural]} if known.plural in asked else {}
