"""Indexes: the paths of OpenAPI that are no resources: the lists of groups and versions, /version, the keys of tokens."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.openapi.schemas import META, VERSION_INFO, Schemas

_FORMS = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_FIXED: dict[str, tuple[str, str, str, str | None]] = {
    "api": ("/api/", "getCoreAPIVersions", "core", META + "APIVersions"),
    "apis": ("/apis/", "getAPIVersions", "apis", META + "APIGroupList"),
    "version": ("/version/", "getCodeVersion", "version", VERSION_INFO),
    "openid/v1/jwks": ("/openid/v1/jwks", "getServiceAccountIssuerOpenIDKeyset", "openid", None),
    ".well-known/openid-configuration": (
        "/.well-known/openid-configuration",
        "getServiceAccountIssuerOpenIDConfiguration",
        "WellKnown",
        None,
    ),
}
PATHS = tuple(_FIXED)
"""Those that every server has, as the index of v3 names them."""
OF_CUSTOM_RESOURCES = tuple(
    META + name for name in ("ObjectMeta", "ListMeta", "Status", "Patch", "DeleteOptions", "WatchEvent")
)
"""What the definitions of custom resources refer to."""


def paths(path: str, writer: Schemas) -> Object:
    """The operations of one document that no resource has: its own list."""
    parts = path.split("/")
    if path in _FIXED:
        where, name, tag, kind = _FIXED[path]
    elif parts[0] == "apis" and len(parts) == 2:
        where, name, tag, kind = f"/{path}/", f"get{_title(parts[1])}APIGroup", _tag(parts[1]), META + "APIGroup"
    else:
        group = parts[1] if len(parts) == 3 else "core"
        version = parts[-1][:1].upper() + parts[-1][1:]
        name = f"get{_title(group)}{version}APIResources"
        where, tag, kind = f"/{path}/", f"{_tag(group)}_{parts[-1]}", META + "APIResourceList"
    shown = writer.reference(kind) if kind else {"type": "string"}
    forms = _FORMS if kind and kind != VERSION_INFO else _FORMS[:1]
    operation: Object = {"description": f"read {where}", "operationId": name, "tags": [tag]}
    answer: Object = {"description": "OK"}
    if writer.v3:
        answer["content"] = {media: {"schema": shown} for media in forms}
    else:
        answer["schema"] = shown
        operation |= {"produces": list(forms), "consumes": list(forms), "schemes": ["https"]}
    operation["responses"] = {"200": answer, "401": {"description": "Unauthorized"}}
    operation.setdefault("parameters", [])
    return {where: {"get": operation}}


def _words(group: str) -> list[str]:
    return group.removesuffix(".k8s.io").split(".")


def _title(group: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in _words(group))


def _tag(group: str) -> str:
    head, *rest = _words(group)
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
