"""A containerd's disk with the images that every node needs, made once a machine: nodes get it as hard links.

Importing an image of this size takes a node seconds; linking takes a tenth of one, and all nodes share the same pages
of memory. Files of images are never written in place (overlays copy up, containerd replaces), so sharing them is safe.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.localcluster import system_image
from pybernetes.localcluster.containerd import PAUSE_IMAGE, write_pause_archive
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.image import Blob

log = logging.getLogger(__name__)

CACHE = Path("/var/cache/pybernetes")
"""May be removed at any time: what nodes have of it stays with them."""
_DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")
"""What containerd writes in place: copied."""
KEPT = 3
"""So many states stay in the cache, which share what is below Pybernetes: several installations may live on one machine."""
_PATIENCE = 120.0
_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{folder}/c.sock"
[ttrpc]
  address = "{folder}/t.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


class ImageStore:
    """The images of this installation: a folder in the cache for each state of it, the last few of them."""

    def __init__(self, clock: Clock, folder: Path = CACHE / "images") -> None:
        self._clock = clock
        self._folder = folder

    async def ready(self) -> None:
        """Makes the images where they are missing, in a process of its own that ends with us. Raises LocalClusterError."""
        if (await asyncio.to_thread(self._place)).exists():
            return
        maker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(self._folder), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, said = await maker.communicate()
        finally:
            if maker.returncode is None:
                maker.kill()
                await maker.wait()
        if maker.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise LocalClusterError(lines[-1] if lines else "cannot make the images of the control plane")

    def make(self) -> None:
        """The same in this process. Blocking. Raises LocalClusterError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            plan = system_image.plan()
            place = self._place(plan)
            if not place.exists():
                self._make(plan, place)

    def give(self, disk: Path, near: Path) -> None:
        """Gives a node's containerd the images, unless it has a disk already. Blocking. Raises LocalClusterError.

        Where links do not reach from the cache to the node, they are copied to `near` once, and linked from there.
        """
        if (disk / _DATABASES[0]).exists():
            return
        disk.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        while not self._given(disk, near):
            self.make()

    def _given(self, disk: Path, near: Path) -> bool:
        with self._locked(fcntl.LOCK_SH):
            source = self._place()
            if not source.exists():
                return False
            if source.stat().st_dev != disk.parent.stat().st_dev:
                if not (near / source.name).exists():
                    _copied(source, near / source.name)
                source = near / source.name
            _copied(source, disk, "--link")
            _own_databases(source, disk)
            os.utime(self._place())
        return True

    def _place(self, plan: system_image.Plan | None = None) -> Path:
        return self._folder / self._key(plan or system_image.plan())

    @staticmethod
    def _key(plan: system_image.Plan) -> str:
        program = Path(shutil.which("containerd") or "/")
        told = f"{plan.fingerprint()} {PAUSE_IMAGE} {program} {program.stat().st_mtime_ns}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """One maker, and nobody who takes while it makes; the lock goes with the process."""
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, kind)
            yield

    def _make(self, plan: system_image.Plan, place: Path) -> None:
        began = self._clock.monotonic()
        work = self._folder / ".making"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            layers = self._fill(plan, work)
            record = _Record(plan.base_key(), layers)
            place.with_suffix(".json").write_bytes(msgspec.json.encode(record))
            shutil.rmtree(work / "root/io.containerd.grpc.v1.introspection", ignore_errors=True)  # each has its own
            (work / "root").rename(place)
            self._forget_old(place)
        except OSError as error:
            raise LocalClusterError(f"cannot make the images of the control plane: {error}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        log.info("made the images of the control plane folder=%s seconds=%.1f", place, self._clock.monotonic() - began)

    def _fill(self, plan: system_image.Plan, work: Path) -> tuple[Blob, ...]:
        """Makes the disk, on top of an older one whose lower layers are the same where there is one."""
        older = self._like(plan.base_key())
        if older is not None:
            place, base = older
            try:
                _copied(place, work / "root", "--link")
                _own_databases(place, work / "root")
                built = system_image.build(work / "system.tar", plan, base)
                _import(work, ("system.tar",), self._clock)
                return built.layers[: len(base)]
            except LocalClusterError as error:
                log.warning("cannot go on from older images, making all anew error=%s", error)
                shutil.rmtree(work / "root", ignore_errors=True)
        built = system_image.build(work / "system.tar", plan)
        write_pause_archive(work / "pause.tar")
        _import(work, ("pause.tar", "system.tar"), self._clock)
        return built.layers[:2]

    def _like(self, base_key: str) -> tuple[Path, tuple[Blob, ...]] | None:
        for place in self._places():
            try:
                record = msgspec.json.decode(place.with_suffix(".json").read_bytes(), type=_Record)
            except (OSError, msgspec.MsgspecError):
                continue
            if record.base_key == base_key:
                return place, record.layers
        return None

    def _places(self) -> list[Path]:
        """Finished disks, the last used first."""
        found = [entry for entry in self._folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        return sorted(found, key=lambda place: -place.stat().st_mtime)

    def _forget_old(self, newest: Path) -> None:
        """Links keep what nodes have."""
        others = [place for place in self._places() if place != newest]
        for place in others[KEPT - 1 :]:
            shutil.rmtree(place)
            place.with_suffix(".json").unlink(missing_ok=True)


class _Record(msgspec.Struct, frozen=True):
    """What a finished disk was made of."""

    base_key: str
    layers: tuple[Blob, ...]


def _import(folder: Path, archives: tuple[str, ...], clock: Clock) -> None:
    """Starts a containerd with its disk in `folder`/root, imports the archives, and stops it."""
    (folder / "config.toml").write_text(_CONFIG.format(folder=folder))
    # A mount namespace of its own: what is mounted while it unpacks ends with it
    command = ["unshare", "--mount", "--", "setpriv", "--pdeathsig", "KILL", "--", "containerd"]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--config", str(folder / "config.toml")],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(process, folder, clock)
        for archive in archives:
            done = _ctr(folder, "images", "import", str(folder / archive))
            if done.returncode:
                raise LocalClusterError(f"cannot import the images of the control plane: {done.stderr.strip()}")
        # An image that is removed lets containerd collect what an older image left, before it ends
        _ctr(folder, "images", "tag", PAUSE_IMAGE, "localhost/none:none")
        _ctr(folder, "images", "rm", "--sync", "localhost/none:none")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", folder: Path, clock: Clock) -> None:
    deadline = clock.monotonic() + _PATIENCE
    while _ctr(folder, "version").returncode:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
        if process.returncode is not None or clock.monotonic() > deadline:
            lines = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise LocalClusterError(f"containerd does not start: {lines[-1] if lines else 'it said nothing'}")


def _ctr(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["ctr", "--address", f"{folder}/c.sock", "--namespace", "k8s.io", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)


def _own_databases(source: Path, disk: Path) -> None:
    """Bytes in the place of links: containerd writes them."""
    for name in _DATABASES:
        (disk / name).unlink()
        shutil.copyfile(source / name, disk / name)


def _copied(source: Path, target: Path, *flags: str) -> None:
    """A copy of a folder, whole or not there. Raises LocalClusterError."""
    fresh = target.with_name(f".{target.name}.new")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    for folder in (fresh, target):
        shutil.rmtree(folder, ignore_errors=True)
    command = ["cp", "--archive", *flags, str(source), str(fresh)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise LocalClusterError(f"cannot give a node its images: {done.stderr.strip().splitlines()[-1]}")
    fresh.rename(target)


def main() -> int:
    """Makes the images in the folder that is the first argument; ready() runs it."""
    try:
        ImageStore(SystemClock(), Path(sys.argv[1])).make()
    except LocalClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
