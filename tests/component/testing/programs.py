"""The clients that people use, each in its own words behind the same few: programs() makes one for a kubeconfig.

Everything is in the namespace `default`; objects are dicts, errors are the library's own.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import kr8s.asyncio
import kubernetes
import kubernetes_asyncio
import lightkube
from kr8s.asyncio.objects import Pod as Kr8sPod
from kr8s.asyncio.objects import new_class
from kubernetes import dynamic
from kubernetes_asyncio import dynamic as async_dynamic
from lightkube.codecs import from_dict, resource_registry
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import Pod as LightPod
from lightkube.types import PatchType
from tests.kubectls import OURS, machines_kubectl

from pybernetes.api.objects import Object

PLURALS = {"ConfigMap": "configmaps", "Pod": "pods", "Shop": "shops"}
VERSIONS = {"Shop": "example.org/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}
"""Of kinds that are not of v1."""
MERGE = "application/merge-patch+json"

create_namespaced_resource("example.org", "v1", "Shop", "shops")  # lightkube wants to be told


class Program(ABC):
    """What all of them can."""

    @abstractmethod
    async def create(self, body: Object) -> None: ...

    @abstractmethod
    async def names(self, kind: str) -> list[str]: ...

    @abstractmethod
    async def get(self, kind: str, name: str) -> Object: ...

    @abstractmethod
    async def patch(self, kind: str, name: str, change: Object) -> None: ...

    @abstractmethod
    async def apply(self, body: Object, manager: str) -> None: ...

    @abstractmethod
    def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]: ...

    @abstractmethod
    async def logs(self, pod: str) -> str: ...


class Kubectl(Program):
    """A process for every call."""

    def __init__(self, program: str, kubeconfig: Path) -> None:
        self._words = (program, "--kubeconfig", str(kubeconfig))

    async def create(self, body: Object) -> None:
        await self._run("create", "-f", "-", stdin=body)

    async def names(self, kind: str) -> list[str]:
        return [line.partition("/")[2] for line in (await self._run("get", PLURALS[kind], "-o", "name")).split()]

    async def get(self, kind: str, name: str) -> Object:
        return dict(json.loads(await self._run("get", PLURALS[kind], name, "-o", "json")))

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await self._run("patch", PLURALS[kind], name, "--type=merge", "-p", json.dumps(change))

    async def apply(self, body: Object, manager: str) -> None:
        await self._run("apply", "--server-side", "--field-manager", manager, "-f", "-", stdin=body)

    async def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]:
        words = ("get", PLURALS[kind], "--watch", "--output-watch-events", "-o", "json")
        process = await asyncio.create_subprocess_exec(*self._words, *words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            process.terminate()
            await process.communicate()

    async def logs(self, pod: str) -> str:
        return await self._run("logs", pod)

    async def _run(self, *words: str, stdin: Object | None = None) -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._words, *words, stdin=pipe, stdout=pipe, stderr=pipe)
        said, complaint = await process.communicate(json.dumps(stdin).encode() if stdin else None)
        if process.returncode:
            raise RuntimeError(complaint.decode())
        return said.decode()


class _Dynamic(Program):
    """The dynamic clients of the official library and of its twin."""

    async def create(self, body: Object) -> None:
        await self._call(body["kind"], "create", body=body)

    async def names(self, kind: str) -> list[str]:
        return [item.metadata.name for item in (await self._call(kind, "get")).items]

    async def get(self, kind: str, name: str) -> Object:
        return dict((await self._call(kind, "get", name=name)).to_dict())

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await self._call(kind, "patch", name=name, body=change, content_type=MERGE)

    async def apply(self, body: Object, manager: str) -> None:
        await self._call(body["kind"], "server_side_apply", body=body, field_manager=manager)

    @abstractmethod
    async def _call(self, kind: str, verb: str, **words: Any) -> Any: ...


class Kubernetes(_Dynamic):
    """The official client blocks: every call in a thread."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._dynamic: Any = None

    async def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]:
        events = await self._call(kind, "watch", timeout=20)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event["type"], event["object"].to_dict()

    async def logs(self, pod: str) -> str:
        read = kubernetes.client.CoreV1Api(self._api).read_namespaced_pod_log
        return str(await asyncio.to_thread(read, pod, "default"))

    async def _call(self, kind: str, verb: str, **words: Any) -> Any:
        def call() -> Any:
            self._dynamic = self._dynamic or dynamic.DynamicClient(self._api)
            resource = self._dynamic.resources.get(api_version=VERSIONS.get(kind, "v1"), kind=kind)
            return getattr(resource, verb)(namespace="default" if resource.namespaced else None, **words)

        return await asyncio.to_thread(call)


class KubernetesAsyncio(_Dynamic):
    """The same for asyncio."""

    def __init__(self, api: Any, found: Any) -> None:
        self._api, self._dynamic = api, found

    async def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]:
        resource = await self._resource(kind)
        async with (
            kubernetes_asyncio.watch.Watch() as watcher,
            aclosing(resource.watch(namespace="default", timeout=20, watcher=watcher)) as events,
        ):
            async for event in events:
                yield event["type"], event["object"].to_dict()

    async def logs(self, pod: str) -> str:
        return str(await kubernetes_asyncio.client.CoreV1Api(self._api).read_namespaced_pod_log(pod, "default"))

    async def _resource(self, kind: str) -> Any:
        return await self._dynamic.resources.get(api_version=VERSIONS.get(kind, "v1"), kind=kind)

    async def _call(self, kind: str, verb: str, **words: Any) -> Any:
        resource = await self._resource(kind)
        found = await getattr(resource, verb)(namespace="default" if resource.namespaced else None, **words)
        if found.to_dict()["kind"] == "Status":  # it raises nothing for what is refused
            raise RuntimeError(found.to_dict()["message"])
        return found


class Kr8s(Program):
    """It has no word for apply: that is a request of one's own."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def create(self, body: Object) -> None:
        await (await _kr8s(body["kind"])(body, api=self._api)).create()

    async def names(self, kind: str) -> list[str]:
        return [found.name async for found in _kr8s(kind).list(api=self._api)]

    async def get(self, kind: str, name: str) -> Object:
        return dict((await _kr8s(kind).get(name, api=self._api)).to_dict())

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await (await _kr8s(kind).get(name, api=self._api)).patch(change)

    async def apply(self, body: Object, manager: str) -> None:
        path = f"{PLURALS[body['kind']]}/{body['metadata']['name']}?fieldManager={manager}"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        text = json.dumps(body)
        async with self._api.call_api("PATCH", url=path, namespace="default", content=text, headers=headers):
            pass

    async def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]:
        async with aclosing(self._api.watch(PLURALS[kind], namespace="default")) as events:
            async for event, found in events:
                yield event, found.to_dict()

    async def logs(self, pod: str) -> str:
        return "\n".join([line async for line in (await Kr8sPod.get(pod, api=self._api)).logs()])


class Lightkube(Program):
    """Typed, and generic for what it does not know."""

    def __init__(self, client: lightkube.AsyncClient) -> None:
        self._client: Any = client

    async def create(self, body: Object) -> None:
        await self._client.create(from_dict(dict(body)))

    async def names(self, kind: str) -> list[str]:
        return [found.metadata.name async for found in self._client.list(_light(kind))]

    async def get(self, kind: str, name: str) -> Object:
        return dict((await self._client.get(_light(kind), name)).to_dict())

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await self._client.patch(_light(kind), name, change, patch_type=PatchType.MERGE)

    async def apply(self, body: Object, manager: str) -> None:
        await self._client.apply(from_dict(dict(body)), field_manager=manager)

    async def watch(self, kind: str) -> AsyncGenerator[tuple[str, Object], None]:
        async with aclosing(self._client.watch(_light(kind), server_timeout=20)) as events:
            async for event, found in events:
                yield event, found.to_dict()

    async def logs(self, pod: str) -> str:
        return "".join([line async for line in self._client.log(pod)])


def _kr8s(kind: str) -> Any:
    return new_class(kind, VERSIONS.get(kind, "v1"), asyncio=True, namespaced=kind != "CustomResourceDefinition")


def _light(kind: str) -> Any:
    return LightPod if kind == "Pod" else resource_registry.load(VERSIONS.get(kind, "v1"), kind)


# -- who they are ------------------------------------------------------------------------------------------------------

Opened = AbstractAsyncContextManager[Program]


@asynccontextmanager
async def _kubectl(kubeconfig: Path) -> AsyncIterator[Program]:
    yield Kubectl(OURS, kubeconfig)


@asynccontextmanager
async def _other_kubectl(kubeconfig: Path) -> AsyncIterator[Program]:
    yield Kubectl(machines_kubectl(), kubeconfig)


@asynccontextmanager
async def _kubernetes(kubeconfig: Path) -> AsyncIterator[Program]:
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
        yield Kubernetes(api)


@asynccontextmanager
async def _kubernetes_asyncio(kubeconfig: Path) -> AsyncIterator[Program]:
    async with await kubernetes_asyncio.config.new_client_from_config(str(kubeconfig)) as api:
        yield KubernetesAsyncio(api, await async_dynamic.DynamicClient(api))


@asynccontextmanager
async def _kr8s_api(kubeconfig: Path) -> AsyncIterator[Program]:
    api = await kr8s.asyncio.api(kubeconfig=str(kubeconfig), namespace="default")
    yield Kr8s(api)
    await api._session.aclose()  # it has no word for that


@asynccontextmanager
async def _lightkube(kubeconfig: Path) -> AsyncIterator[Program]:
    config = lightkube.KubeConfig.from_file(str(kubeconfig))
    async with lightkube.AsyncClient(config=config, namespace="default") as client:
        yield Lightkube(client)


PROGRAMS: dict[str, Callable[[Path], Opened]] = {
    "kubectl": _kubectl,
    "other-kubectl": _other_kubectl,
    "kubernetes": _kubernetes,
    "kubernetes-asyncio": _kubernetes_asyncio,
    "kr8s": _kr8s_api,
    "lightkube": _lightkube,
}
