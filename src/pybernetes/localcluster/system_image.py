"""The image of the control plane and of the node's own Pods, made of the installed distribution: no network, no compiler.

One image under several names: what kubeadm's manifests call kube-apiserver, kube-scheduler, ..., and the pod network's.
Three layers: busybox; the interpreter with the packages that are needed and the libraries they link; Pybernetes itself.
Layers are not compressed, since they do not travel. image_store.py gives the image to nodes.
"""

import hashlib
import importlib.metadata as metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath

from pybernetes import KUBERNETES_VERSION
from pybernetes.localcluster.errors import MissingRequirement
from pybernetes.localcluster.image import (
    BUSYBOX,
    PATH_ENV,
    Blob,
    Built,
    ImageConfig,
    Layer,
    busybox_layer,
    write_archive,
)

NAMES = (
    *(
        f"registry.k8s.io/{name}:{KUBERNETES_VERSION}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    ),
    f"docker.io/pybernetes/node:{KUBERNETES_VERSION}",
)
"""What the image is called."""
COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "pybernetes", "kubectl")
_DISTRIBUTION = "pybernetes"
_EXTRAS = ("node", "etcd")
_KUBELETS_ALONE = frozenset({"container-runtime-interface-api"})
"""Of the extra `node`: only the kubelet speaks CRI, and it is no container. The API server's etcd speaks gRPC, too."""
_LIBRARIES = ("libnftables.so.1",)
"""Libraries that are opened by name; there they are missing where they are missing on this machine."""
_LOADER_CACHE = Path("/etc/ld.so.cache")
"""Written anew when a library of the machine is upgraded."""
_PREFIX, _HOME = "usr/local", "opt/pybernetes"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE = f"{_HOME}/lib/{_VERSION}/site-packages"
_STANDARD = f"{_PREFIX}/lib/{_VERSION}"
_UNUSED = frozenset({"__pycache__", "test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo",
                     "site-packages", "dist-packages", "pydoc_data", "venv", "f2py", "include"})  # fmt: skip
_SUFFIXES = frozenset({".pyi", ".pyx", ".pxd", ".h", ".c", ".a", ".lib", ".pyc"})
_PARTS = 4
"""Compilers at a time, each with its own share: the same files always go to the same one, for the same bytes."""

Files = Mapping[str, Path]
"""Path in the image to the file that it is made of."""


@dataclass(frozen=True)
class Plan:
    """What goes into the image."""

    base: Files
    own: Files
    scripts: Mapping[str, str]
    """Path to text of what is made here."""

    def base_key(self) -> str:
        """Changes when any file below Pybernetes does (its size or time), or what this program makes of them."""
        return _stamp(str(_FORMAT), {**self.base, "busybox": BUSYBOX, "libraries": _LOADER_CACHE})

    def fingerprint(self) -> str:
        """The same for the whole image."""
        return _stamp(json.dumps([self.base_key(), sorted(self.scripts.items()), NAMES]), self.own)


def _stamp(said: str, files: Files) -> str:
    digest = hashlib.sha256(said.encode())
    for path, source in sorted(files.items()):
        if source.exists():
            status = source.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


_FORMAT = 1
"""To be raised when the same files make another image."""


def plan() -> Plan:
    """Looks at the installed distribution. Raises MissingRequirement."""
    base: dict[str, Path] = {}
    standard = Path(sysconfig.get_path("stdlib"))
    base |= {f"{_STANDARD}/{name}": file for name, file in _tree(standard)}
    interpreter = Path(sys.executable).resolve()
    base[f"{_PREFIX}/bin/{_VERSION}"] = interpreter
    for distribution in _needed():
        base |= _files_of(distribution)
    package = Path(__file__).resolve().parents[1]
    own = {f"{_SITE}/{_DISTRIBUTION}/{name}": file for name, file in _tree(package)}
    own |= {
        path: file for path, file in _files_of(metadata.distribution(_DISTRIBUTION)).items() if ".dist-info/" in path
    }
    return Plan(base, own, _scripts())


def build(archive: Path, wanted: Plan | None = None, base: Sequence[Blob] = ()) -> Built:
    """Writes the image as an OCI archive under all its names. Raises LocalClusterError.

    `base`: its first two layers, where whoever imports the archive has them.
    """
    wanted = wanted or plan()
    layers: list[bytes | Blob] = [*base]
    if not base:
        layers += [busybox_layer(), _layer({**wanted.base, **_libraries(wanted.base)}, {})]
    layers.append(_layer(wanted.own, wanted.scripts))
    config = ImageConfig(
        env=(f"PATH=/{_HOME}/bin:{PATH_ENV}", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"),
        labels={
            "org.opencontainers.image.title": _DISTRIBUTION,
            "org.opencontainers.image.version": KUBERNETES_VERSION,
        },
    )
    return write_archive(archive, NAMES, layers, config, compress=False)


# -- what is needed ----------------------------------------------------------------------------------------------------


def _needed() -> Iterator[metadata.Distribution]:
    """Distributions that the image's commands import, and those that extend them (entry points of our groups)."""
    groups = [group for group in metadata.entry_points().groups if group.startswith(f"{_DISTRIBUTION}.")]
    points = [point for group in groups for point in metadata.entry_points(group=group)]
    extensions = {point.dist.name for point in points if point.dist is not None}
    todo = [(_DISTRIBUTION, _EXTRAS), *((name, ()) for name in sorted(extensions - {_DISTRIBUTION}))]
    seen: set[str] = set()
    while todo:
        name, extras = todo.pop()
        if _normal(name) in seen or _normal(name) in _KUBELETS_ALONE:
            continue
        seen.add(_normal(name))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or another Python
        if _normal(name) != _DISTRIBUTION:
            yield found
        for requirement in found.requires or ():
            named, _, marker = requirement.partition(";")
            extra = re.search(r"""extra\s*==\s*["']([^"']+)""", marker)
            if extra is None or extra.group(1) in extras:
                match = re.match(r"\s*([A-Za-z0-9._-]+)", named)
                assert match is not None
                todo.append((match.group(1), ()))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files_of(distribution: metadata.Distribution) -> dict[str, Path]:
    found = {}
    for file in distribution.files or ():
        if ".." not in file.parts and _useful(file) and file.name not in ("RECORD", "direct_url.json", "INSTALLER"):
            source = Path(str(file.locate()))
            if source.is_file() and file.suffix != ".pth":
                found[f"{_SITE}/{file}"] = source
    return found


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files below a folder, by their relative path."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _UNUSED and not name.startswith("config-"))
        for name in sorted(names):
            path = Path(place, name)
            relative = path.relative_to(folder)
            if _useful(PurePosixPath(relative)) and path.is_file() and name != "sitecustomize.py":
                yield str(relative), path


def _useful(file: PurePosixPath) -> bool:
    testing = file.name.startswith(("_test", "_ctypes_test", "_tkinter", "xxlimited")) and ".so" in file.suffixes
    return not _UNUSED & set(file.parts[:-1]) and file.suffix not in _SUFFIXES and not testing


def _libraries(files: Files) -> dict[str, Path]:
    """What they are linked to, all the way down (ldd), except what packages bring with them."""
    programs = [file for path, file in files.items() if ".so" in file.suffixes or path.endswith(f"bin/{_VERSION}")]
    opened = [path for name in _LIBRARIES if (path := _installed().get(name)) is not None]
    listed = subprocess.run(
        ["ldd", *map(str, [*programs, *opened])], capture_output=True, text=True, check=False, timeout=120
    ).stdout
    found = {_place(str(path)): path for path in opened}
    brought = {str(file) for file in files.values()}
    for line in listed.splitlines():
        match = re.match(r"\s+(?:\S+ => )?(/\S+) \(0x", line)
        if match and os.path.normpath(match.group(1)) not in brought:
            found[_place(match.group(1))] = Path(match.group(1))
    if not found:
        raise MissingRequirement("ldd says nothing of the interpreter's libraries: apt-get install libc-bin")
    return found


def _place(library: str) -> str:
    """Where the image's loader looks for it: where it is, or /usr/lib for one beside an interpreter of one's own."""
    usual = library.startswith(("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"))
    return library.lstrip("/") if usual else f"usr/lib/{Path(library).name}"


@cache
def _installed() -> dict[str, Path]:
    """Libraries of this machine by name (ldconfig(8))."""
    path = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
    try:
        listed = subprocess.run(
            ["ldconfig", "-p"], capture_output=True, text=True, check=False, timeout=30, env={"PATH": path}
        ).stdout
    except FileNotFoundError:
        return {}
    lines = (line.split() for line in listed.splitlines())
    return {words[0]: Path(words[-1]) for words in lines if len(words) > 2 and words[-2] == "=>"}


def _scripts() -> dict[str, str]:
    """The virtual environment's own files and a console script for each command."""
    found = {f"{_HOME}/pyvenv.cfg": f"home = /{_PREFIX}/bin\ninclude-system-site-packages = false\n"}
    for entry in metadata.distribution(_DISTRIBUTION).entry_points.select(group="console_scripts"):
        if entry.name in COMMANDS:
            found[f"{_HOME}/bin/{entry.name}"] = (
                f"#!/{_HOME}/bin/python\nimport sys\n\nfrom {entry.module} import {entry.attr}\n\nsys.exit({entry.attr}())\n"
            )
    return found


# -- layers ------------------------------------------------------------------------------------------------------------


def _layer(files: Files, scripts: Mapping[str, str]) -> bytes:
    layer = Layer()
    for path, source in files.items():
        executable = path.endswith(f"bin/{_VERSION}") or ".so" in source.suffixes
        layer.file(path, source.read_bytes(), 0o755 if executable else 0o644)
    for path, text in scripts.items():
        layer.file(path, text.encode(), 0o755 if "/bin/" in path else 0o644)
    if scripts:
        layer.link(f"{_HOME}/bin/python", f"/{_PREFIX}/bin/{_VERSION}")
    for path, data in _compiled([(path, source) for path, source in files.items() if path.endswith(".py")]):
        layer.file(path, data)
    return layer.tar()


def _compiled(sources: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, bytes]]:
    """Compiled files by their path in the image."""
    ordered = sorted(sources)
    shares = [ordered[part::_PARTS] for part in range(_PARTS)]
    with ThreadPoolExecutor(min(_PARTS, os.cpu_count() or 1)) as pool:
        for share, output in zip(shares, pool.map(_compile, shares), strict=True):
            at = 0
            for path, _ in share:
                length = int.from_bytes(output[at : at + 8], "big")
                if length:
                    yield cache_from_source(f"/{path}"), output[at + 8 : at + 8 + length]
                at += 8 + length


def _compile(share: Sequence[tuple[str, Path]]) -> bytes:
    script = Path(__file__).with_name("precompile.py")
    pairs = json.dumps([(str(source), f"/{path}") for path, source in share])
    command = [sys.executable, "-I", "-S", "-W", "ignore", str(script)]
    done = subprocess.run(command, input=pairs.encode(), capture_output=True, check=True, timeout=300)
    return done.stdout
