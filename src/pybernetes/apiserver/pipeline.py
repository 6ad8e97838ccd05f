"""Pipeline: a request's way from authentication to its answer. A wire.http.Handler: server.py serves it, clients call it.

authn -> impersonation -> priority and fairness -> authz -> route, within the request's time. audit belongs between
authn and impersonation.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial

import orjson
from msgspec.structs import replace

from pybernetes.api import errors
from pybernetes.api.objects import GroupResource, User
from pybernetes.apiserver.authn.chain import AuthenticatorChain
from pybernetes.apiserver.authn.impersonation import impersonated
from pybernetes.apiserver.bulk import Bulk
from pybernetes.apiserver.encodings import plainly
from pybernetes.apiserver.extension import Attributes, Authorizer, Decision
from pybernetes.apiserver.flowcontrol.filter import Filter, Rejected
from pybernetes.apiserver.flowcontrol.queues import Flow
from pybernetes.apiserver.handlers import Handlers, unknown_path, warning
from pybernetes.apiserver.media import JSON, PROTOBUF, YAML
from pybernetes.apiserver.metrics import Metrics
from pybernetes.apiserver.options import TRUE, Query, selected_name
from pybernetes.apiserver.pages import Page
from pybernetes.apiserver.requestinfo import RequestInfo, parse_request
from pybernetes.wire.http import Request, Response
from pybernetes.wire.parsing import status_response

_BROKEN = re.compile("%(?![0-9a-fA-F]{2})")
_BY_HAND = ("curl", "Wget", "Mozilla/5.0")
_STREAMS = ("exec", "attach", "portforward")

log = logging.getLogger(__name__)


class Pipeline:
    """The whole API server behind its sockets."""

    def __init__(
        self,
        *,
        authenticator: AuthenticatorChain,
        authorizer: Authorizer,
        filter: Filter,
        handlers: Handlers,
        pages: Callable[[], Mapping[str, Page]],
        metrics: Metrics,
    ) -> None:
        self._clock = handlers.clock
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._filter = filter
        self._handlers = handlers
        self._pages = pages
        self._metrics = metrics

    async def __call__(self, request: Request) -> Response:
        """Never raises for what a client did: every refusal is a Status."""
        started = self._clock.monotonic()
        info: RequestInfo | None = None
        query: Query = {}
        flow: Flow | None = None
        try:
            if "%" in request.target and _BROKEN.search(request.target):
                raise errors.BadRequest(f'parse "{request.target}": invalid URL escape')
            query = request.query() if "?" in request.target else {}
            info = parse_request(request, query)
            user = impersonated(request, await self._authenticator.authenticate(request), self.authorize)
            flow = self._filter.flow(user, info)
            answering = self._judged(request, info, query, user)
            response = await (answering if flow is None else self._filter.passed(flow, info, query, user, answering))
        except errors.ApiError as error:
            response = refusal(request, error)
        except Rejected as rejected:
            response = rejected.response()
        except asyncio.CancelledError:
            raise
        except Exception:  # the one marked place: a fault in one request never ends the server
            log.exception("request failed method=%s path=%s", request.method, request.raw_path)
            text = "an error on the server has prevented the request from succeeding"
            response = refusal(request, errors.InternalError(text))
        if info is None:
            info = RequestInfo(request.method.lower(), request.path)
        if flow is not None:
            response.headers.extend(flow.headers)
        for text in request.warnings:
            response.headers.add("warning", warning(text))
        _indent(request, query, response)
        seconds = self._clock.monotonic() - started
        if isinstance(response.body, Bulk):
            response.body.at_end(partial(self._sent, info, request, query, response, started))
        else:
            self._metrics.observe(info, request, query, response, seconds)
        if log.isEnabledFor(logging.DEBUG):
            agent = request.headers.get("user-agent")
            place = (request.method, request.target, response.status, seconds * 1e3, agent)
            log.debug("answered method=%s target=%s code=%d ms=%.1f agent=%s", *place)
        return response

    def _sent(
        self, info: RequestInfo, request: Request, query: Query, response: Response, started: float, size: int
    ) -> None:
        self._metrics.observe(info, request, query, response, self._clock.monotonic() - started, size)

    async def _judged(self, request: Request, info: RequestInfo, query: Query, user: User) -> Response:
        attributes = _attributes(info, user, query)
        self.authorize(attributes)
        if info.subresource in _STREAMS and info.verb == "get":
            # WebSockets begin with a GET; what they do is what a POST does.
            self.authorize(replace(attributes, verb="create"))
        return await (self._handlers if info.is_resource else self._page)(request, info, query, user)

    def authorize(self, attributes: Attributes) -> None:
        """Raises Forbidden with upstream's words."""
        decision, reason = self._authorizer.authorize(attributes)
        if decision is not Decision.ALLOW:
            raise forbidden(attributes, reason)

    async def _page(self, request: Request, info: RequestInfo, query: Query, user: User) -> Response:
        """What is no resource."""
        path, pages = info.path, self._pages()
        page = pages.get(path) or (pages.get(path.rstrip("/")) if len(path) > 1 else None)
        if page is None:
            # `/healthz/etcd` and `/openapi/v3/apis/apps/v1` belong to the page above them.
            parents = [known for known in pages if known.endswith("/*") and path.startswith(known[:-1])]
            page = pages[max(parents, key=len)] if parents else None
        if page is None:
            raise unknown_path()
        if request.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        return await page(request, query)


def refusal(request: Request, error: errors.ApiError) -> Response:
    """The answer to a request that is refused: a Status in the form that the client reads."""
    response = status_response(error)
    accept = request.headers.get("accept")
    if PROTOBUF in accept or YAML in accept:
        media, response.body = plainly(accept, error.status())
        response.headers.set("content-type", media)
    return response


def _indent(request: Request, query: Query, response: Response) -> None:
    """Answers for people are indented: whoever asks for it, and browsers and curl."""
    asked = query.get("pretty")
    wanted = asked[0] in TRUE if asked and asked[0] else request.headers.get("user-agent").startswith(_BY_HAND)
    if not wanted or response.headers.get("content-type") != JSON:
        return
    if type(response.body) is bytes:
        response.body = orjson.dumps(orjson.loads(response.body), option=orjson.OPT_INDENT_2)
    elif isinstance(response.body, Bulk):
        response.body.indent()


def forbidden(attributes: Attributes, reason: str) -> errors.Forbidden:
    """`pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    user = attributes.user.name
    if not attributes.resource:
        return errors.Forbidden(
            f'forbidden: User "{user}" cannot {attributes.verb} path "{attributes.path}"'
            + (f": {reason}" if reason else "")
        )
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    text = f'User "{user}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}"'
    if attributes.namespace:
        text += f' in the namespace "{attributes.namespace}"'
    else:
        text += " at the cluster scope"
    if reason:
        text += f": {reason}"
    return errors.forbidden(GroupResource(attributes.group, attributes.resource), attributes.name, text)


def _attributes(info: RequestInfo, user: User, query: Query) -> Attributes:
    if not info.is_resource:
        return Attributes(user, info.verb, info.path)
    selecting = info.verb in ("list", "watch", "deletecollection")
    fields = query.get("fieldSelector", [""])[0] if selecting else ""
    return Attributes(
        user,
        info.verb,
        info.path,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name or (selected_name(fields) if info.verb != "deletecollection" else ""),
        fields,
        query.get("labelSelector", [""])[0] if selecting else "",
    )
