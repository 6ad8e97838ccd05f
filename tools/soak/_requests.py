"""Requests by chance for the API server's soak: good ones, and every way of being wrong that one can think of."""

import random
import string
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from pybernetes.api import schema
from pybernetes.api.schema import Field
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.wire.http import Headers, Request

NAMES = ("a", "b", "c-1", "d.e")
ODD_NAMES = ("", "A", "-", "a" * 300, "ä", "a/b", "..", "%", "a b", "\x00", "kubernetes")
NAMESPACES = ("default", "kube-system", "none")
ODD: Sequence[Any] = (
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 1.5, 1e308, "", "x", "0", "-1", "10Ki", "1e999", "a" * 5000, "\x00", "ä☃𝄞",
    "2026-01-01T00:00:00Z", "9999-99-99T99:99:99Z", [], [None], [[]], {}, {"": ""}, {"a": {"b": {"c": None}}},
)  # fmt: skip
TYPES = (
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "", ";", "application/json;q=x",
)  # fmt: skip
ACCEPTS = (
    "application/json", "*/*", "", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html", ";;;",
    "application/json;as=Table;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;as=Table;g=x;v=y",
)  # fmt: skip
PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml", "application/json",
)  # fmt: skip
QUERIES: dict[str, Sequence[str]] = {
    "limit": ("0", "1", "2", "-1", "x", "99999999999999999999"),
    "continue": ("", "x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "%%%"),
    "resourceVersion": ("", "0", "1", "99999999", "-1", "x"),
    "resourceVersionMatch": ("", "Exact", "NotOlderThan", "x"),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a in (", "=", "a=b,,c", "ä=1", "a>1"),
    "fieldSelector": ("metadata.name=a", "spec.nodeName=x", "x=y", "metadata.name", "=", "status.phase!=Running"),
    "dryRun": ("All", "x", ""),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "fieldManager": ("me", "a" * 200, "\x01", ""),
    "force": ("true", "x"),
    "propagationPolicy": ("Background", "Foreground", "Orphan", "x"),
    "gracePeriodSeconds": ("0", "-1", "x", "30"),
    "orphanDependents": ("true", "x"),
    "timeoutSeconds": ("1", "-1", "x"),
    "timeout": ("1s", "x", "-1s", "0"),
    "pretty": ("true", "x"),
    "sendInitialEvents": ("true", "x"),
    "allowWatchBookmarks": ("true", "x"),
    "unknown": ("",),
}
NODE_STREAMS = ("log", "exec", "attach", "portforward", "proxy")
"""Subresources that a kubelet or Pod answers, of which there is none."""


class Requests:
    """A source of requests to one server. Everything comes from `rng`."""

    def __init__(self, rng: random.Random, catalog: Catalog) -> None:
        self._rng = rng
        self._served = list(catalog)

    def next(self) -> Request:
        """The next request."""
        rng = self._rng
        if rng.random() < 0.05:
            return Request(rng.choice(("GET", "POST", "HEAD", "BREW")), self._strange_path(), Headers(), b"{")
        served = rng.choice(self._served)
        method = rng.choice(("POST", "POST", "POST", "PUT", "PATCH", "PATCH", "GET", "GET", "DELETE"))
        namespace = rng.choice(NAMESPACES) if rng.random() < 0.3 else "default"
        name = rng.choice(ODD_NAMES) if rng.random() < 0.1 else rng.choice(NAMES)
        target = self._path(served, method, namespace, name)
        body, content_type = self._body(served, method, namespace, name)
        headers = Headers([("content-type", content_type), ("accept", self._usually("application/json", ACCEPTS))])
        return Request(method, target, headers, body)

    def _usually(self, value: str, others: Sequence[str]) -> str:
        return value if self._rng.random() < 0.93 else self._rng.choice(others)

    def _strange_path(self) -> str:
        word = "".join(self._rng.choice(string.printable) for _ in range(self._rng.randrange(30)))
        head = self._rng.choice(
            ("/", "/api/v1/", "/apis/", "/apis/apps/v1/", "/openapi/", "/metrics", "/healthz/", "//")
        )
        return head + quote(word, safe=self._rng.choice(("/", "/?&=", "")))

    def _path(self, served: Served, method: str, namespace: str, name: str) -> str:
        known = served.facts
        path = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
        if known.namespaced and self._rng.random() < 0.97:
            path += f"/namespaces/{quote(namespace, safe='')}"
        path += f"/{known.plural}"
        if method != "POST" and self._rng.random() < 0.85:
            path += f"/{quote(name, safe='')}"
            choices = [sub for sub in (*known.subresources, "status", "none") if sub not in NODE_STREAMS]
            if self._rng.random() < 0.2:
                path += f"/{self._rng.choice(choices)}"
        query = {}
        while self._rng.random() < 0.12:
            key = self._rng.choice(list(QUERIES))
            query[key] = self._rng.choice(QUERIES[key])
        return f"{path}?{urlencode(query)}" if query else path

    def _body(self, served: Served, method: str, namespace: str, name: str) -> tuple[bytes, str]:
        rng = self._rng
        if method in ("GET", "DELETE") and rng.random() < 0.8:
            return b"", ""
        content_type = "application/json"
        body: Any
        if method == "PATCH":
            content_type = rng.choice(PATCHES)
            body = (
                self._json_patch() if content_type == PATCHES[0] else self._object(served, namespace, name, sparse=True)
            )
        elif method == "DELETE":
            body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": rng.choice(("Orphan", "x", 1))}
        else:
            body = self._object(served, namespace, name)
        while rng.random() < 0.15:
            body = self._spoiled(body)
        data = orjson.dumps(_writable(body))
        if rng.random() < 0.03:
            data = data[: rng.randrange(len(data) + 1)] + rng.randbytes(rng.randrange(5))
        return data, self._usually(content_type, (*TYPES, *PATCHES))

    def _json_patch(self) -> Any:
        paths = (
            "/metadata/labels",
            "/metadata/labels/a",
            "/spec",
            "/spec/replicas",
            "/data/x",
            "/-",
            "",
            "x",
            "/metadata/name",
        )
        operations = ("add", "remove", "replace", "move", "copy", "test", "x")
        rng = self._rng
        return [
            {
                "op": rng.choice(operations),
                "path": rng.choice(paths),
                "from": rng.choice(paths),
                "value": rng.choice(ODD),
            }
            for _ in range(rng.randrange(4))
        ]

    def _object(self, served: Served, namespace: str, name: str, *, sparse: bool = False) -> dict[str, Any]:
        known = served.facts
        rng = self._rng
        made: dict[str, Any] = {} if sparse and rng.random() < 0.5 else _example(known.plural)
        if rng.random() < 0.3:
            type_name = schema.type_name(known.gvk)
            if type_name is not None:
                made |= self._typed(type_name, 3)
        metadata = {"name": name, "labels": {"a": rng.choice(("b", "c"))}}
        if known.namespaced:
            metadata["namespace"] = namespace
        if rng.random() < 0.1:
            metadata["resourceVersion"] = rng.choice(("1", "x", "999999"))
        if rng.random() < 0.1:
            metadata["finalizers"] = rng.choice((["example.com/x"], ["x"], ["orphan"]))
        api_version = f"{known.group}/{known.version}" if known.group else known.version
        return {"apiVersion": api_version, "kind": known.kind, **made, "metadata": metadata}

    def _typed(self, type_name: str, depth: int) -> dict[str, Any]:
        fields = list(schema.get(type_name).fields.values())
        chosen = self._rng.sample(fields, min(len(fields), self._rng.randrange(1, 5)))
        return {field.name: self._value(field, depth) for field in chosen if field.name not in ("metadata", "kind")}

    def _value(self, field: Field, depth: int) -> Any:
        rng = self._rng
        scalars: dict[str, Callable[[], Any]] = {
            "string": lambda: rng.choice(("", "a", "x" * 70, "TCP", "Always", "true", "a.b/c")),
            "int32": lambda: rng.choice((0, 1, -1, 80, 65536, 2**31 - 1)),
            "int64": lambda: rng.choice((0, 1, -1, 2**63 - 1)),
            "double": lambda: rng.choice((0, 0.5)),
            "bool": lambda: rng.random() < 0.5,
            "bytes": lambda: rng.choice(("", "YQ==", "?")),
            "quantity": lambda: rng.choice(("1", "100m", "1Gi", "-1", "x", 3)),
            "intorstring": lambda: rng.choice((1, "http", "50%", -1)),
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
        return items if field.kind == "list" else {rng.choice(("a", "", "b/c")): item for item in items}

    def _spoiled(self, body: Any) -> Any:
        """Something deep inside becomes something else."""
        rng = self._rng
        if isinstance(body, dict) and body and rng.random() < 0.85:
            key = rng.choice(list(body))
            return {**body, key: self._spoiled(body[key])}
        if isinstance(body, list) and body and rng.random() < 0.85:
            index = rng.randrange(len(body))
            return [*body[:index], self._spoiled(body[index]), *body[index + 1 :]]
        return rng.choice(ODD)


def _writable(value: Any) -> Any:
    """orjson writes no integers beyond 64 bits; such numbers are sent as floats."""
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _example(plural: str) -> dict[str, Any]:
    """A good object of some kinds, without metadata."""
    containers = {"containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": containers}
    workload = {"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}}
    role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "view"}
    known: dict[str, dict[str, Any]] = {
        "pods": {"spec": containers},
        "deployments": workload,
        "replicasets": workload,
        "replicationcontrollers": {"spec": {"replicas": 1, "selector": {"app": "a"}, "template": template}},
        "services": {"spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}},
        "configmaps": {"data": {"x": "y"}},
        "secrets": {"data": {"x": "eQ=="}},
        "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
        "endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
        "leases": {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 10}},
        "roles": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "clusterroles": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "rolebindings": {"roleRef": role, "subjects": [{"kind": "User", "name": "u"}]},
        "clusterrolebindings": {"roleRef": role, "subjects": [{"kind": "User", "name": "u"}]},
        "subjectaccessreviews": {"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}},
        "tokenreviews": {"spec": {"token": "t"}},
        "events": {"involvedObject": {"namespace": "default"}, "reason": "r"},
    }
    return known.get(plural, {})
