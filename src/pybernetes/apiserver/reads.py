"""Reads: get, list and watch of every resource alike. The answers are bytes that the watch cache has ready.

resourceVersion and resourceVersionMatch mean what upstream's API concepts say: unset is the newest state, `0` whatever
is here, N not older, Exact the state at N from the store's history.
"""

import asyncio
from collections.abc import Sequence

from pybernetes.aio.turns import Turns
from pybernetes.api import errors
from pybernetes.api.objects import Object
from pybernetes.api.selectors import FieldSelector, Selector
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.encodings import Encoding, Page
from pybernetes.apiserver.options import ListOptions, revision, watched_revision
from pybernetes.apiserver.storage import Storage, refusals
from pybernetes.apiserver.tokens import ContinueTokens, Position
from pybernetes.apiserver.watchcache.cache import too_large
from pybernetes.apiserver.watchcache.entry import Entry
from pybernetes.apiserver.watchcache.resource_cache import NOW, Past
from pybernetes.apiserver.watchcache.watcher import INDEXED_FIELD, LateWatcher, Match, Scope, Watcher
from pybernetes.store.protocol import Compacted, FutureRevision, Revision
from pybernetes.wire.http import Headers, Response

_CHUNK = 200
"""Objects of the store's history that are read in one turn of the loop."""
_LOOKED_AT = 2000
"""Entries that a selector is asked about in one turn."""
_INCONSISTENT = -1
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class TokenExpired(errors.Expired):
    """A continue token whose revision is compacted; the Status carries one for the rest as it is now."""

    def __init__(self, token: str) -> None:
        super().__init__(EXPIRED)
        self._token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self._token}}


class Reads:
    """The reading verbs."""

    def __init__(self, storage: Storage, tokens: ContinueTokens, watch_seconds: float, turns: Turns) -> None:
        self._storage = storage
        self._cache = storage.cache
        self._tokens = tokens
        self._watch_seconds = watch_seconds
        self._turns = turns

    async def get(self, served: Served, namespace: str, name: str, version: str) -> Entry:
        """Raises NotFound. `version` is the resourceVersion of the query."""
        with refusals():
            if not version:
                await self._cache.fresh()
            else:
                await self._cache.reached(revision(version))
        entry = self._storage.peek(served, namespace, name)
        if entry is None:
            raise errors.not_found(served.gr, name)
        return entry

    async def list(self, served: Served, namespace: str, options: ListOptions) -> Page:
        """One page."""
        with refusals():
            return await self._list(served, namespace, options)

    async def _list(self, served: Served, namespace: str, options: ListOptions) -> Page:
        match = matcher(served, options)
        if options.token:
            if options.resource_version not in ("", "0"):
                raise errors.BadRequest("specifying resource version is not allowed when using continue")
            position = self._tokens.decode(_scope_text(served, namespace), options.token)
            return await self._continued(served, namespace, options, position, match)
        wanted = revision(options.resource_version)
        exact = options.match == "Exact" and wanted
        # A limit with a resourceVersion and no match is an exact list in upstream, too (the old semantics).
        if not options.match and wanted and options.limit:
            exact = wanted
        if not options.resource_version:
            await self._cache.fresh()
        elif self._cache.revision < wanted:
            await self._cache.reached(wanted)
        return await self._from(served, namespace, options, Position("", exact or self._cache.revision), match)

    async def _continued(
        self, served: Served, namespace: str, options: ListOptions, position: Position, match: Match | None
    ) -> Page:
        await self._cache.fresh()
        if position.revision == _INCONSISTENT:
            position = Position(position.after, self._cache.revision)
        return await self._from(served, namespace, options, position, match)

    async def _from(
        self, served: Served, namespace: str, options: ListOptions, position: Position, match: Match | None
    ) -> Page:
        """From the cache, which knows what has changed since that revision, or from the store's history."""
        at = position.revision
        past = self._cache.past(served, at) if at != self._cache.revision else NOW
        if past is None:
            return await self._at(served, namespace, options, position, match)
        limit = max(options.limit, 0)
        if limit and match is None:
            page, left = self._cache.of(served).page(namespace, position.after, limit, past)
            return self._page(served, namespace, page, at, left > 0, left)
        # Here the state is taken; what is looked for in it, and sent of it, may wait for turns.
        entries = self._candidates(served, namespace, options, position.after, past)
        if match is None:
            return Page(entries, at)
        found, more = await self._matching(entries, match, limit)
        return self._page(served, namespace, found, at, more, None)

    async def _matching(self, entries: Sequence[Entry], match: Match, limit: int) -> tuple[Sequence[Entry], bool]:
        """The first that match (limit 0: all), and whether there are more."""
        found = []
        for start in range(0, len(entries), _LOOKED_AT):
            if start:
                await self._turns.take()
            found += [entry for entry in entries[start : start + _LOOKED_AT] if match(entry)]
            if limit and len(found) > limit:
                return found[:limit], True
        return found, False

    def _candidates(
        self, served: Served, namespace: str, options: ListOptions, after: str, past: Past
    ) -> Sequence[Entry]:
        """Everything that may match at that time, found by the indexes."""
        name = options.fields.exact("metadata.name")
        if name is not None and not after and not past and (namespace or not served.facts.namespaced):
            entry = self._storage.peek(served, namespace, name)
            return [entry] if entry is not None else []
        return self._cache.of(served).select(namespace, after, node=options.fields.exact(INDEXED_FIELD), past=past)

    async def _at(
        self, served: Served, namespace: str, options: ListOptions, position: Position, match: Match | None
    ) -> Page:
        """From the store's history."""
        prefix = served.prefix + (f"{namespace}/" if namespace else "")
        after = served.prefix + position.after if position.after else ""
        page: list[Entry] = []
        size = max(options.limit, 0)
        while True:
            wanted = size if size and match is None else _CHUNK
            await self._turns.take()
            try:
                found = await self._storage.store.range(
                    prefix, after=after, limit=wanted, at=Revision(position.revision)
                )
            except Compacted:
                raise self._expired(served, namespace, position) from None
            except FutureRevision:
                raise too_large(position.revision, self._cache.revision) from None
            for index, stored in enumerate(found.items):
                entry = self._cache.entry(served.stored, stored.value, stored.revision)
                if match is None or match(entry):
                    if size and len(page) == size:
                        return self._page(served, namespace, page, position.revision, True, None)
                    page.append(entry)
                after = found.items[index].key
            if not found.more:
                return Page(page, position.revision)
            if size and match is None:
                return self._page(served, namespace, page, position.revision, True, found.remaining)

    def _page(
        self, served: Served, namespace: str, page: Sequence[Entry], at: int, more: bool, left: int | None
    ) -> Page:
        if not more:
            return Page(page, at)
        token = self._tokens.encode(_scope_text(served, namespace), Position(page[-1].key, at))
        return Page(page, at, token, left)

    def _expired(self, served: Served, namespace: str, position: Position) -> errors.Expired:
        if not position.after:
            return errors.Expired("The resourceVersion for the provided list is too old.")
        fresh = Position(position.after, _INCONSISTENT)
        return TokenExpired(self._tokens.encode(_scope_text(served, namespace), fresh))

    # --- watch

    async def watch(self, served: Served, namespace: str, options: ListOptions, encoding: Encoding) -> Response:
        """The stream of a watch."""
        match = matcher(served, options)
        wanted, initial = watched_revision(options.resource_version, served.gr), options.initial_events
        late: errors.GatewayTimeout | None = None
        with refusals():
            if not options.resource_version or (initial and not wanted):
                await self._cache.fresh()
            elif initial and self._cache.revision < wanted:
                try:
                    await self._cache.reached(wanted)
                except errors.GatewayTimeout as error:
                    late = error
        cache = self._cache.of(served)
        framing = encoding if served.source is None else Shown(encoding, served)
        scope, match = _scope(served, namespace, options), _in_namespace(namespace, match)
        ahead = wanted > self._cache.revision
        watcher = LateWatcher(cache, framing, scope, match, wanted) if ahead else Watcher(cache, framing, scope, match)
        headers = Headers.lowered([("content-type", encoding.stream_type)])
        if late is not None:
            watcher.fail(late.status())  # all but refusals of the request itself is said in the stream
            return Response(200, headers, watcher)
        # From here to add() nothing waits: the state and what follows it fit together.
        if initial or (initial is None and not wanted):
            entries = self._candidates(served, namespace, options, "", NOW)
            watcher.begin(entries if match is None else [entry for entry in entries if match(entry)], self._turns)
            cache.add(watcher)
            if initial and options.bookmarks:
                watcher.bookmark(self._cache.revision, initial_end=True)
        else:
            try:
                missed = cache.changes_after(wanted) if wanted else ()
            except errors.Expired as error:
                watcher.fail(error.status())
                return Response(200, headers, watcher)
            for change in missed:
                watcher.offer(change)
                change.frames.clear()  # as after any round: rows of tables grow older
            cache.add(watcher)
        watcher.wants_bookmarks = options.bookmarks
        if self._cache.ended:
            watcher.end()
        seconds = options.timeout
        if not seconds or seconds < 0:
            seconds = int(self._watch_seconds * (1.0 + self._storage.clock.random.random()))
        watcher.timer = asyncio.get_running_loop().call_later(seconds, watcher.end)
        return Response(200, headers, watcher)

    async def bookmarks(self, every: float = 60.0) -> None:
        """Runs until cancelled: tells every watcher that asked for it how far it is, a tenth of them at a time."""
        turn = 0
        while True:
            await self._storage.clock.sleep(every / 10)
            turn = (turn + 1) % 10
            for cache in self._cache.resources:
                for watcher in cache.all_watchers():
                    if watcher.wants_bookmarks and watcher.number % 10 == turn:
                        watcher.bookmark(self._cache.revision)

    def bookmark_now(self) -> None:
        """Tells every watcher that asked for it how far it is, and sends at once all that waits for a round."""
        for cache in self._cache.resources:
            for watcher in cache.all_watchers():
                if watcher.wants_bookmarks:
                    watcher.bookmark(self._cache.revision)
            cache.rounds.now()


def matcher(served: Served, options: ListOptions) -> Match | None:
    """Both selectors as one question, None when everything matches. Raises BadRequest for fields it cannot ask for."""
    labels, fields = options.labels, options.fields
    known = {"metadata.name", *served.resource.selectable_fields}
    if served.facts.namespaced or _plain(served):
        known.add("metadata.namespace")
    for term in fields.terms:
        if term.field not in known:
            raise errors.BadRequest(_not_selectable(served, term.field))
    if fields.empty and labels.empty:
        return None
    if fields.empty:
        return _labelled(labels)
    fielded = _fielded(served, fields)
    if labels.empty:
        return fielded
    labelled = _labelled(labels)
    return lambda entry: fielded(entry) and labelled(entry)


def _fielded(served: Served, fields: FieldSelector) -> Match:
    """As _labelled(): one field of the resource's own, without a dict of all."""
    if len(fields.terms) == 1 and fields.terms[0].field in served.stored.fields:
        name, value, equal = fields.terms[0].field, fields.terms[0].value, fields.terms[0].equal
        return lambda entry: (entry.value(name) == value) is equal
    return lambda entry: fields.matches(entry.fields)


def _labelled(labels: Selector) -> Match:
    """One label with one of some values is what nearly all ask for: looked up without a walk through terms."""
    if len(labels.requirements) == 1 and not labels.nothing and labels.requirements[0].operator in ("=", "==", "in"):
        key, values = labels.requirements[0].key, labels.requirements[0].values
        return lambda entry: entry.labels.get(key) in values
    return lambda entry: labels.matches(entry.labels)


def _not_selectable(served: Served, field: str) -> str:
    """In the words that upstream has for this kind."""
    kind = served.facts.kind
    if _plain(served):
        return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    if kind == "Job":
        return f'field label "{field}" not supported for batchv1.Job'
    if kind == "ResourceSlice":
        return f"field label not supported for {served.facts.api_version}, Kind=ResourceSlice: {field}"
    return f"field label not supported: {field}"


def _plain(served: Served) -> bool:
    """Whether it is a kind that upstream has written nothing of its own about field selectors for."""
    return not served.own_form and not served.resource.selectable_fields


class Shown:
    """Frames of a version in which the objects are not stored."""

    def __init__(self, encoding: Encoding, served: Served) -> None:
        self._encoding = encoding
        self._served = served
        self.name = f"{encoding.name} {served.facts.api_version}"

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        return self._encoding.frame(kind, entry.shown(self._served), first=first)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        return self._encoding.bookmark(revision, initial_end=initial_end)

    def error(self, status: Object) -> bytes:
        return self._encoding.error(status)


def _in_namespace(namespace: str, match: Match | None) -> Match | None:
    if not namespace:
        return match
    if match is None:
        return lambda entry: entry.namespace == namespace
    return lambda entry: entry.namespace == namespace and match(entry)


def _scope(served: Served, namespace: str, options: ListOptions) -> Scope:
    name = options.fields.exact("metadata.name")
    if name is not None and (namespace or not served.facts.namespaced):
        return ("name", f"{namespace}/{name}" if served.facts.namespaced else name)
    if INDEXED_FIELD in served.stored.fields:
        node = options.fields.exact(INDEXED_FIELD)
        if node is not None:
            return (INDEXED_FIELD, node)
    return ("namespace", namespace) if namespace else None


def _scope_text(served: Served, namespace: str) -> str:
    return f"{served.prefix}{namespace}"
