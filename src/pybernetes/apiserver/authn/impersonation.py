"""Impersonation: Impersonate-User and its fellows, for whoever may `impersonate`. pipeline.py calls it after authn."""

from collections.abc import Callable
from urllib.parse import unquote

from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import User
from pybernetes.apiserver.authn.chain import AUTHENTICATED
from pybernetes.apiserver.extension import Attributes
from pybernetes.wire.http import Request

_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


def impersonated(request: Request, user: User, authorize: Callable[[Attributes], None]) -> User:
    """Who the request is to be judged as. Raises Forbidden, BadRequest."""
    headers = request.headers
    name, groups, uid = (
        headers.get("impersonate-user"),
        headers.all("impersonate-group"),
        headers.get("impersonate-uid"),
    )
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers:
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    if not name:
        if groups or uid or extra:
            raise BadRequest("requested impersonation of groups, uid or extra without impersonating a user")
        return user
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        authorize(Attributes(user, "impersonate", resource="serviceaccounts", namespace=namespace, name=account))
        groups = groups or ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        authorize(Attributes(user, "impersonate", resource="users", name=name))
    for group in headers.all("impersonate-group"):
        authorize(Attributes(user, "impersonate", resource="groups", name=group))
    review = "authentication.k8s.io"
    if uid:
        authorize(Attributes(user, "impersonate", group=review, version="v1", resource="uids", name=uid))
    for key, values in extra.items():
        for value in values:
            authorize(
                Attributes(
                    user, "impersonate", group=review, version="v1", resource="userextras", subresource=key, name=value
                )
            )
    if name == "system:anonymous":
        groups = groups or ["system:unauthenticated"]
    elif AUTHENTICATED not in groups:
        groups = [*groups, AUTHENTICATED]
    return User(name, uid, tuple(groups), extra)
