"""One run of kubectl against one cluster: kubeconfig, requests, discovery. Commands get it from main.py."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable
from math import ceil
from typing import TypeVar
from urllib.parse import urlencode

import orjson

from pybernetes import __version__
from pybernetes.api.errors import from_status
from pybernetes.api.objects import Object
from pybernetes.client import kubeconfig
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.mapper import Mapper, Mapping, parse_aggregated
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response, read_body

_Answer = TypeVar("_Answer")

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


class Session:
    """The connection is opened by the first request. `namespace` is that of the flags, else of the context."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        limit: str = options.request_timeout
        # A bare number is seconds; 0 is no limit.
        self._seconds = float(limit) if limit.isdecimal() else seconds(limit, "--request-timeout")
        self._transport: HttpClient | None = None
        self._mapper: Mapper | None = None
        self._config: kubeconfig.Kubeconfig | None = None

    @property
    def config(self) -> kubeconfig.Kubeconfig:
        """The merged kubeconfig. Raises Refused when the file given is not there or not readable."""
        if self._config is None:
            try:
                self._config = kubeconfig.load(self.options.kubeconfig or None)
            except OSError as error:
                raise Refused(f"stat {error.filename}: {(error.strerror or str(error)).lower()}") from error
            except ValueError as error:
                raise Refused(str(error)) from error
        return self._config

    @property
    def namespace(self) -> str:
        """Where namespaced requests go."""
        return self.options.namespace or self.config.namespace(self.options.context) or "default"

    @property
    def transport(self) -> HttpClient:
        """The transport to the API server of the context and flags."""
        if self._transport is None:
            options = self.options
            overrides = kubeconfig.Overrides(
                context=options.context,
                cluster=options.cluster,
                user=options.user,
                server=options.server,
                token=options.token,
            )
            try:
                self._transport = kubeconfig.transport_of(self.config, overrides)
            except (OSError, ValueError) as error:
                raise Refused(str(error)) from error
        return self._transport

    async def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            await self._transport.aclose()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Response:
        """One request; the answer's body may still be on its way. Raises ApiError for a refusal."""
        headers = Headers([("accept", accept), ("user-agent", f"kubectl/{__version__}")])
        if body:
            headers.set("content-type", content_type)
        target = path + (
            f"?{urlencode({k: v for k, v in query.items() if v})}" if query and any(query.values()) else ""
        )
        response = await self._limited(self.transport(Request(method, target, headers, body)))
        for warning in response.headers.all("warning"):
            self.warn(warning)
        if response.status >= 400:
            data = await self._limited(read_body(response))
            raise from_status(_status(data), response.status)
        return response

    async def _limited(self, work: Awaitable[_Answer]) -> _Answer:
        """Raises OSError where the server takes longer than --request-timeout."""
        try:
            async with asyncio.timeout(self._seconds or None):
                return await work
        except TimeoutError as error:
            raise OSError("context deadline exceeded (Client.Timeout exceeded while awaiting headers)") from error

    def warn(self, header: str) -> None:
        """A Warning header of the server, as kubectl shows it."""
        import sys

        text = header.partition('"')[2].rpartition('"')[0].replace('\\"', '"')
        print(f"Warning: {text or header}", file=sys.stderr)

    async def request(self, method: str, path: str, body: Object | bytes | None = None, **more: object) -> Object:
        """One request with JSON answer. Keywords as send()."""
        data = orjson.dumps(body) if isinstance(body, dict) else body or b""
        response = await self.send(method, path, data, **more)  # type: ignore[arg-type]  # passed on as they are
        answer = orjson.loads(await self._limited(read_body(response)))
        if not isinstance(answer, dict):
            raise Refused(f"the server answered {path} with no object")
        return answer

    async def watch(self, path: str, query: dict[str, str], accept: str = "application/json") -> AsyncIterator[Object]:
        """Events of a watch, decoded, until the server ends it."""
        query = {**query, "watch": "true"}
        if self._seconds and not query.get("timeoutSeconds"):
            query["timeoutSeconds"] = str(ceil(self._seconds))
        response = await self.send("GET", path, accept=accept, query=query)
        pending = b""
        if isinstance(response.body, bytes):
            return
        async for chunk in response.body:
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield orjson.loads(line)

    async def mapper(self) -> Mapper:
        """The resources that the server has; asked once."""
        if self._mapper is None:
            core, groups = await asyncio.gather(
                self.request("GET", "/api", accept=AGGREGATED), self.request("GET", "/apis", accept=AGGREGATED)
            )
            if "items" in core:
                self._mapper = Mapper([*parse_aggregated(core), *parse_aggregated(groups)])
            else:
                self._mapper = Mapper(await self._legacy(groups))
        return self._mapper

    async def _legacy(self, groups: Object) -> list[Mapping]:
        """Discovery of a server that does not aggregate: one document a group version."""
        versions = ["/api/v1"]
        versions += [f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups.get("groups") or ()]
        documents = await asyncio.gather(*(self.request("GET", path) for path in versions))
        return [m for document in documents for m in parse_resource_list(document)]


def parse_resource_list(document: Object) -> list[Mapping]:
    """Mappings of a legacy APIResourceList."""
    group, _, version = str(document["groupVersion"]).rpartition("/")
    return [
        Mapping(
            group=group,
            version=version,
            plural=resource["name"],
            kind=resource["kind"],
            namespaced=bool(resource.get("namespaced")),
            singular=resource.get("singularName", ""),
            verbs=tuple(resource.get("verbs") or ()),
            short_names=tuple(resource.get("shortNames") or ()),
            categories=tuple(resource.get("categories") or ()),
        )
        for resource in document.get("resources") or ()
        if "/" not in resource["name"]
    ]


def _status(data: bytes) -> Object:
    try:
        status = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {"message": data.decode(errors="replace").strip()}
    return status if isinstance(status, dict) else {}
