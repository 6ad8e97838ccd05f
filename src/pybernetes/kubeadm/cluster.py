"""The API as kubeadm uses it: create or update single objects, and wait for what others make."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import Object
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kubeadm.errors import KubeadmError

T = TypeVar("T")

_PLURALS = {
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
}

POLL_SECONDS = 0.15


class Cluster:
    """One identity's access to the API server. Close it with aclose()."""

    def __init__(self, connection: kubeconfig.Connection, clock: Clock) -> None:
        self._connection = connection
        self.clock = clock
        self.client = Client(connection, clock=clock, user_agent="kubeadm")

    @classmethod
    def of(cls, config: kubeconfig.Kubeconfig, clock: Clock) -> "Cluster":
        """Raises KubeadmError for a kubeconfig that cannot be used."""
        try:
            return cls(kubeconfig.transport_of(config), clock)
        except kubeconfig.ConfigError as error:
            raise KubeadmError(str(error)) from error

    @classmethod
    def of_file(cls, path: Path, clock: Clock) -> "Cluster":
        """Raises KubeadmError."""
        try:
            return cls.of(kubeconfig.load(path), clock)
        except FileNotFoundError as error:
            text = f"failed to load admin kubeconfig: open {path}: no such file or directory"
            raise KubeadmError(f"{text} (run this on a control-plane node, or name one with --kubeconfig)") from error
        except PermissionError as error:
            raise KubeadmError(f"failed to load admin kubeconfig: open {path}: permission denied") from error
        except kubeconfig.ConfigError as error:
            raise KubeadmError(str(error)) from error

    async def ready(self) -> None:
        """Raises ApiError or OSError unless the API server is ready."""
        response = await self.client.send("GET", "/readyz")
        aclose = getattr(response.body, "aclose", None)
        if aclose is not None:
            await aclose()

    async def put(self, obj: Object) -> None:
        """Makes an object be as given: created, or its content replaced."""
        path = _collection(obj)
        try:
            await self.client.raw("POST", path, obj)
            return
        except AlreadyExists:
            pass
        name = obj["metadata"]["name"]
        present = await self.client.raw("GET", f"{path}/{name}")
        changed = present | {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind")}
        if "ownerReferences" in obj["metadata"]:
            changed["metadata"] = present["metadata"] | {"ownerReferences": obj["metadata"]["ownerReferences"]}
        if changed != present:
            await self.client.raw("PUT", f"{path}/{name}", changed)

    async def create(self, obj: Object) -> None:
        """Creates an object. Raises AlreadyExists."""
        await self.client.raw("POST", _collection(obj), obj)

    async def put_new(self, obj: Object) -> None:
        """Creates an object unless there is one of its name."""
        with suppress(AlreadyExists):
            await self.create(obj)

    async def config_map(self, namespace: str, name: str) -> dict[str, str]:
        """The data of a ConfigMap. Raises NotFound."""
        found = await self.client.raw("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        return dict(found.get("data") or {})

    async def patch_node(self, name: str, change: Object) -> None:
        """Strategic merge patch of a Node. Raises NotFound."""
        headers = {"content-type": "application/strategic-merge-patch+json"}
        await self.client.raw("PATCH", f"/api/v1/nodes/{name}", change, headers=headers)

    async def node(self, name: str) -> Object | None:
        """A Node, or None."""
        try:
            return await self.client.raw("GET", f"/api/v1/nodes/{name}")
        except NotFound:
            return None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._connection.aclose()


async def wait_for(clock: Clock, seconds: float, ask: Callable[[], Awaitable[T | None]]) -> T | None:
    """Asks until there is an answer that is not None, for `seconds` at most; None when there was none.

    Refusals and lost connections are no answers; the last one is raised at the end.
    """
    end = clock.monotonic() + seconds
    while True:
        failure: ApiError | OSError | None = None
        try:
            answer = await ask()
        except (ApiError, OSError) as error:
            failure = error
        else:
            if answer is not None:
                return answer
        if clock.monotonic() >= end:
            if failure is not None:
                raise failure
            return None
        await clock.sleep(POLL_SECONDS)


def _collection(obj: Object) -> str:
    version = obj["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = obj["metadata"].get("namespace")
    return f"{root}/namespaces/{namespace}/{_PLURALS[obj['kind']]}" if namespace else f"{root}/{_PLURALS[obj['kind']]}"
