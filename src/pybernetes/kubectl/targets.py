"""What a command is about: resources named on the command line (`pods web`, `deploy/x`, `all`) or in files (`-f`)."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.mapper import Mapper, Mapping
from pybernetes.kubectl.session import Session
from pybernetes.wire.codecs import yaml

_SUFFIXES = (".json", ".yaml", ".yml")


class Target(Struct, frozen=True):
    """A resource, and one name of it; an empty name is all of them."""

    mapping: Mapping
    name: str = ""

    @property
    def shown(self) -> str:
        """`pod/web`, `deployment.apps/web`."""
        return f"{self.mapping.shown_kind}/{self.name}"


class Manifest(Struct, frozen=True):
    """An object from a file, with its resource and the namespace it goes to."""

    mapping: Mapping
    obj: Object
    namespace: str
    source: str

    @property
    def name(self) -> str:
        """metadata.name; may be empty with generateName."""
        return str(self.obj["metadata"].get("name", ""))

    @property
    def target(self) -> Target:
        """The object it describes."""
        return Target(self.mapping, self.name)

    def path(self, name: str = "", subresource: str = "") -> str:
        """Its path in the API."""
        return self.mapping.path(self.namespace, name, subresource)


def add_file_flags(flags: Flags, what: str) -> None:
    """`-f` and `-R`."""
    flags.add_argument(
        "-f", "--filename", action="append", default=[], help=f"file, folder or - with the objects {what}"
    )
    flags.flag("-R", "--recursive", help="go into the folders given with -f")


def resource_targets(mapper: Mapper, words: Sequence[str]) -> list[Target]:
    """Targets of `TYPE[,TYPE] [NAME...]` or `TYPE/NAME...`. Raises Refused for unknown types."""
    if not words:
        raise Refused("Required resource not specified.")
    if any("/" in word for word in words):
        return [_slashed(mapper, word) for word in words]
    types = [mapping for word in words[0].split(",") if word for mapping in _mappings(mapper, word)]
    names = words[1:] or [""]
    if len(types) > 1 and names != [""] and "," not in words[0]:
        raise Refused("you may only specify a single resource type")
    return [Target(mapping, name) for mapping in types for name in names]


def _slashed(mapper: Mapper, word: str) -> Target:
    kind, slash, name = word.partition("/")
    if not slash or not kind or not name or "/" in name:
        raise Refused(
            "there is no need to specify a resource type as a separate argument when passing arguments in resource/name "
            "form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"
            if not slash
            else f'arguments in resource/name form must have a single resource and name: "{word}"'
        )
    return Target(_mappings(mapper, kind)[0], name)


def _mappings(mapper: Mapper, word: str) -> list[Mapping]:
    if found := mapper.of_word(word):
        return [found]
    if members := mapper.of_category(word):
        return members
    raise Refused(f'the server doesn\'t have a resource type "{word}"')


async def manifests(session: Session, options: argparse.Namespace) -> list[Manifest]:
    """The objects of every -f, lists flattened, in order. Raises Refused with the file's name for what is wrong."""
    mapper = await session.mapper()
    found = []
    for source, obj in _objects(options.filename, options.recursive):
        for item in obj.get("items") or () if str(obj.get("kind", "")).endswith("List") else (obj,):
            found.append(_manifest(session, mapper, source, item))
    if not found:
        raise Refused("no objects passed to " + options.command if hasattr(options, "command") else "no objects passed")
    return found


def _manifest(session: Session, mapper: Mapper, source: str, obj: Object) -> Manifest:
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not kind:
        raise Refused(f'error validating "{source}": error validating data: kind not set')
    if not api_version:
        raise Refused(f'error validating "{source}": error validating data: apiVersion not set')
    mapping = mapper.of_kind(str(api_version), str(kind))
    if mapping is None:
        raise Refused(
            f'resource mapping not found for name: "{(obj.get("metadata") or {}).get("name", "")}" namespace: '
            f'"{(obj.get("metadata") or {}).get("namespace", "")}" from "{source}": no matches for kind "{kind}" in '
            f'version "{api_version}"\nensure CRDs are installed first'
        )
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise Refused(f'error validating "{source}": metadata is no object')
    namespace = ""
    if mapping.namespaced:
        own, asked = metadata.get("namespace", ""), session.options.namespace
        if own and asked and own != asked:
            raise Refused(
                f'the namespace from the provided object "{own}" does not match the namespace "{asked}". '
                f"You must pass '--namespace={own}' to perform this operation."
            )
        namespace = own or session.namespace
        metadata["namespace"] = namespace
    return Manifest(mapping, obj, namespace, source)


def _objects(names: Sequence[str], recursive: bool) -> Iterator[tuple[str, Object]]:
    for name in names:
        for source, text in _texts(name, recursive):
            try:
                documents = list(yaml.load_all(text))
            except ValueError as error:
                raise Refused(f"error parsing {source}: {error}") from error
            for document in documents:
                if document is None:
                    continue
                if not isinstance(document, dict):
                    raise Refused(f'error validating "{source}": an object is wanted, found {type(document).__name__}')
                yield source, document


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, bytes]]:
    if name == "-":
        yield "STDIN", sys.stdin.buffer.read()
        return
    if name.startswith(("http://", "https://")):
        raise Refused("reading manifests from a URL is not supported: fetch the file and give its path")
    path = Path(name)
    if not path.exists():
        raise Refused(f'the path "{name}" does not exist')
    if path.is_file():
        yield name, _read(path)
        return
    files = sorted(path.rglob("*") if recursive else path.iterdir())
    found = [file for file in files if file.is_file() and file.suffix in _SUFFIXES]
    if not found:
        raise Refused(f"error reading [{name}]: recognized file extensions are [.json .yaml .yml]")
    for file in found:
        yield str(file), _read(file)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
