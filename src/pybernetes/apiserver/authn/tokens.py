"""Tokens that are not JWTs: the token file (--token-auth-file), and bootstrap tokens kept as Secrets in kube-system."""

import csv
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.errors import Unauthorized
from pybernetes.api.objects import GroupResource, User
from pybernetes.apiserver.authn.service_accounts import Look, bearer
from pybernetes.wire.http import Request

_BOOTSTRAP = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_SECRETS = GroupResource("", "secrets")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)


class StaticTokens:
    """Tokens of a file: `token,user,uid,"group1,group2"`."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = users

    async def authenticate(self, request: Request) -> User | None:
        token = bearer(request)
        return self._users.get(token) if token is not None else None


def read_token_file(path: Path) -> dict[str, User]:
    """The users of a token file. Raises OSError, ValueError with the line."""
    users = {}
    for number, row in enumerate(csv.reader(path.read_text().splitlines()), 1):
        if not row:
            continue
        if len(row) < 3 or not row[0]:
            raise ValueError(f'{path}: line {number} must be token,user,uid[,"group,..."]')
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        users[row[0]] = User(row[1], row[2], groups)
    return users


class BootstrapTokens:
    """`id.secret` of a Secret `bootstrap-token-<id>` in kube-system that allows authentication and has not expired."""

    def __init__(self, look: Look, clock: Clock) -> None:
        self._look = look
        self._clock = clock

    async def authenticate(self, request: Request) -> User | None:
        """Raises Unauthorized for a bootstrap token that is unknown, wrong or expired."""
        found = _BOOTSTRAP.fullmatch(bearer(request) or "")
        if found is None:
            return None
        name, secret = found.groups()
        stored = self._look(_SECRETS, "kube-system", f"bootstrap-token-{name}")
        if stored is None or stored.get("type") != "bootstrap.kubernetes.io/token":
            raise Unauthorized()
        if stored["metadata"].get("deletionTimestamp"):
            raise Unauthorized()
        data = {key: b64decode(value).decode(errors="replace") for key, value in (stored.get("data") or {}).items()}
        if data.get("token-id") != name or not hmac.compare_digest(
            data.get("token-secret", "").encode(), secret.encode()
        ):
            raise Unauthorized()
        if data.get("usage-bootstrap-authentication") != "true" or self._expired(data.get("expiration", "")):
            raise Unauthorized()
        extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
        if not all(_GROUP.fullmatch(group) for group in extra):
            raise Unauthorized()
        return User(f"system:bootstrap:{name}", "", ("system:bootstrappers", *extra))

    def _expired(self, text: str) -> bool:
        if not text:
            return False
        try:
            return parse_time(text) <= self._clock.now()
        except ValueError:
            return True
