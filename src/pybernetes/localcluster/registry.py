"""The cluster's image registry: Debian's docker-registry on the switch, and the push to it.

Follows the OCI distribution-spec 1.0.
"""

import asyncio
import http.client
import json
import logging
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from pybernetes.kernel.cgroups import Cgroup
from pybernetes.kernel.namespaces import NamespaceThread
from pybernetes.kernel.processes import ProcessRef, kill_and_wait
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement
from pybernetes.localcluster.image import MANIFEST_TYPE, Built, full_reference
from pybernetes.localcluster.spec import SYSTEM_PATH, cluster_label
from pybernetes.localcluster.switch import REGISTRY_ADDRESS, Switch

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

PORT = 5000
URL = f"http://{REGISTRY_ADDRESS}:{PORT}"
"""The registry as nodes reach it."""
_PROGRAM = "docker-registry"
_PATIENCE = 15.0


class Registry:
    """One registry in the switch's network namespace, with its storage in `state_dir`."""

    def __init__(self, switch: Switch, state_dir: Path) -> None:
        self._switch = switch
        self._state = state_dir
        self._cgroup = f"{cluster_label(switch.cluster)}/registry"

    async def start(self) -> None:
        """Starts it and waits until it answers. Raises MissingRequirement or LocalClusterError."""
        if shutil.which(_PROGRAM, path=SYSTEM_PATH) is None:
            raise MissingRequirement(f"{_PROGRAM} is missing: apt-get install {_PROGRAM} (or make setup)")
        if self._process() is None:
            await asyncio.to_thread(self._launch)
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while not await self._answers():
            if self._process() is None or asyncio.get_running_loop().time() > deadline:
                lines = (self._state / "registry.log").read_text(errors="replace").splitlines()
                await self.stop()
                raise LocalClusterError(f"the registry does not answer: {lines[-1] if lines else 'it said nothing'}")
            await asyncio.sleep(0.05)
        log.info("registry up url=%s", URL)

    async def stop(self) -> None:
        """Kills it; what was pushed stays in its folder."""
        process = self._process()
        if process is not None:
            await asyncio.to_thread(kill_and_wait, process, _PATIENCE)
        Cgroup(self._cgroup).remove()
        (self._state / "registry.json").unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process() is not None

    async def push(self, built: Built) -> str:
        """Pushes an image under its name; returns the digest that the registry gave it."""
        return await self._inside(push_archive, built.archive, built.reference, URL)

    def _process(self) -> ProcessRef | None:
        try:
            noted = json.loads((self._state / "registry.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = ProcessRef(noted["pid"], noted["started"])
        return process if process.alive() else None

    def _launch(self) -> None:
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self._state / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"{REGISTRY_ADDRESS}:{PORT}"},
        }
        self._state.mkdir(parents=True, exist_ok=True)
        file = self._state / "config.yml"
        file.write_text(json.dumps(config))
        group = Cgroup(self._cgroup)
        group.create()
        # The shell joins the registry's control group, by which a sweep finds it
        join = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 126; shift; done; shift; exec "$@"'
        argv = ["/bin/sh", "-c", join, "sh", *(str(f) for f in group.folders()), "--"]
        argv += ["nsenter", f"--net={self._switch.netns}", "--", _PROGRAM, "serve", str(file)]
        with (self._state / "registry.log").open("wb") as out:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
                env={"PATH": SYSTEM_PATH, "OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        process = ProcessRef.of(child.pid)
        (self._state / "registry.json").write_text(json.dumps({"pid": process.pid, "started": process.started}))
        child.returncode = 0  # it outlives this object on purpose; nobody waits for it here

    async def _answers(self) -> bool:
        try:
            return await self._inside(_Connection(URL).status, "GET", "/v2/") == 200
        except OSError:
            return False

    async def _inside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        thread = await asyncio.to_thread(NamespaceThread, self._switch.netns, "registry")
        try:
            return await thread.run(function, *args, **kwargs)
        finally:
            thread.close()


@dataclass(frozen=True)
class _Connection:
    """Requests to one registry, a connection each: a push is a handful of them."""

    url: str

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body. Raises OSError."""
        parts = urlsplit(path if "://" in path else self.url + path)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=30)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{self.url}: {error!r}") from error
        finally:
            connection.close()

    def status(self, method: str, path: str) -> int:
        """The status alone."""
        return self.request(method, path)[0]


def push_archive(archive: Path, reference: str, url: str) -> str:
    """Pushes the image of an OCI archive to the registry at `url`; returns its digest. Blobs there already are skipped.

    Blocking, for a worker thread. Raises LocalClusterError in one line.
    """
    repository, tag = _repository(reference)
    registry = _Connection(url)
    try:
        with tarfile.open(archive) as tar:
            index = json.loads(_member(tar, "index.json"))
            manifest = _blob(tar, index["manifests"][0]["digest"])
            described = json.loads(manifest)
            for part in (described["config"], *described["layers"]):
                _push_blob(registry, repository, part["digest"], tar)
        headers = {"Content-Type": MANIFEST_TYPE}
        status, answer, body = registry.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, headers)
        _expect(status, 201, body, f"manifest of {repository}:{tag}")
        return answer.get("Docker-Content-Digest") or str(index["manifests"][0]["digest"])
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise LocalClusterError(f"cannot push {reference} to {url}: {error}") from error


def _push_blob(registry: _Connection, repository: str, digest: str, tar: tarfile.TarFile) -> None:
    if registry.status("HEAD", f"/v2/{repository}/blobs/{digest}") == 200:
        return
    status, headers, body = registry.request("POST", f"/v2/{repository}/blobs/uploads/")
    _expect(status, 202, body, "start of an upload")
    place = headers["Location"]
    goal = f"{place}{'&' if '?' in place else '?'}digest={digest}"
    kind = {"Content-Type": "application/octet-stream"}
    status, _, body = registry.request("PUT", goal, _blob(tar, digest), kind)
    _expect(status, 201, body, f"blob {digest}")


def _expect(status: int, wanted: int, body: bytes, what: str) -> None:
    if status != wanted:
        raise LocalClusterError(f"the registry answered {status} to the {what}: {body[:200]!r}")


def _repository(reference: str) -> tuple[str, str]:
    """docker.io/gasbugs/http-go:latest -> gasbugs/http-go, latest."""
    path = full_reference(reference).partition("/")[2]
    name, _, tag = path.rpartition(":")
    return name, tag


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    return _member(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
