"""Impersonation: Impersonate-User and its fellows, for whoever may `impersonate`. pipeline.py calls it after authn."""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

from pybernetes.api import names
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import ANONYMOUS, User
from pybernetes.apiserver.authn.chain import AUTHENTICATED
from pybernetes.apiserver.extension import Attributes
from pybernetes.wire.http import Request

_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_GROUP = "authentication.k8s.io"
_UNAUTHENTICATED = "system:unauthenticated"


def impersonated(request: Request, user: User, authorize: Callable[[Attributes], None]) -> User:
    """Who the request is to be judged as. Raises Forbidden, BadRequest."""
    headers = request.headers
    if not headers.begins("impersonate-"):
        return user
    name, uid = headers.get("impersonate-user"), headers.get("impersonate-uid")
    groups = tuple(headers.all("impersonate-group"))
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers:
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"requested {_shown(groups, extra, uid)} without impersonating a user")
        return user
    account = _account(name)
    if account:
        namespace, own = account
        authorize(Attributes(user, "impersonate", resource="serviceaccounts", namespace=namespace, name=own))
    else:
        authorize(Attributes(user, "impersonate", resource="users", name=name))
    for group in groups:
        authorize(Attributes(user, "impersonate", resource="groups", name=group))
    for key, values in extra.items():
        for value in values:
            about = Attributes(user, "impersonate", "", _GROUP, "v1", "userextras", key, name=value)
            authorize(about)
    if uid:
        authorize(Attributes(user, "impersonate", "", _GROUP, "v1", "uids", name=uid))
    if account:
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    return User(name, uid, _with_everybody(name, groups), extra)


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name, where the user is a ServiceAccount."""
    namespace, colon, own = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not colon:
        return None
    return None if names.dns1123_label(namespace) or names.dns1123_subdomain(own) else (namespace, own)


def _with_everybody(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """With the group of all who are known, or of all who are not."""
    if name == ANONYMOUS.name:
        return groups if _UNAUTHENTICATED in groups else (*groups, _UNAUTHENTICATED)
    return groups if AUTHENTICATED in groups or _UNAUTHENTICATED in groups else (*groups, AUTHENTICATED)


def _shown(groups: Iterable[str], extra: Mapping[str, Iterable[str]], uid: str) -> str:
    """The requests as Go prints a list of ObjectReferences: kind, namespace, name, uid, version, revision, path."""
    asked = [f"{{Group  {group}    }}" for group in groups]
    asked += [f"{{UserExtra  {value}  {_GROUP}/v1  {key}}}" for key, values in extra.items() for value in values]
    if uid:
        asked.append(f"{{UID  {uid}  {_GROUP}/v1  }}")
    return f"[{' '.join(asked)}]"
