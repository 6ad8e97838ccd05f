"""Container images without a daemon: layers, OCI archives, and a builder for a small part of the Containerfile.

Follows the OCI image-spec 1.0 (layout, config, manifest). The same folder always gives the same digests: owners, times
and order are fixed. Next stop: registry.py pushes an archive, containerd.py imports one.
"""

import gzip
import hashlib
import io
import json
import platform
import posixpath
import re
import shlex
import stat
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
PATH_ENV = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX = Path("/bin/busybox")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_REFERENCE = re.compile(
    r"[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII
)
_FILES = ("Containerfile", "Dockerfile")


class BuildError(LocalClusterError):
    """The Containerfile asks for something that cannot be done; the text names file and line."""


@dataclass(frozen=True)
class ImageConfig:
    """The config of an image, as `docker inspect` shows it."""

    env: tuple[str, ...] = (f"PATH={PATH_ENV}",)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """In the names of the image-spec; what is empty is left out."""
        found: dict[str, Any] = {
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.working_dir,
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.ports},
            "Labels": dict(self.labels),
        }
        return {name: value for name, value in found.items() if value}


class Layer:
    """One layer under construction. Paths are relative to the image's root; parents are made as needed."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A folder; one that is there gets the mode."""
        name = _clean(path)
        if name:
            self._parents(name)
            self._add(name, tarfile.DIRTYPE, mode)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """A file."""
        self._parents(_clean(path))
        self._add(_clean(path), tarfile.REGTYPE, mode, data)

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._parents(_clean(path))
        self._add(_clean(path), tarfile.SYMTYPE, 0o777, link=target)

    def has_folder(self, path: str) -> bool:
        """Whether the layer holds this folder."""
        name = _clean(path)
        return not name or (name in self._entries and self._entries[name][0].isdir())

    def tar(self) -> bytes:
        """The layer as an uncompressed tar, the same bytes for the same content."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(self._entries):
                info, data = self._entries[name]
                archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
        return out.getvalue()

    def _parents(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            if parent not in self._entries:
                self._add(parent, tarfile.DIRTYPE, 0o755)

    def _add(self, name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
        self._entries[name] = (info, data)


@dataclass(frozen=True)
class Blob:
    """Bytes that are somewhere else: a layer that whoever imports the archive has already."""

    digest: str
    size: int


@dataclass(frozen=True)
class Built:
    """An image in an archive: what it is called and its manifest's digest (an imageID ends with it)."""

    archive: Path
    reference: str
    digest: str
    layers: tuple[Blob, ...] = ()
    """As they are in the archive, compressed or not."""


def write_archive(
    target: Path,
    reference: str | Sequence[str],
    layers: Sequence[bytes | Blob],
    config: ImageConfig,
    *,
    compress: bool = True,
) -> Built:
    """Writes an OCI layout as a tar that containerd imports under `reference`, or under each of several.

    What is not compressed is larger and much faster at both ends; only such layers may be Blobs, which are left out.
    """
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(data)
        blobs[digest] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    config_descriptor = blob(
        _json(
            {
                "architecture": architecture,
                "os": "linux",
                "config": config.wire(),
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [layer.digest if isinstance(layer, Blob) else sha256(layer) for layer in layers],
                },
            }
        ),
        CONFIG_TYPE,
    )
    packed: list[dict[str, Any]] = []
    for layer in layers:
        if isinstance(layer, Blob):
            packed.append({"mediaType": PLAIN_LAYER_TYPE, "digest": layer.digest, "size": layer.size})
        elif compress:
            packed.append(blob(gzip.compress(layer, compresslevel=6, mtime=0), LAYER_TYPE))
        else:
            packed.append(blob(layer, PLAIN_LAYER_TYPE))
    manifest = blob(
        _json({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config_descriptor, "layers": packed}),
        MANIFEST_TYPE,
    )
    names = [full_reference(name) for name in ([reference] if isinstance(reference, str) else reference)]
    entries = [
        {
            **manifest,
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            },
            "platform": {"architecture": architecture, "os": "linux"},
        }
        for name in names
    ]
    contents = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}),
    }
    contents |= {f"blobs/sha256/{digest[7:]}": data for digest, data in blobs.items()}
    _write_tar(target, contents)
    return Built(target, names[0], str(manifest["digest"]), tuple(Blob(p["digest"], p["size"]) for p in packed))


def full_reference(reference: str) -> str:
    """The whole name of an image: `gasbugs/http-go` is docker.io/gasbugs/http-go:latest, as docker reads it."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif not ("." in first or ":" in first or first == "localhost"):
        reference = f"docker.io/{reference}"
    if "@" not in reference and ":" not in reference.rpartition("/")[2]:
        reference += ":latest"
    return reference


def check_reference(reference: str) -> None:
    """Raises BuildError for what cannot be an image's name ([host[:port]/]path[:tag], as the distribution-spec has it)."""
    if not _REFERENCE.fullmatch(full_reference(reference)):
        raise BuildError(f"invalid reference format: {reference!r}: name[:tag], the name in lower case")


def build_image(folder: Path, reference: str, archive: Path) -> Built:
    """Builds the image that the folder's Containerfile (or Dockerfile) describes. Raises BuildError.

    Understood: FROM scratch|busybox, COPY, ENV, ENTRYPOINT, CMD, EXPOSE, WORKDIR, USER, LABEL.
    """
    check_reference(reference)
    file = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if file is None:
        raise BuildError(f"{folder} holds no Containerfile: write one that begins with FROM busybox or FROM scratch")
    build = _Build(folder, file)
    for number, line in _logical_lines(file.read_text()):
        build.step(number, line)
    if build.base is None:
        raise BuildError(f"{file}: no FROM: begin with FROM busybox or FROM scratch")
    layers = [build.base] if build.base else []
    own = build.layer.tar()
    return write_archive(archive, reference, [*layers, own], build.config)


def busybox_layer() -> bytes:
    """A small Linux user land: Debian's busybox-static and a link for each of its commands."""
    if not BUSYBOX.exists():
        raise MissingRequirement("busybox is missing: apt-get install busybox-static (or make setup)")
    layer = Layer()
    for name in ("dev", "proc", "sys", "etc", "var", "usr/bin", "bin", "sbin"):
        layer.folder(name)
    layer.folder("root", 0o700)
    for name in ("tmp", "var/tmp"):
        layer.folder(name, 0o1777)
    layer.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    listed = subprocess.run([BUSYBOX, "--list-full"], capture_output=True, text=True, check=True, timeout=30).stdout
    for path in listed.split():
        if path not in ("bin/busybox", "linuxrc"):
            layer.link(path, "/bin/busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    return layer.tar()


class _Build:
    """The state of one build: a step a line."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.layer = Layer()
        self.config = ImageConfig()
        self.base: bytes | None = None
        self._folder = folder.resolve()
        self._file = file
        self._number = 0

    def step(self, number: int, line: str) -> None:
        """Performs one instruction. Raises BuildError."""
        self._number = number
        word, _, rest = line.partition(" ")
        word, rest = word.upper(), rest.strip()
        perform = getattr(self, f"_{word.lower()}", None)
        if word not in ("FROM", "COPY", "ENV", "ENTRYPOINT", "CMD", "EXPOSE", "WORKDIR", "USER", "LABEL"):
            why = (
                "RUN needs a running container; COPY finished files instead" if word == "RUN" else f"{word} is unknown"
            )
            raise self._error(why)
        if not rest:
            raise self._error(f"{word} needs an argument")
        if (self.base is None) != (word == "FROM"):
            raise self._error("FROM comes first, and once")
        assert perform is not None
        perform(rest)

    def _error(self, why: str) -> BuildError:
        return BuildError(f"{self._file}:{self._number}: {why}")

    def _from(self, rest: str) -> None:
        name = rest.split()[0]
        if name == "scratch":
            self.base = b""
        elif name.partition(":")[0] == "busybox":
            self.base = busybox_layer()
            self.config = replace(self.config, cmd=("sh",))
        else:
            raise self._error(f"FROM {name} cannot be fetched: use FROM busybox or FROM scratch")

    def _copy(self, rest: str) -> None:
        words = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
        mode = None
        while words and words[0].startswith("--"):
            name, _, value = words.pop(0).partition("=")
            if name != "--chmod":
                raise self._error(f"COPY {name} is not supported, only --chmod")
            mode = int(value, 8)
        if len(words) < 2:
            raise self._error("COPY needs a source and a destination")
        *sources, goal = words
        into = goal.endswith("/") or goal == "." or len(sources) > 1
        for pattern in sources:
            found = sorted(self._folder.glob(pattern)) if any(c in pattern for c in "*?[") else [self._folder / pattern]
            for source in found:
                if not source.resolve().is_relative_to(self._folder):
                    raise self._error(f"{pattern} lies outside the folder of the build")
                if not source.exists():
                    raise self._error(f"{pattern} does not exist in {self._folder}")
                target = posixpath.join(self.config.working_dir, goal)
                if source.is_file() and (into or self.layer.has_folder(target)):
                    target = posixpath.join(target, source.name)
                self._copy_tree(source, target, mode)

    def _copy_tree(self, source: Path, target: str, mode: int | None) -> None:
        wanted = mode if mode is not None else stat.S_IMODE(source.stat().st_mode) & 0o755
        if source.is_symlink():
            self.layer.link(target, str(source.readlink()))
        elif source.is_dir():
            self.layer.folder(target)
            for child in sorted(source.iterdir()):
                self._copy_tree(child, posixpath.join(target, child.name), mode)
        else:
            self.layer.file(target, source.read_bytes(), wanted)

    def _env(self, rest: str) -> None:
        pairs = self._pairs(rest)
        kept = [e for e in self.config.env if e.partition("=")[0] not in pairs]
        self.config = replace(self.config, env=(*kept, *(f"{k}={v}" for k, v in pairs.items())))

    def _label(self, rest: str) -> None:
        self.config = replace(self.config, labels={**self.config.labels, **self._pairs(rest)})

    def _entrypoint(self, rest: str) -> None:
        self.config = replace(self.config, entrypoint=self._words(rest), cmd=())

    def _cmd(self, rest: str) -> None:
        self.config = replace(self.config, cmd=self._words(rest))

    def _expose(self, rest: str) -> None:
        ports = tuple(p if "/" in p else f"{p}/tcp" for p in rest.split())
        self.config = replace(self.config, ports=(*self.config.ports, *ports))

    def _workdir(self, rest: str) -> None:
        folder = posixpath.join(self.config.working_dir, rest)
        self.config = replace(self.config, working_dir=folder)
        self.layer.folder(folder)

    def _user(self, rest: str) -> None:
        self.config = replace(self.config, user=rest)

    def _pairs(self, rest: str) -> dict[str, str]:
        words = shlex.split(rest)
        if "=" not in words[0]:
            return {words[0]: " ".join(words[1:])}
        pairs = [word.partition("=") for word in words]
        if not all(equals for _, equals, _ in pairs):
            raise self._error(f"expected NAME=value, not {rest!r}")
        return {name: value for name, _, value in pairs}

    def _words(self, rest: str) -> tuple[str, ...]:
        if not rest.startswith("["):
            return ("/bin/sh", "-c", rest)
        try:
            words = json.loads(rest)
        except ValueError as error:
            raise self._error(f"not a JSON list: {rest}") from error
        return tuple(str(word) for word in words)


def sha256(data: bytes) -> str:
    """A digest as the OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines without comments, continued ones joined, each with the number of its first."""
    found: list[tuple[int, str]] = []
    kept, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        first = first or number
        kept += line.removesuffix("\\")
        if not line.endswith("\\"):
            found.append((first, kept))
            kept, first = "", 0
    return found


def _clean(path: str) -> str:
    name = posixpath.normpath("/" + path).lstrip("/")
    return name


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _write_tar(target: Path, contents: Mapping[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    with tarfile.open(fresh, "w") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    fresh.rename(target)
