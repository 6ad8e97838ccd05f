"""Clients of a cluster that lives in another thread's loop: blocking ones, and a transport for the code of other loops."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from msgspec import Struct

from pybernetes.aio.loopthread import EndedError, ForkedError, LoopThread
from pybernetes.api.objects import Key, Object
from pybernetes.client.rest import MERGE, Client, Listing, Propagation, ResourceClient, WatchEvent
from pybernetes.testing.errors import FORKED, ClosedClusterError, WrongLoopError
from pybernetes.wire.http import Request, Response, Transport

T = TypeVar("T", bound=Struct)
S = TypeVar("S", bound=Struct)
A = TypeVar("A")

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine in the cluster's loop and waits for it."""


class SyncClient:
    """client.rest.Client without await."""

    def __init__(self, client: Client, run: Run) -> None:
        self._client = client
        self._run = run

    def of(self, kind: type[T]) -> "SyncResourceClient[T]":
        """Typed access to the resource of a generated Struct."""
        return SyncResourceClient(self._client.of(kind), self._run)

    def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Any request; the answer as a dict. Raises ApiError."""
        answer: Object = self._run(self._client.raw(method, path, body, query=query, headers=headers))
        return answer


class SyncResourceClient(Generic[T]):
    """client.rest.ResourceClient without await."""

    def __init__(self, resource: ResourceClient[T], run: Run) -> None:
        self._resource = resource
        self._run = run

    def get(self, key: Key | str, namespace: str = "") -> T:
        """Raises NotFound."""
        return self._typed(self._resource.get(key, namespace))

    def list(
        self, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 0, after: str = ""
    ) -> Listing[T]:
        """A consistent list (of all namespaces: None)."""
        listing: Listing[T] = self._run(
            self._resource.list(namespace, labels=labels, fields=fields, limit=limit, after=after)
        )
        return listing

    @contextmanager
    def watch(
        self, revision: str, namespace: str | None = None, *, labels: str = "", fields: str = "", timeout: float = 0
    ) -> Generator[Iterable[WatchEvent[T]], None, None]:
        """Every change after `revision`, until `timeout` seconds are over: `with pods.watch(r) as events: for e in events`."""
        events = self._resource.watch(revision, namespace, labels=labels, fields=fields, timeout=timeout)
        try:
            yield self._each(events)
        finally:
            self._run(events.aclose())

    def create(self, obj: T, *, dry_run: bool = False) -> T:
        """Raises AlreadyExists, Invalid, Forbidden."""
        return self._typed(self._resource.create(obj, dry_run=dry_run))

    def update(self, obj: T, *, subresource: str = "") -> T:
        """PUT. Raises Conflict."""
        return self._typed(self._resource.update(obj, subresource=subresource))

    def patch(self, old: T, new: T, *, subresource: str = "", lock: bool = False) -> T:
        """Sends what differs between two Structs of one object. Raises NotFound, Conflict, Invalid."""
        return self._typed(self._resource.patch(old, new, subresource=subresource, lock=lock))

    def patch_raw(
        self,
        key: Key | str,
        change: Mapping[str, Any] | Iterable[Mapping[str, Any]] | bytes,
        content_type: str = MERGE,
        *,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
    ) -> T:
        """A patch made by the caller, of any of the API's patch types."""
        work = self._resource.patch_raw(key, change, content_type, subresource=subresource, query=query)
        return self._typed(work)

    def delete(
        self,
        key: Key | str,
        *,
        grace: int | None = None,
        uid: str | None = "",
        revision: str | None = "",
        propagation: Propagation = "",
    ) -> None:
        """Asks for deletion. Raises NotFound, Conflict."""
        self._run(self._resource.delete(key, grace=grace, uid=uid, revision=revision, propagation=propagation))

    def delete_collection(
        self, namespace: str | None, *, labels: str = "", fields: str = "", propagation: Propagation = ""
    ) -> None:
        """Asks for deletion of all that match."""
        self._run(self._resource.delete_collection(namespace, labels=labels, fields=fields, propagation=propagation))

    def create_subresource(self, key: Key | str, subresource: str, body: S) -> S:
        """POST of a binding, token or eviction."""
        made: S = self._run(self._resource.create_subresource(key, subresource, body))
        return made

    def _typed(self, work: Coroutine[Any, Any, T]) -> T:
        found: T = self._run(work)
        return found

    def _each(self, events: AsyncGenerator[WatchEvent[T], None]) -> Generator[WatchEvent[T], None, None]:
        while True:
            event: WatchEvent[T] | None = self._run(_next(events))
            if event is None:
                return
            yield event


def bridged(home: LoopThread, send: Transport) -> Transport:
    """A transport for the code of any loop to one that belongs to the loop of `home`."""

    async def over(request: Request) -> Response:
        response = await _crossed(home, _sent(send, request))
        if not isinstance(response.body, bytes):
            response.body = _stream(home, response.body)
        return response

    return over


async def _stream(home: LoopThread, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        while True:
            chunk = await _crossed(home, _next(body))
            if chunk is None:
                return
            yield chunk
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            with suppress(ClosedClusterError):
                await _crossed(home, close())


async def _sent(send: Transport, request: Request) -> Response:
    return await send(request)


async def _crossed(home: LoopThread, work: Coroutine[Any, Any, A]) -> A:
    try:
        return await home.acall(work)
    except EndedError:
        raise ClosedClusterError("the cluster is not running: its block has ended") from None
    except ForkedError:
        raise WrongLoopError(FORKED) from None


async def _next(items: AsyncIterator[A]) -> A | None:
    return await anext(items, None)
