"""Short words for what tests do with objects: apply manifests, wait for conditions. Over the clients of any cluster.

Clusters inside the process and elsewhere are Objects; blocking.SyncObjects is the same without await. The words are
those of kubectl.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import orjson

from pybernetes.api.errors import Expired, NotFound
from pybernetes.api.objects import Object, User, split_api_version
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client.rest import Client, lines_of
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.conditions import condition
from pybernetes.kubectl.mapper import Mapper, parse_aggregated
from pybernetes.kubectl.mapper import Mapping as Resource
from pybernetes.kubectl.session import AGGREGATED, APPLY
from pybernetes.testing.errors import NotInTimeError
from pybernetes.wire.codecs import yaml

Source: TypeAlias = str | bytes | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]
"""Manifests: YAML or JSON text, one object or several, or the Path of a file or folder of them."""
Condition: TypeAlias = str | Callable[[Object], object]
"""`condition=Ready[=False]`, `jsonpath={.status.phase}=Running`, `delete`, `create`; or a question to the object."""

MANAGER = AGENT = "pybernetes-testing"
"""The field manager of what apply() writes, and who says so."""
SECONDS = 30.0
"""How long wait() waits by itself, as `kubectl wait`."""
_DEFINITION = "CustomResourceDefinition"
_SUFFIXES = (".yaml", ".yml", ".json")
_SHOWN = 600
"""Characters of an object's status in an error."""


class Objects(ABC):
    """What has clients, with these words through them. What the server knows of resources is asked once, and again for
    new ones."""

    def __init__(self) -> None:
        self._mapper: Mapper | None = None

    @abstractmethod
    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """A client as this user."""

    @property
    def _client(self) -> Client:
        return self.client(agent=AGENT)

    async def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Any request as administrator; the answer as a dict. Raises ApiError."""
        return await self.client().raw(method, path, body, query=query, headers=headers)

    async def apply(self, source: Source, *, namespace: str = "default", force: bool = True) -> list[Object]:
        """Server-side apply of every document, in order; the objects as they are then.

        `namespace` is where those go that say none. A CustomResourceDefinition is waited for until it is established,
        so that its objects can follow in the same text. Raises ApiError of what is refused, ValueError for what is no
        manifest, OSError for a file that cannot be read.
        """
        applied = []
        for where, obj in documents(source):
            resource = await self._resource_of(where, obj)
            own = obj["metadata"].get("namespace") or namespace
            path = resource.path(own, obj["metadata"]["name"])
            query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
            body = orjson.dumps(obj, default=_plain)
            applied.append(await self._client.raw("PATCH", path, body, query=query, headers={"content-type": APPLY}))
            if obj["kind"] == _DEFINITION:
                await self.wait(f"{resource.shown}/{obj['metadata']['name']}", "condition=Established")
                self._mapper = None
        return applied

    async def wait(
        self,
        what: str,
        condition: Condition = "create",
        *,
        namespace: str = "default",
        labels: str = "",
        seconds: float = SECONDS,
    ) -> list[Object]:
        """Waits until objects are as `condition` says; the objects (none when they are to be deleted).

        `what` is `deployment/web`, or `pods` with `labels` (`app=web`): then all of them, and at least one; for an empty
        `namespace`, those of all. Objects that are not there yet are waited for, too. Raises NotInTimeError after so
        many seconds of the cluster's time, with the objects' last status; ValueError for words that mean nothing.
        """
        kind, _, name = what.partition("/")
        if not kind:
            raise ValueError(f"{what!r} names no kind; wait() takes `pods` or `pod/web`")
        holds, gone = _question(condition)
        resource = await self._resource(kind)
        path = resource.path(namespace)
        selectors = {"fieldSelector": f"metadata.name={name}" if name else "", "labelSelector": labels}
        query = {selector: value for selector, value in selectors.items() if value}
        found: list[Object] = []
        try:
            async with asyncio.timeout(seconds):
                async with aclosing(followed(self._client, path, query)) as states:
                    async for found in states:
                        if not found if gone else found and all(holds(obj) for obj in found):
                            break
        except TimeoutError:
            words = condition if isinstance(condition, str) else _name_of(condition)
            place = f" in namespace {namespace}" if resource.namespaced and namespace else ""
            chosen = f" with labels {labels}" if labels else ""
            seen = "; ".join(_shown(obj) for obj in found) or "it is not there"
            text = f"not within {seconds:g} s: {what}{chosen}{place} {words}; last seen: {seen}"
            raise NotInTimeError(text) from None
        return found

    async def _resource(self, word: str) -> Resource:
        """The resource of a word: `po`, `pods`, `deployments.apps`."""
        found = (await self._known()).of_word(word) or (await self._known(again=True)).of_word(word)
        if found is None:
            raise ValueError(f"the server doesn't have a resource type {word!r}")
        return found

    async def _resource_of(self, where: str, obj: Object) -> Resource:
        version, kind = str(obj["apiVersion"]), str(obj["kind"])
        found = (await self._known()).of_kind(version, kind) or (await self._known(again=True)).of_kind(version, kind)
        if found is None:
            raise NotFound(
                f'{where}: no matches for kind "{kind}" in version "{version}"; ensure CRDs are installed first',
                details={"group": split_api_version(version)[0], "kind": kind},
            )
        return found

    async def _known(self, *, again: bool = False) -> Mapper:
        if self._mapper is None or again:
            answers = [
                await self._client.raw("GET", path, headers={"accept": AGGREGATED}) for path in ("/api", "/apis")
            ]
            self._mapper = Mapper([mapping for answer in answers for mapping in parse_aggregated(answer)])
        return self._mapper


async def followed(client: Client, path: str, query: Mapping[str, str] = {}) -> AsyncGenerator[list[Object], None]:
    """All objects of a list, at first and after every change, for ever. Close it with aclosing()."""
    while True:
        listed = await client.raw("GET", path, query=query)
        found = {item["metadata"]["uid"]: item for item in listed.get("items") or ()}
        yield list(found.values())
        watch = {**query, "watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        try:
            response = await client.send("GET", path, query=watch)
        except Expired:
            continue
        async with aclosing(lines_of(response)) as lines:
            async for line in lines:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    break
                obj = event["object"]
                if event["type"] == "DELETED":
                    found.pop(obj["metadata"]["uid"], None)
                else:
                    found[obj["metadata"]["uid"]] = obj
                yield list(found.values())


def documents(source: Source) -> Iterator[tuple[str, Object]]:
    """(where it is from, object) of every manifest, lists flattened. Raises ValueError, OSError."""
    for where, obj in _documents(source):
        for item in obj.get("items") or () if str(obj.get("kind", "")).endswith("List") else (obj,):
            _check(where, item)
            yield where, item


def _documents(source: Source) -> Iterator[tuple[str, Object]]:
    if isinstance(source, Path):
        yield from _of_path(source)
    elif isinstance(source, str | bytes):
        if isinstance(source, str) and source.endswith(_SUFFIXES) and "\n" not in source:
            raise ValueError(f"{source!r} is read as YAML; for a file give Path({source!r})")
        yield from _of_text("manifest", source)
    elif isinstance(source, Mapping):
        yield "manifest", dict(source)
    elif isinstance(source, Iterable):
        for number, obj in enumerate(source, 1):
            if not isinstance(obj, Mapping):
                raise ValueError(f"manifest {number}: an object is wanted, found {type(obj).__name__}")
            yield f"manifest {number}", dict(obj)
    else:
        raise ValueError(f"manifests are text, a dict, several dicts or a Path, not {type(source).__name__}")


def _of_path(path: Path) -> Iterator[tuple[str, Object]]:
    if not path.is_dir():
        yield from _of_text(str(path), path.read_bytes())
        return
    files = [file for file in sorted(path.iterdir()) if file.suffix in _SUFFIXES and file.is_file()]
    if not files:
        raise ValueError(f"{path} has no file that ends with {', '.join(_SUFFIXES)}")
    for file in files:
        yield from _of_text(str(file), file.read_bytes())


def _of_text(where: str, text: str | bytes) -> Iterator[tuple[str, Object]]:
    try:
        found = [document for document in yaml.load_all(text) if document is not None]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not found:
        raise ValueError(f"{where}: no object in it")
    for number, document in enumerate(found, 1):
        if not isinstance(document, dict):
            raise ValueError(f"{where}: document {number} is no object but {type(document).__name__}")
        yield where, document


def _check(where: str, obj: Any) -> None:
    if not isinstance(obj, Mapping):
        raise ValueError(f"{where}: an object is wanted, found {type(obj).__name__}")
    for name in ("apiVersion", "kind"):
        if not obj.get(name) or not isinstance(obj[name], str):
            raise ValueError(f"{where}: {name} not set")
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata.get("name"):
        raise ValueError(f"{where}: {obj['kind']} without metadata.name: cannot use generateName with apply")


def _plain(value: Any) -> Any:
    """What is no JSON: typed parts of an object."""
    return msgspec.to_builtins(value)


def _question(asked: Condition) -> tuple[Callable[[Object], object], bool]:
    """The question to each object, and whether they are to be gone."""
    if callable(asked):
        return asked, False
    try:
        holds = condition(asked.removeprefix("--for="))
    except Refused as error:
        known = "condition=NAME[=VALUE], jsonpath={PATH}[=VALUE], delete, create"
        raise ValueError(f"{error}; known: {known}, or a function of the object") from None
    return holds, holds(None)


def _name_of(question: Callable[[Object], object]) -> str:
    return getattr(question, "__name__", "condition").replace("<lambda>", "is as asked")


def _shown(obj: Object) -> str:
    """Name and status of an object in one line, its conditions without their times."""
    found = dict(obj.get("status") or {})
    if isinstance(found.get("conditions"), list):
        found["conditions"] = [
            {name: value for name, value in condition.items() if not name.endswith("Time")}
            for condition in found["conditions"]
            if isinstance(condition, dict)
        ]
    status = orjson.dumps(found, default=str).decode()
    shown = status if len(status) <= _SHOWN else f"{status[:_SHOWN]}..."
    return f"{obj['metadata'].get('name', '')} {shown}"
