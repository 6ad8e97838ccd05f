"""What the scheduler and the controllers serve: /healthz, /livez and /readyz to all, /metrics to those who may.

As upstream's components do it, which delegate: a client certificate or a token says who asks, and the API server whether
he may (SubjectAccessReview on the path). Paths of --authorization-always-allow-paths are open.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

import orjson

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Forbidden, InternalError, Unauthorized
from pybernetes.api.objects import ANONYMOUS, User
from pybernetes.api.types import authorization_v1 as authz
from pybernetes.client.reviews import Outdated, Reviews, bearer_token, certificate_user
from pybernetes.wire.healthz import Check, health, plain
from pybernetes.wire.http import Headers, Request, Response, Transport
from pybernetes.wire.metrics import MEDIA_TYPE, Counter, Distribution, Family, Gauge, process_lines, text
from pybernetes.wire.pki.keys import PkiError

log = logging.getLogger(__name__)

OPEN = ("/healthz", "/readyz", "/livez")
"""What everybody may ask where the flag says nothing else; upstream's."""
_HEALTH = ("/healthz", "/livez", "/readyz")


class Serving:
    """The handler of a component's port, and the table to which its parts add what they have to say."""

    def __init__(self, clock: Clock, always_allowed: Sequence[str] = OPEN) -> None:
        self.checks: dict[str, Check] = {}
        """Health by name."""
        self.asked = ClientMetrics()
        self.families: list[Family] = [*self.asked.families()]
        self.texts: list[Callable[[], str]] = []
        """Further expositions, whole."""
        self.reviews: Reviews | None = None
        """Who knows people; None: nobody but those of the open paths."""
        self._clock, self._began = clock, clock.now()
        self._open = always_allowed

    async def __call__(self, request: Request) -> Response:
        """Answers one request."""
        path = request.path
        try:
            if not self._is_open(path):
                await self._authorize(request)
        except ApiError as error:
            headers = Headers.lowered([("content-type", "application/json")])
            return Response(error.code, headers, orjson.dumps(error.status()))
        for page in _HEALTH:
            if path == page or path.startswith(page + "/"):
                return health(page, self.checks, request)
        if path == "/metrics":
            body = text(self.families, process_lines(self._began)) + "".join(more() for more in self.texts)
            return Response(200, Headers.lowered([("content-type", MEDIA_TYPE)]), body.encode())
        return plain("404 page not found\n", 404)

    def _is_open(self, path: str) -> bool:
        """A rule may end with `*`, as upstream's."""
        rules = ("/" + rule.lstrip("/") for rule in self._open)
        return any(path.startswith(rule[:-1]) if rule.endswith("*") else path == rule for rule in rules)

    async def _authorize(self, request: Request) -> None:
        """Raises Unauthorized, Forbidden, InternalError."""
        user = await self._user(request)
        verb = "get" if request.method in ("GET", "HEAD") else request.method.lower()
        wanted = authz.NonResourceAttributes(path=request.path, verb=verb)
        try:
            allowed = self.reviews is not None and await self.reviews.allowed(user, wanted)
        except (ApiError, OSError) as error:
            log.warning("cannot review access user=%s error=%s", user.name, error)
            raise InternalError("Internal Server Error") from None
        if not allowed:
            raise Forbidden(f'forbidden: User "{user.name}" cannot {verb} path "{request.path}"')

    async def _user(self, request: Request) -> User:
        try:
            found = certificate_user(request, self._clock.now())
        except (Outdated, PkiError):
            raise Unauthorized() from None
        token = bearer_token(request)
        if found is None and token and self.reviews is not None:
            try:
                found = await self.reviews.token_user(token)
            except (ApiError, OSError) as error:
                log.warning("cannot review a token error=%s", error)
            if found is None:
                raise Unauthorized()
        return found or ANONYMOUS


class ClientMetrics:
    """rest_client_*: what this process asks of the API server."""

    def __init__(self) -> None:
        self.requests = Counter(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            "code host method",
        )
        self.seconds = Distribution(
            "rest_client_request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            "host verb",
            bounds=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0),
        )

    def families(self) -> Iterable[Family]:
        """All of them."""
        return (self.requests, self.seconds)

    def around(self, transport: Transport, host: str, clock: Clock) -> Transport:
        """A transport whose requests count; `host` is what is asked. Watches have no duration, as upstream's have none."""

        async def send(request: Request) -> Response:
            began = clock.monotonic()
            try:
                response = await transport(request)
            except OSError:
                self.requests.add("<error>", host, request.method)
                raise
            self.requests.add(str(response.status), host, request.method)
            if "watch=true" not in request.target:
                self.seconds.observe(clock.monotonic() - began, host, request.method)
            return response

        return send


def leading_gauge(name: str) -> Gauge:
    """leader_election_master_status of a Lease, 0 before it leads."""
    made = Gauge(
        "leader_election_master_status",
        "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name'"
        " is the string used to identify the lease. Please make sure to group by name.",
        "name",
    )
    made.set(0, name)
    return made
