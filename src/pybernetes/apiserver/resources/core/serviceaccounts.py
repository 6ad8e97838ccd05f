"""ServiceAccount: who a Pod is to the API. /token issues bound tokens (KEP-1205)."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import (
    BadRequest,
    NotFound,
    ServiceUnavailable,
    conflict,
    invalid,
    invalid_value,
)
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call, Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.fields import FieldErrors

ACCOUNTS = GroupResource("", "serviceaccounts")
_BOUND = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"

LEGACY_LIFETIME = 3607
"""What admission asks for in Pods' volumes: such tokens live a year for clients that never reread the file."""
EXTENDED_LIFETIME = 365 * 24 * 3600


def _validate_request(body: Object) -> FieldErrors:
    seconds = spec(body)["expirationSeconds"]
    if seconds < 600:
        yield invalid_value("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > 1 << 32:
        yield invalid_value("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def _prepare(obj: Object, old: Object | None) -> None:
    if obj.get("secrets"):
        obj["secrets"] = [{"name": ref["name"]} if ref.get("name") else {} for ref in obj["secrets"]]


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    if _ENFORCE in (obj["metadata"].get("annotations") or {}):
        yield (
            f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; "
            "prefer separate namespaces to isolate access to mounted secrets"
        )


async def _token(call: Call, body: Object) -> Object:
    signer = call.registry.token_signer
    if signer is None:
        raise ServiceUnavailable("the server has no ServiceAccount signing key")
    asked = body["spec"] = body.get("spec") or {}
    asked["expirationSeconds"] = asked.get("expirationSeconds") or 3600
    asked["audiences"] = asked.get("audiences") or list(signer.audiences)
    account = await call.registry.get(ACCOUNTS, call.namespace, call.name)
    errors = list(_validate_request(body))
    if (body.get("metadata") or {}).get("name", call.name) != call.name:
        why = "must match the service account name if specified"
        errors = [invalid_value("metadata.name", body["metadata"]["name"], why)]
    if errors:
        raise invalid("authentication.k8s.io", "TokenRequest", call.name, errors)
    own = {
        "namespace": call.namespace,
        "serviceaccount": {"name": call.name, "uid": account["metadata"]["uid"]},
        **await _bound(call, asked.get("boundObjectRef")),
    }
    clock = call.registry.clock
    now = int(clock.now())
    lifetime = asked["expirationSeconds"]
    if lifetime == LEGACY_LIFETIME and "pod" in own and set(asked["audiences"]) <= set(signer.audiences):
        own["warnafter"] = now + lifetime
        lifetime = EXTENDED_LIFETIME
    token = signer.sign(
        {
            "aud": asked["audiences"],
            "exp": now + lifetime,
            "iat": now,
            "iss": signer.issuer,
            "jti": str(uuid.UUID(int=clock.random.getrandbits(128), version=4)),
            "kubernetes.io": own,
            "nbf": now,
            "sub": f"system:serviceaccount:{call.namespace}:{call.name}",
        }
    )
    meta = {"name": call.name, "namespace": call.namespace, "creationTimestamp": rfc3339(now)}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": meta,
        "spec": asked,
        "status": {"token": token, "expirationTimestamp": rfc3339(now + asked["expirationSeconds"])},
    }


async def _bound(call: Call, ref: Mapping[str, Any] | None) -> Object:
    """The claims about the object whose life the token shares."""
    if not ref:
        return {}
    kind, name, version = ref.get("kind") or "", ref.get("name") or "", ref.get("apiVersion") or ""
    if kind not in _BOUND or "/" in version:
        group, _, short = version.rpartition("/")
        raise BadRequest(f"cannot bind token to object of type {group}/{short}, Kind={kind}")
    resource = GroupResource("", _BOUND[kind])
    bound = await call.registry.get(resource, "" if kind == "Node" else call.namespace, name)
    uid = bound["metadata"]["uid"]
    if ref.get("uid") and ref["uid"] != uid:
        why = (
            f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise conflict(GroupResource("", kind), name, why)
    claims: Object = {kind.lower(): {"name": name, "uid": uid}}
    if kind == "Pod":
        if spec(bound).get("serviceAccountName") != call.name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
        claims.update(await _node_of(call, spec(bound).get("nodeName") or ""))
    return claims


async def _node_of(call: Call, name: str) -> Object:
    if not name:
        return {}
    try:
        node = await call.registry.get(GroupResource("", "nodes"), "", name)
    except NotFound:
        return {"node": {"name": name}}
    return {"node": {"name": name, "uid": node["metadata"]["uid"]}}


RESOURCE = Resource(
    group="",
    plural="serviceaccounts",
    prepare=_prepare,
    warn=_warn,
    generation=False,
    subresources={"token": Subresource(create=_token)},
    columns=(
        Column("Secrets", lambda obj: len(obj.get("secrets") or ()), description="Number of secrets."),
        AGE,
    ),
)
